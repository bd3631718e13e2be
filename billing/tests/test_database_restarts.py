"""Stripe's events while PostgreSQL stops and starts, of a real service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from clipforge import embedded
from clipforge.client import Client
from clipforge.devtools.testing.drills import Stand, stand
from clipforge.devtools.testing.service import eventually
from clipforge.devtools.testing.stripe import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    Object,
    Stripe,
    running_stripe,
)

pytestmark = pytest.mark.slow


class Shop:
    """A service, its Stripe that delivers nothing by itself, and a customer with one credit."""

    def __init__(self, stand: Stand, stripe: Stripe) -> None:
        self.stand = stand
        self.stripe = stripe
        self.client: Client = stand.service.customer("Buyer", amount=1)

    def buy(self) -> Object:
        """Pay a pack of a hundred. Returns the event, of which we have not heard yet."""
        payment = self.client.post("billing/checkout", {"price": "pack-100"})["url"]
        self.stripe.pay(payment.rpartition("/")[2])
        return self.stripe.events[-1]

    def deliver(self, event: Object) -> httpx.Response:
        body, signature = self.stripe.signed(event)
        url = f"{self.stand.service.url}/webhooks/stripe"
        return httpx.post(url, content=body, headers={"Stripe-Signature": signature}, timeout=30)

    def posted(self) -> int:
        posted: int = self.client.get("credits/balance")["posted"]
        return posted

    def purchases(self) -> list[int]:
        return [row["amount"] for row in self.client.pages("credits/transactions", type="PURCHASE")]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with (
        running_stripe() as stripe,
        stand(
            STRIPE_SECRET_KEY=SECRET_KEY,
            STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
            STRIPE_API_BASE=stripe.url,
        ) as made,
    ):
        shop = Shop(made, stripe)
        yield shop
        stripe.undelivered.clear()  # each was, by the test
        assert made.service.manage_json("reconcile_stripe")["ok"]


def test_an_event_while_the_database_is_down_is_503_and_credited_once_afterwards(shop: Shop):
    event = shop.buy()
    before = shop.posted()
    assert embedded.stop(shop.stand.service.data)
    refused = [shop.deliver(event) for _ in range(3)]
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(503, "unavailable")}
    assert all(int(each.headers["Retry-After"]) > 0 for each in refused)
    shop.stand.service.database_comes_back()
    eventually("the event is taken", lambda: shop.deliver(event).status_code == 200)
    assert shop.posted() == before + 100
    assert [shop.deliver(event).status_code for _ in range(3)] == [200, 200, 200]
    assert shop.posted() == before + 100
    assert shop.client.get("billing/payments")["results"][0]["status"] == "PAID"


def test_events_that_are_repeated_all_through_a_restart_are_each_credited_once(shop: Shop):
    before, earlier = shop.posted(), shop.purchases()
    events = [shop.buy() for _ in range(3)]
    answers: list[int] = []
    over = threading.Event()

    def repeat(event: Object) -> None:
        """Until it was taken after the restart."""
        taken = False
        while not (over.is_set() and taken):
            answers.append(shop.deliver(event).status_code)
            taken = answers[-1] == 200
            over.wait(0.5)  # three of them stay below the limit, however long it takes

    with ThreadPoolExecutor(3) as pool:
        senders = [pool.submit(repeat, event) for event in events]
        try:
            eventually("one is taken", lambda: 200 in answers)
            assert embedded.stop(shop.stand.service.data)
            eventually("one is refused", lambda: 503 in answers)
            shop.stand.service.database_comes_back()
        finally:
            over.set()
        for sender in senders:
            sender.result(60)
    assert set(answers) == {200, 503}
    assert shop.posted() == before + 300
    assert shop.purchases() == [100, 100, 100, *earlier]

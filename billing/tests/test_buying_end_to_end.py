"""A pack bought as a customer buys it: a real server, a real worker's database, a page, a button."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import httpx
import pytest

from clipforge.devtools.testing.browser import chromium
from clipforge.devtools.testing.service import ROOT, Service, eventually, running_service
from clipforge.devtools.testing.stripe import SECRET_KEY, Stripe, running_stripe

pytestmark = pytest.mark.slow

SECRET = "whsec_end_to_end"


@pytest.fixture(scope="module")
def shop():
    with running_stripe(secret=SECRET) as stripe:
        environment = {
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_API_BASE": stripe.url,
            "BILLING_RETURN_URL": f"{stripe.url}/back",  # the shop's own page, whatever is there
        }
        with running_service(**environment) as service:
            stripe.webhook = f"{service.url}/webhooks/stripe"
            yield service, stripe
            assert service.manage_json("reconcile_stripe")["ok"]


def press_the_button(url: str) -> None:
    page = httpx.get(url, timeout=60)
    assert "Pay 9.00 usd" in page.text
    (action,) = re.findall(r'action="([^"]+)"', page.text)
    answer = httpx.post(str(page.url.join(action)), timeout=60)
    assert answer.status_code == 303


def posted(client) -> int:
    balance: int = client.get("credits/balance")["posted"]
    return balance


@pytest.mark.parametrize("how", ["", "twice", "late"])
def test_a_pack_that_is_paid_is_on_the_balance_as_soon_as_its_event_was_answered(
    shop: tuple[Service, Stripe], how: str
):
    service, stripe = shop
    stripe.deliveries[:], stripe.delay = [how], 0.1
    client = service.customer(f"Buyer {how}", amount=1)
    checkout = client.post("billing/checkout", {"price": "pack-100"})
    press_the_button(checkout["url"])
    eventually("the event was delivered", lambda: not stripe.undelivered)
    assert posted(client) == 101
    assert client.get(f"billing/payments/{checkout['payment']}")["status"] == "PAID"


@pytest.mark.browser
def test_a_pack_bought_in_a_browser_is_on_the_balance_of_the_next_request(
    shop: tuple[Service, Stripe],
):
    service, stripe = shop
    client = service.customer("Browser", amount=1)
    checkout = client.post("billing/checkout", {"price": "pack-100"})
    assert posted(client) == 1
    with chromium() as browser:
        page = browser.new_page()
        page.goto(checkout["url"])
        assert page.inner_text("h1") == "Pay 9.00 usd"
        page.click("text=Pay >> nth=-1")
        page.wait_for_url("**/back")
    eventually("the event was delivered", lambda: not stripe.undelivered)
    assert posted(client) == 101


def test_an_event_that_never_comes_is_found_by_the_sweep(shop: tuple[Service, Stripe]):
    service, stripe = shop
    stripe.deliveries[:] = ["drop"]
    client = service.customer("Unheard", amount=1)
    press_the_button(client.post("billing/checkout", {"price": "pack-100"})["url"])
    assert posted(client) == 1
    swept = subprocess.run(
        [sys.executable, "manage.py", "reconcile_stripe"],
        cwd=ROOT,
        env=service.environment,
        capture_output=True,
        text=True,
    )
    assert (swept.returncode, "never came" in swept.stdout) == (1, True), swept.stderr
    assert posted(client) == 101
    stripe.undelivered.clear()


def test_up_with_billing_starts_a_stripe_in_which_anybody_can_pay(shop: tuple[Service, Stripe]):
    service, _ = shop
    environment = {
        key: value for key, value in service.environment.items() if not key.startswith("STRIPE")
    }
    up = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--billing", "--port", "0"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert up.stdout is not None
    try:
        said = ""
        while "billing/checkout" not in said:
            line = up.stdout.readline()
            assert line, said
            said += line
        (url, key) = re.findall(r"(http://127\.0\.0\.1:\d+)/api/v1/docs|(cf_live_\w+)", said)[:2]
        answer = httpx.post(
            f"{url[0]}/api/v1/billing/checkout",
            headers={"Authorization": f"Bearer {key[1]}"},
            json={"price": "pack-100"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        press_the_button(json.loads(answer.text)["url"])

        def has_come() -> bool:
            balance = httpx.get(
                f"{url[0]}/api/v1/credits/balance",
                headers={"Authorization": f"Bearer {key[1]}"},
                timeout=60,
            )
            return bool(balance.json()["posted"] == 1100)

        eventually("the pack is on the balance", has_come)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
        up.stdout.close()

"""POST /billing/checkout and /billing/portal"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from stripe import AuthenticationError

from billing import checkout, gateway, services
from billing.accounts import lock_account
from billing.models import BillingAccount, Payment, Price
from billing.tests.makers import deliver, make_catalogue, make_payment, start_checkout
from clipforge.common.errors import Conflict, Unavailable
from clipforge.devtools.testing.api import assert_problem, invalid_fields
from clipforge.devtools.testing.factories import REASON, TESTER, make_client, make_organization
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization
from credits.selectors import balance

pytestmark = pytest.mark.django_db

URL = "/api/v1/billing/checkout"


@pytest.fixture
def organization(db) -> Organization:
    return make_organization(tier="FREE")


def test_it_returns_the_page_where_the_price_is_paid(api, organization, stripe):
    response = api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    assert response.status_code == 201, response.content
    payment = Payment.objects.get()
    assert response.json() == {"payment": str(payment.pk), "url": payment.checkout_url}
    assert payment.checkout_url.startswith(f"{stripe.url}/checkout/cs_")
    assert (payment.status, payment.amount, payment.currency) == ("PENDING", 900, "usd")
    assert (payment.method, payment.actor[:4]) == ("STRIPE", "key:")
    assert balance(organization).posted == 0
    assert Price.objects.get(code="pack-100").frozen_at is not None
    assert stripe.calls == ["POST /v1/customers", "POST /v1/checkout/sessions"]


def test_the_same_key_gets_the_same_page_without_asking_stripe(api, stripe):
    first = api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    with nothing_changes():
        again = api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again["Idempotent-Replayed"] == "true"
    assert not first.has_header("Idempotent-Replayed")
    assert len(stripe.calls) == 2


@pytest.mark.parametrize("other", [{"price": "pack-500"}, {"currency": "eur"}])
def test_the_same_key_for_another_price_or_currency_is_422(api, stripe, other):
    api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    with nothing_changes():
        answer = api.post(URL, {"price": "pack-100", **other}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(answer, 422, "idempotency_key_reused")


def test_the_key_of_a_page_that_has_ended_is_409(api, stripe):
    api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    stripe.expire(Payment.objects.get().checkout_id)
    deliver(stripe)
    with nothing_changes():
        answer = api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(answer, 409, "checkout_expired")
    assert api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="l").status_code == 201


def test_the_customer_is_made_once(api, stripe):
    for _ in range(2):
        assert api.post(URL, {"price": "pack-100"}).status_code == 201
    assert stripe.calls.count("POST /v1/customers") == 1
    assert Payment.objects.count() == 2


@pytest.mark.parametrize("fault", ["lost", "down", "broken", "junk"])
def test_after_a_fault_of_stripe_the_same_key_leads_to_one_payment_and_one_page(
    api, organization, stripe, fault
):
    start_checkout(organization)  # the customer exists
    stripe.faults.append(fault)
    refused = api.post(URL, {"price": "pack-500"}, HTTP_IDEMPOTENCY_KEY="k")
    body = assert_problem(refused, 503, "payments_unavailable")
    assert (refused["Retry-After"], "Nothing was charged" in body["detail"]) == ("5", True)
    assert api.post(URL, {"price": "pack-500"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 201
    assert Payment.objects.filter(price__code="pack-500").count() == 1
    sessions = [each for each in stripe.objects if each.startswith("cs_")]
    assert len(sessions) == 2


def test_while_the_same_request_is_running_at_stripe_it_is_409(api, organization, stripe):
    start_checkout(organization)  # the customer exists
    stripe.faults.append("busy")
    refused = api.post(URL, {"price": "pack-500"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(refused, 409, "request_in_progress")
    assert refused["Retry-After"] == "1"
    assert api.post(URL, {"price": "pack-500"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 201


def test_a_wrong_key_of_stripe_is_a_fault_of_ours(organization, stripe, settings):
    settings.STRIPE_SECRET_KEY = "sk_test_of_somebody_else"
    with pytest.raises(AuthenticationError, match="Invalid API Key"):
        start_checkout(organization)
    assert stripe.objects == {}


class Hanging(threading.Event):
    """The event that a hanging stand-in waits for; `reached` is set once it waits."""

    def __init__(self):
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout=None):
        self.reached.set()
        return super().wait(timeout)


@pytest.mark.django_db(transaction=True)
def test_while_a_stripe_hangs_no_lock_is_held(stripe):
    make_catalogue()
    org = make_organization(tier="FREE")
    gateway.price_id(Price.objects.get(code="plan-pro"))
    start_checkout(org)  # the customer exists
    stripe.release = Hanging()
    stripe.faults += ["", "hang"]  # the price is found

    def act(number):
        if number == 1:
            return start_checkout(org, "plan-pro")
        assert stripe.release.reached.wait(30)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            return make_payment(org, "pack-100")
        finally:
            stripe.release.set()

    recorded, given_up = run_together(2, act)
    assert isinstance(recorded, Payment), recorded
    assert isinstance(given_up, Unavailable), given_up
    assert given_up.error_code == "payments_unavailable"


def test_a_stripe_is_given_five_seconds():
    assert gateway.TIMEOUT == 5


def test_a_stripe_that_hangs_is_given_up_after_its_time(api, organization, stripe, monkeypatch):
    start_checkout(organization)
    stripe.faults.append("hang")
    with monkeypatch.context() as patch:
        patch.setattr(gateway, "TIMEOUT", 0.2)
        answer = api.post(URL, {"price": "pack-500"}, HTTP_IDEMPOTENCY_KEY="k")
    assert not stripe.release.is_set()  # it hangs still
    assert_problem(answer, 503, "payments_unavailable")


def test_a_crash_between_stripes_answer_and_our_commit_leaves_one_payment(
    organization, stripe, monkeypatch
):
    create = gateway.create_checkout

    def die_afterwards(**options):
        create(**options)
        raise SystemExit

    monkeypatch.setattr(gateway, "create_checkout", die_afterwards)
    with pytest.raises(SystemExit):
        start_checkout(organization, key="k")
    monkeypatch.undo()
    payment = start_checkout(organization, key="k")
    assert Payment.objects.get() == payment
    sessions = [each for each in stripe.objects if each.startswith("cs_")]
    assert sessions == [payment.checkout_id]
    stripe.pay(payment.checkout_id)
    deliver(stripe)
    assert balance(organization).available == 100


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_under_one_key_are_one_payment_and_one_page(stripe):
    make_catalogue()
    org = make_organization()
    results = run_together(20, lambda _: start_checkout(org, key="k").checkout_url)
    assert len({str(each) for each in results}) == 1
    assert Payment.objects.count() == 1
    assert len([each for each in stripe.objects if each.startswith("cs_")]) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"price": "pack-1"}, "unknown_price"),
        ({"price": "plan-free"}, "not_for_sale"),
        ({"price": "pack-100", "currency": "eur"}, "wrong_currency"),
        ({"price": "pack-2000"}, "price_inactive"),
    ],
)
def test_what_cannot_be_bought_has_a_code_and_charges_nothing(api, stripe, body, code):
    services.withdraw_price(price=Price.objects.get(code="pack-2000"), reason=REASON, actor=TESTER)
    BillingAccount.objects.all().delete()
    answer = api.post(URL, body, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(answer, 422, code)
    assert (Payment.objects.count(), stripe.calls) == (0, [])
    # A refusal is not remembered: put right, the same key works.
    assert api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="k").status_code == 201


def test_a_price_is_needed(api, stripe):
    assert invalid_fields(api.post(URL, {})) == {"/price"}


def test_an_unusable_key_is_422(api, stripe):
    answer = api.post(URL, {"price": "pack-100"}, HTTP_IDEMPOTENCY_KEY="x" * 256)
    assert_problem(answer, 422, "invalid_idempotency_key")


def test_a_plan_cannot_be_bought_while_one_is_active(api, organization, stripe):
    make_payment(organization, "plan-starter")
    with nothing_changes():
        assert_problem(api.post(URL, {"price": "plan-pro"}), 409, "plan_already_active")
    assert api.post(URL, {"price": "pack-100"}).status_code == 201


def test_of_two_pages_for_a_plan_only_the_last_can_be_paid(organization, stripe):
    pack = start_checkout(organization, "pack-100")
    first = start_checkout(organization, "plan-starter")
    last = start_checkout(organization, "plan-pro")
    assert [stripe.pay(each.checkout_id)["status"] for each in (first, last, pack)] == [
        "expired",
        "complete",
        "complete",
    ]
    assert set(deliver(stripe)) == {200}
    statuses = Payment.objects.values_list("price__code", "status").order_by("pk")
    assert list(statuses) == [
        ("pack-100", "PAID"),
        ("plan-starter", "EXPIRED"),
        ("plan-pro", "PAID"),
    ]
    assert balance(organization).available == 1100


def test_a_plan_that_was_paid_but_not_heard_of_yet_is_not_sold_again(api, organization, stripe):
    first = start_checkout(organization, "plan-pro")
    stripe.pay(first.checkout_id)
    answer = api.post(URL, {"price": "plan-starter"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(answer, 409, "plan_already_active")
    refused = Payment.objects.get(price__code="plan-starter")
    assert (refused.status, stripe.pay(refused.checkout_id)["status"]) == ("EXPIRED", "expired")
    assert set(deliver(stripe)) == {200}
    assert balance(organization).available == 1000


def test_a_page_that_a_crash_kept_back_is_closed_once_a_newer_one_is_open(
    api, organization, stripe
):
    start_checkout(organization)  # the customer exists
    gateway.price_id(Price.objects.get(code="plan-pro"))
    stripe.faults += ["", "lost"]  # the price is found, the answer about the page is lost
    refused = api.post(URL, {"price": "plan-pro"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(refused, 503, "payments_unavailable")
    newer = start_checkout(organization, "plan-starter")
    again = api.post(URL, {"price": "plan-pro"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(again, 409, "checkout_superseded")
    kept_back = Payment.objects.get(price__code="plan-pro")
    assert (kept_back.status, stripe.pay(kept_back.checkout_id)["status"]) == ("EXPIRED", "expired")
    assert stripe.pay(newer.checkout_id)["status"] == "complete"
    assert set(deliver(stripe)) == {200}


def test_a_plan_recorded_by_hand_closes_the_page_where_one_could_be_paid(organization, stripe):
    pack = start_checkout(organization, "pack-100")
    page = start_checkout(organization, "plan-pro")
    make_payment(organization, "plan-starter")
    page.refresh_from_db()
    assert (page.status, stripe.pay(page.checkout_id)["status"]) == ("EXPIRED", "expired")
    assert stripe.pay(pack.checkout_id)["status"] == "complete"
    assert set(deliver(stripe)) == {200}
    assert balance(organization).available == 300 + 100


def test_a_plan_is_not_recorded_by_hand_once_one_was_paid_at_stripe(organization, stripe):
    stripe.pay(start_checkout(organization, "plan-pro").checkout_id)
    with nothing_changes(), pytest.raises(Conflict) as refused:
        make_payment(organization, "plan-starter")
    assert refused.value.error_code == "plan_already_active"
    deliver(stripe)
    assert balance(organization).available == 1000


def test_a_page_of_an_earlier_stripe_account_does_not_stop_a_checkout(organization, stripe):
    page = start_checkout(organization, "plan-pro")
    del stripe.objects[page.checkout_id]
    make_payment(organization, "plan-starter")
    page.refresh_from_db()
    assert (page.status, balance(organization).available) == ("EXPIRED", 300)


def test_a_page_that_was_not_open_yet_when_a_plan_was_recorded_by_hand_is_closed(
    api, organization, stripe
):
    start_checkout(organization)  # the customer exists
    gateway.price_id(Price.objects.get(code="plan-pro"))
    stripe.faults += ["", "lost"]  # the price is found, the answer about the page is lost
    api.post(URL, {"price": "plan-pro"}, HTTP_IDEMPOTENCY_KEY="k")
    make_payment(organization, "plan-starter")
    again = api.post(URL, {"price": "plan-pro"}, HTTP_IDEMPOTENCY_KEY="k")
    assert_problem(again, 409, "plan_already_active")
    page = Payment.objects.get(price__code="plan-pro")
    assert (page.status, stripe.pay(page.checkout_id)["status"]) == ("EXPIRED", "expired")


def test_a_page_that_opens_while_a_plan_is_recorded_by_hand_is_waited_for(
    organization, stripe, monkeypatch
):
    """Pages are closed before the lock is taken, because Stripe is not asked under it."""

    def close_and_meet_another(org):
        closed = checkout.close_plan_pages(org)
        start_checkout(org, "plan-pro")
        return closed

    monkeypatch.setattr(services, "close_plan_pages", close_and_meet_another)
    with pytest.raises(Conflict) as refused:
        make_payment(organization, "plan-starter")
    assert (refused.value.error_code, balance(organization).posted) == ("checkout_open", 0)
    monkeypatch.undo()
    make_payment(organization, "plan-starter")
    assert balance(organization).posted == 300


@pytest.mark.django_db(transaction=True)
def test_an_event_about_a_page_that_is_being_closed_waits_for_nothing(stripe, monkeypatch):
    """The form of the admin is one transaction: what it wrote before its lock would be waited for
    by the owner of the lock, and the owner by them.
    """
    make_catalogue()
    org = make_organization(tier="FREE")
    start_checkout(org, "plan-pro")

    def hear():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            return deliver(stripe)
        finally:
            connection.close()

    def hear_and_lock(org_id):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(hear).result(60) == [200]
        return lock_account(org_id)

    monkeypatch.setattr(services, "lock_account", hear_and_lock)
    with transaction.atomic():
        make_payment(org, "plan-starter")
    assert [event["type"] for event in stripe.events] == ["checkout.session.expired"]
    assert Payment.objects.get(price__code="plan-pro").status == "EXPIRED"


@pytest.mark.django_db(transaction=True)
def test_what_is_bought_while_its_price_is_revised_is_bought_at_the_new_terms(stripe):
    make_catalogue()
    org = make_organization(tier="FREE")
    for code, buy in (("pack-100", start_checkout), ("pack-500", make_payment)):
        revised = threading.Event()

        def act(number, code=code, buy=buy, revised=revised):
            if number == 1:
                assert revised.wait(30)
                return buy(org, code)
            with transaction.atomic():
                price = Price.objects.get(code=code)
                services.revise_price(
                    price=price, amount=1700, credits=120, reason=REASON, actor=TESTER
                )
                revised.set()
                until_a_lock_is_waited_for()
            return None

        _, payment = run_together(2, act)
        assert isinstance(payment, Payment), payment
        assert (payment.amount, payment.credits, payment.price.amount) == (1700, 120, 1700)
        assert payment.price.frozen_at is not None
        if payment.checkout_id:
            assert stripe.objects[payment.checkout_id]["amount_total"] == 1700


@pytest.mark.django_db(transaction=True)
def test_of_ten_pages_for_a_plan_that_are_opened_at_once_one_is_open_in_the_end(stripe):
    make_catalogue()
    org = make_organization(tier="FREE")
    gateway.price_id(Price.objects.get(code="plan-pro"))
    opened = run_together(10, lambda _: start_checkout(org, "plan-pro"))
    refused = [each for each in opened if isinstance(each, Exception)]
    assert {getattr(each, "error_code", each) for each in refused} <= {"checkout_superseded"}
    sessions = [each for key, each in stripe.objects.items() if key.startswith("cs_")]
    assert sorted(each["status"] for each in sessions) == ["expired"] * 9 + ["open"]
    assert Payment.objects.filter(status="PENDING").count() == 1


@pytest.mark.parametrize(
    ("path", "body"), [(URL, {"price": "pack-100"}), ("/api/v1/billing/portal", None)]
)
def test_without_a_key_of_stripe_it_is_503_and_nothing_happens(api, path, body):
    with nothing_changes():
        assert_problem(api.post(path, body), 503, "payments_not_configured")


@pytest.mark.parametrize("path", [URL, "/api/v1/billing/portal"])
def test_it_needs_a_key_of_ours(anonymous, stripe, path):
    assert_problem(anonymous.post(path, {"price": "pack-100"}), 401, "not_authenticated")
    assert stripe.calls == []


def test_a_suspended_organization_cannot_pay(stripe):
    client = make_client(make_organization(is_active=False))
    assert_problem(client.post(URL, {"price": "pack-100"}), 403, "organization_inactive")


def test_the_portal_is_of_the_own_customer(api, organization, stripe):
    answer = api.post("/api/v1/billing/portal")
    assert answer.status_code == 200
    customer = BillingAccount.objects.get(pk=organization.pk).stripe_customer_id
    assert answer.json() == {"url": f"{stripe.url}/portal/{customer}"}

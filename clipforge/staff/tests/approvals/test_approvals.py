"""Granting and adjusting by form: what it would do, once, and with a second person above a limit."""

from __future__ import annotations

import datetime
import uuid
from collections import Counter
from typing import Any

import pytest
from django.core import signing
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clipforge.audit.models import AuditEntry
from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_grant,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.redis_server import redis_server
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.staff_client import (
    REASON,
    hidden_fields,
    open_form,
    staff_client,
)
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization, User
from clipforge.staff import tokens
from clipforge.staff.approvals import limits
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.models import ApprovalRequest
from credits import services
from credits.models import CreditAccount, CreditGrant, CreditTransaction
from credits.selectors import balance
from credits.tests.makers import make_hold, make_spend

pytestmark = pytest.mark.django_db

BOTH = ("staff.grant_credits", "staff.adjust_credits")


def url(name: str, org: Organization) -> str:
    return reverse(f"admin:{name}", args=[org.pk])


def text(answer: Any) -> str:
    return str(answer.content.decode())


def codes(answers: list[Any]) -> Counter[Any]:
    """How often each status came; an exception stands for itself."""
    return Counter(getattr(answer, "status_code", answer) for answer in answers)


def grant_form(client: Client, org: Organization, amount: Any = 50, **fields: Any) -> Any:
    fields = {"amount": amount, "kind": "PROMO", **fields}
    return open_form(client, url("grant-credits", org), **fields)


def grant(client: Client, org: Organization, amount: Any = 50, **fields: Any) -> Any:
    """Fill in the form and confirm it."""
    form = grant_form(client, org, amount, **fields)
    return client.post(url("grant-credits", org), {**form, "confirm": "yes"})


def adjust(client: Client, org: Organization, amount: Any, **fields: Any) -> Any:
    form = open_form(client, url("adjust-credits", org), amount=amount, **fields)
    return client.post(url("adjust-credits", org), {**form, "confirm": "yes"})


@pytest.fixture
def user() -> User:
    return make_staff(permissions=[*BOTH, "orgs.view_organization"])


@pytest.fixture
def finance(user: User) -> Client:
    return signed_in(user)


# --- the two steps ----------------------------------------------------------------------


def test_a_grant_is_shown_before_it_is_made_and_then_made(finance, user, organization):
    make_grant(organization, 30)
    make_hold(organization, 10)
    form = grant_form(finance, organization, 1500, ticket="T-17", expiry="2099-12-31")
    with nothing_changes():
        shown = finance.post(url("grant-credits", organization), form)
    page = text(shown)
    assert "gets 1,500 credits as a promotion." in page
    assert "2100-01-01 00:00:00 UTC ends then" in page
    assert "<td>20</td><td><strong>1,520</strong></td>" in page
    carried = hidden_fields(shown)
    answer = finance.post(url("grant-credits", organization), {**carried, "confirm": "yes"})
    assert answer.status_code == 302
    assert answer["Location"] == reverse("admin:orgs_organization_change", args=[organization.pk])
    made = CreditTransaction.objects.get(actor=f"user:{user.pk}")
    assert (made.amount, made.reason, made.reference_type, made.reference_id) == (
        1500,
        REASON,
        "ticket",
        "T-17",
    )
    lot = CreditGrant.objects.order_by("-pk")[0]
    assert (lot.kind, lot.amount) == ("PROMO", 1500)
    assert lot.expires_at == datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    assert "1,500 credits granted." in text(finance.get(answer["Location"]))


def test_the_audit_says_who_gave_what_before_and_after_and_why(finance, user, organization):
    make_grant(organization, 30)
    make_hold(organization, 10)
    grant(finance, organization, 50)
    action = AuditEntry.objects.get()
    made = CreditTransaction.objects.get(actor=f"user:{user.pk}")
    assert (action.actor, action.org, action.verb, action.reason) == (
        user,
        organization,
        "grant_credits",
        REASON,
    )
    assert (action.object_type, action.object_id) == ("credits.credittransaction", str(made.pk))
    assert action.before == {"available": 20, "posted": 30, "held": 10, "debt": 0}
    assert action.after == {
        "available": 70,
        "posted": 80,
        "held": 10,
        "debt": 0,
        "amount": 50,
        "kind": "PROMO",
    }


def test_going_back_to_change_something_keeps_what_was_typed_and_the_token(finance, organization):
    form = grant_form(finance, organization, 50, ticket="T-17", expiry="2099-12-31")
    shown = finance.post(url("grant-credits", organization), form)
    back = finance.post(url("grant-credits", organization), {**hidden_fields(shown), "edit": "yes"})
    page = text(back)
    for typed in ('value="50"', 'value="T-17"', 'value="2099-12-31"', REASON):
        assert typed in page
    assert hidden_fields(back)["token"] == form["token"]
    assert not CreditTransaction.objects.exists()


def test_an_adjustment_takes_away_and_says_so(finance, organization):
    make_grant(organization, 100)
    form = open_form(finance, url("adjust-credits", organization), amount="-40")
    page = text(finance.post(url("adjust-credits", organization), form))
    assert "40 credits are taken from" in page
    assert "Take 40 credits" in page
    assert adjust(finance, organization, -40, ticket="T-3").status_code == 302
    made = CreditTransaction.objects.get(type="ADJUST")
    assert (made.amount, made.reference_type, made.reference_id) == (-40, "ticket", "T-3")
    assert AuditEntry.objects.get().verb == "adjust_credits"
    assert balance(organization).available == 60


def test_what_a_grant_settles_of_a_debt_is_foretold_and_audited(finance, organization):
    bought = make_grant(organization, 30)
    make_spend(organization, 30)
    services.reverse_grant(
        transaction=bought,
        amount=30,
        reason="money back",
        actor=TESTER,
        audit=False,
        idempotency_key="back",
    )
    form = grant_form(finance, organization, 50)
    page = text(finance.post(url("grant-credits", organization), form))
    assert "30 of them settle at once what is owed" in page
    assert "<td>0</td><td><strong>20</strong></td>" in page
    finance.post(url("grant-credits", organization), {**form, "confirm": "yes"})
    account = CreditAccount.objects.get(pk=organization.pk)
    assert (account.posted, account.debt) == (20, 0)
    action = AuditEntry.objects.get()
    assert (action.before["debt"], action.before["posted"]) == (30, 0)
    assert (action.after["debt"], action.after["posted"]) == (0, 20)


# --- once -------------------------------------------------------------------------------


def test_sending_the_form_again_moves_nothing_more(finance, organization):
    form = {**grant_form(finance, organization), "confirm": "yes"}
    for _ in range(3):
        answer = finance.post(url("grant-credits", organization), form)
        assert answer.status_code == 302
    assert "Nothing more was moved" in text(finance.get(answer["Location"]))
    assert balance(organization).available == 50
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [{"amount": 60}, {"kind": "REFUND"}, {"expiry": "2099-01-01"}, {"reason": "another reason"}],
)
def test_going_back_and_sending_other_values_is_refused_and_said(finance, organization, other):
    form = {**grant_form(finance, organization), "confirm": "yes"}
    finance.post(url("grant-credits", organization), form)
    with nothing_changes():
        answer = finance.post(url("grant-credits", organization), {**form, **other})
    assert "has done its work already, with other values" in text(answer)


def test_a_new_form_for_the_same_amount_asks_whether_it_is_another_transaction(
    finance, organization
):
    for said in (False, True):
        form = grant_form(finance, organization, 50)
        page = text(finance.post(url("grant-credits", organization), form))
        assert ("You moved exactly this much" in page) is said
        assert (
            finance.post(url("grant-credits", organization), {**form, "confirm": "yes"}).status_code
            == 302
        )
    assert "<dd>100 credits</dd>" in text(finance.get(url("grant-credits", organization)))
    other = grant_form(finance, organization, 51)
    page = text(finance.post(url("grant-credits", organization), other))
    assert "You moved exactly this much" not in page


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_are_one_grant():
    org, user = make_organization(), make_staff(permissions=BOTH)
    form = {**grant_form(signed_in(user), org), "confirm": "yes"}
    clients = [signed_in(user) for _ in range(20)]
    answers = run_together(20, lambda n: clients[n].post(url("grant-credits", org), form))
    assert codes(answers) == {302: 20}
    assert balance(org).available == 50
    assert (CreditTransaction.objects.count(), AuditEntry.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_are_one_request_when_a_second_person_is_needed(settings):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 10
    org, user = make_organization(), make_staff(permissions=BOTH)
    form = {**grant_form(signed_in(user), org), "confirm": "yes"}
    clients = [signed_in(user) for _ in range(20)]
    answers = run_together(20, lambda n: clients[n].post(url("grant-credits", org), form))
    assert codes(answers) == {302: 20}
    assert (ApprovalRequest.objects.count(), AuditEntry.objects.count()) == (1, 1)
    assert not CreditTransaction.objects.exists()


# --- whose form -------------------------------------------------------------------------


def refused_token(client: Client, org: Organization, token: str, name: str = "grant-credits"):
    form = {"token": token, "amount": "50", "kind": "PROMO", "reason": REASON, "confirm": "yes"}
    with nothing_changes():
        answer = client.post(url(name, org), form)
    assert answer.status_code == 200
    assert 'value="50"' in text(answer)
    assert hidden_fields(answer)["token"] != token
    return text(answer)


def test_a_token_of_another_organization_or_person_or_form_moves_nothing(finance, organization):
    other = hidden_fields(finance.get(url("grant-credits", make_organization())))
    assert "not sent by a form of yours" in refused_token(finance, organization, other["token"])
    somebody = staff_client(*BOTH)
    theirs = hidden_fields(somebody.get(url("grant-credits", organization)))
    assert "not sent by a form of yours" in refused_token(finance, organization, theirs["token"])
    adjusting = hidden_fields(finance.get(url("adjust-credits", organization)))
    assert "not sent by a form" in refused_token(finance, organization, adjusting["token"])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "380617fa-602b-488c-bfa8-77c781d326d5",
        pytest.param(signing.dumps(["x"]), id="signed, of something else"),
    ],
)
def test_a_token_that_is_none_moves_nothing(finance, organization, token):
    assert "not sent by a form of yours" in refused_token(finance, organization, token)


def test_a_form_that_was_open_for_more_than_a_day_is_asked_for_again(
    finance, organization, monkeypatch
):
    token = hidden_fields(finance.get(url("grant-credits", organization)))["token"]
    monkeypatch.setattr(tokens, "LIFE", -1)
    assert "open for more than a day" in refused_token(finance, organization, token)


# --- values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount", ["", "0", "-5", "1.5", "1e3", str(2**63), "10" * 30, "ten", "٣a"]
)
def test_an_amount_that_makes_no_grant_is_said_at_its_field(finance, organization, amount):
    form = {**grant_form(finance, organization, amount), "confirm": "yes"}
    with nothing_changes():
        answer = finance.post(url("grant-credits", organization), form)
    assert answer.status_code == 200
    assert 'aria-invalid="true"' in text(answer)
    assert REASON in text(answer)


@pytest.mark.parametrize("amount", ["", "0", "0.5", str(2**63), str(-(2**63)), "x"])
def test_an_amount_that_makes_no_adjustment_is_said_at_its_field(finance, organization, amount):
    make_grant(organization, 100)
    with nothing_changes():
        answer = adjust(finance, organization, amount)
    assert (answer.status_code, 'aria-invalid="true"' in text(answer)) == (200, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"expiry": "2020-01-01"},
        {"expiry": "9999-12-31"},
        {"expiry": "soon"},
        {"kind": "ADJUST"},
        {"kind": "X"},
        {"reason": "ok"},
        {"reason": ""},
        {"reason": "x" * 501},
        {"ticket": "x" * 65},
        {"ticket": "\x00"},
    ],
)
def test_what_does_not_fit_is_said_and_nothing_moves(finance, organization, wrong):
    with nothing_changes():
        answer = grant(finance, organization, **wrong)
    assert (answer.status_code, 'aria-invalid="true"' in text(answer)) == (200, True)


def test_more_than_is_available_cannot_be_taken_and_what_was_typed_stays(finance, organization):
    make_grant(organization, 100)
    make_hold(organization, 30)
    with nothing_changes():
        early = open_form(finance, url("adjust-credits", organization), amount="-80")
        early_answer = finance.post(url("adjust-credits", organization), early)
        answer = adjust(finance, organization, -80)
    for page in (text(early_answer), text(answer)):
        assert "80 credits cannot be taken: 70 are available now." in page
        assert "Running work holds 30 more." in page
        assert 'value="-80"' in page


def test_a_balance_that_moved_between_the_steps_matters_only_where_it_is_not_covered(
    finance, organization
):
    make_grant(organization, 100)
    form = open_form(finance, url("adjust-credits", organization), amount="-80")
    shown = finance.post(url("adjust-credits", organization), form)
    assert "Take 80 credits" in text(shown)
    make_spend(organization, 15)
    confirm = {**hidden_fields(shown), "confirm": "yes"}
    assert finance.post(url("adjust-credits", organization), confirm).status_code == 302
    assert balance(organization).available == 5
    action = AuditEntry.objects.get()
    assert (action.before["available"], action.after["available"]) == (85, 5)


@pytest.mark.django_db(transaction=True)
def test_two_who_take_the_last_credits_at_once_take_them_once():
    org = make_organization(credits_=100)
    clients = [staff_client(*BOTH), staff_client(*BOTH)]
    forms = [
        {**open_form(client, url("adjust-credits", org), amount="-70"), "confirm": "yes"}
        for client in clients
    ]
    answers = run_together(2, lambda n: clients[n].post(url("adjust-credits", org), forms[n]))
    assert codes(answers) == {200: 1, 302: 1}
    assert balance(org).available == 30


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_what_is_typed_is_shown_as_text(finance, organization, settings, attack):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 10
    Organization.objects.filter(pk=organization.pk).update(name=attack)
    form = grant_form(finance, organization, 50, ticket=attack[:60], reason=attack)
    pages = [finance.post(url("grant-credits", organization), {**form, "edit": "yes"})]
    pages.append(finance.post(url("grant-credits", organization), form))
    asked = finance.post(url("grant-credits", organization), {**form, "confirm": "yes"})
    pages += [finance.get(asked["Location"]), finance.get(reverse("admin:approvals"))]
    for page in pages:
        assert attack not in text(page)
        assert "alert(1)" in text(page)


# --- who may ----------------------------------------------------------------------------

PAGES = {
    "grant-credits": "staff.grant_credits",
    "adjust-credits": "staff.adjust_credits",
}


@pytest.mark.parametrize("name", PAGES)
def test_only_who_has_the_permission_sees_the_form_or_sends_it(organization, name):
    others = [each for each in BOTH if each != PAGES[name]]
    without = staff_client(*others, "staff.confirm_credits", "orgs.view_organization")
    with nothing_changes():
        assert without.get(url(name, organization)).status_code == 403
        assert without.post(url(name, organization), {"confirm": "yes"}).status_code == 403
    assert staff_client(PAGES[name]).get(url(name, organization)).status_code == 200
    customer = Client()
    customer.force_login(make_user())
    assert customer.get(url(name, organization)).status_code == 302
    assert Client().post(url(name, organization), {"confirm": "yes"}).status_code == 302


@pytest.mark.parametrize("name", PAGES)
def test_an_organization_that_is_none_is_not_found(finance, name):
    assert finance.get(reverse(f"admin:{name}", args=[uuid.uuid4()])).status_code == 404


@pytest.mark.parametrize("name", PAGES)
def test_a_form_without_the_token_of_the_browser_is_refused(user, organization, name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    with nothing_changes():
        assert client.post(url(name, organization), {"confirm": "yes"}).status_code == 403


# --- the second person ------------------------------------------------------------------


@pytest.fixture
def low_limit(settings: Any) -> None:
    settings.STAFF_GRANT_CONFIRM_CREDITS = 100


def asked_for(
    client: Client, org: Organization, amount: int = 500, **fields: Any
) -> ApprovalRequest:
    answer = grant(client, org, amount, **fields)
    asked = ApprovalRequest.objects.latest("pk")
    assert answer["Location"] == reverse("admin:approval", args=[asked.pk])
    return asked


def decide(client: Client, asked: ApprovalRequest, decision: str = "confirm", reason: str = REASON):
    return client.post(
        reverse("admin:approval", args=[asked.pk]), {decision: "yes", "reason": reason}
    )


CONFIRM = "staff.confirm_credits"


@pytest.mark.usefixtures("low_limit")
def test_a_large_grant_waits_for_a_second_person(finance, user, organization):
    form = grant_form(finance, organization, 101, ticket="T-9", expiry="2099-01-31")
    page = text(finance.post(url("grant-credits", organization), form))
    assert "is more than 100 credits" in page
    assert "Ask a second person" in page
    asked = asked_for(finance, organization, 101, ticket="T-9", expiry="2099-01-31")
    assert (asked.status, asked.requested_by, balance(organization).available) == (
        "PENDING",
        user,
        0,
    )
    assert AuditEntry.objects.get().verb == "request_credits"
    second = make_staff(permissions=[CONFIRM])
    client = signed_in(second)
    assert "Grant of 101 credits" in text(client.get(reverse("admin:approvals")))
    assert decide(client, asked).status_code == 302
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by, asked.decision_reason) == ("CONFIRMED", second, REASON)
    made = CreditTransaction.objects.get()
    assert (made.amount, made.actor, made.reference_type, made.reference_id) == (
        101,
        f"user:{user.pk}",
        "staff_request",
        str(asked.pk),
    )
    assert made.idempotency_key == f"staff:{asked.token}"
    assert CreditGrant.objects.get().expires_at == datetime.datetime(
        2099, 2, 1, tzinfo=datetime.UTC
    )
    action = AuditEntry.objects.latest("pk")
    assert (action.verb, action.actor, action.after["asked_by"]) == (
        "confirm_credits",
        second,
        str(user),
    )


@pytest.mark.usefixtures("low_limit")
def test_a_refusal_moves_nothing_and_is_kept(finance, organization):
    asked = asked_for(finance, organization)
    second = staff_client(CONFIRM)
    assert decide(second, asked, "refuse").status_code == 302
    asked.refresh_from_db()
    assert (asked.status, balance(organization).available) == ("REFUSED", 0)
    assert AuditEntry.objects.latest("pk").verb == "refuse_credits"
    with nothing_changes():
        assert "decided already: refused" in text(decide(second, asked))


@pytest.mark.parametrize("decision", ["confirm", "refuse"])
@pytest.mark.usefixtures("low_limit")
def test_nobody_decides_what_they_asked_for_not_even_a_superuser(organization, decision):
    client = signed_in(make_user(is_staff=True, is_superuser=True))
    asked = asked_for(client, organization)
    page = text(client.get(reverse("admin:approval", args=[asked.pk])))
    assert "somebody else decides it" in page
    assert 'name="confirm"' not in page
    with nothing_changes():
        answer = decide(client, asked, decision)
    assert "You asked for this" in text(answer)
    asked.refresh_from_db()
    assert asked.status == "PENDING"


@pytest.mark.usefixtures("low_limit")
def test_who_may_not_confirm_cannot(finance, organization):
    asked = asked_for(finance, organization)
    page = reverse("admin:approval", args=[asked.pk])
    without = staff_client(*BOTH)
    assert 'name="confirm"' not in text(without.get(page))
    for decision in ("confirm", "refuse"):
        with nothing_changes():
            assert decide(without, asked, decision).status_code == 403
    nobody = staff_client("staff.retry_work")
    assert nobody.get(page).status_code == 403
    assert nobody.get(reverse("admin:approvals")).status_code == 403


@pytest.mark.usefixtures("low_limit")
def test_a_decision_needs_a_reason_and_a_choice(finance, organization):
    asked = asked_for(finance, organization)
    second = staff_client(CONFIRM)
    with nothing_changes():
        for reason in ("", "ok"):
            assert decide(second, asked, reason=reason).status_code == 200
        assert "nothing was chosen" in text(decide(second, asked, "hesitate"))


@pytest.mark.usefixtures("low_limit")
def test_small_transactions_of_a_day_count_together_up_and_down_alike(finance, organization):
    assert "/change/" in grant(finance, organization, 60)["Location"]
    assert "/change/" in adjust(finance, organization, -30)["Location"]
    assert "/change/" in adjust(finance, organization, 10)["Location"]
    assert "/requests/" in grant(finance, organization, 1)["Location"]
    assert "/requests/" in adjust(finance, organization, -1)["Location"]
    # Of another person, or for another organization.
    assert "/change/" in grant(staff_client(*BOTH), organization, 60)["Location"]
    assert "/change/" in grant(finance, make_organization(), 60)["Location"]


@pytest.mark.usefixtures("low_limit")
def test_what_a_second_person_confirmed_and_what_customers_do_does_not_count(finance, organization):
    make_grant(organization, 5000)
    make_spend(organization, 300)
    decide(staff_client(CONFIRM), asked_for(finance, organization))
    assert "/change/" in grant(finance, organization, 100)["Location"]


@pytest.mark.usefixtures("low_limit")
def test_what_was_moved_more_than_a_day_ago_does_not_count(finance, user, organization):
    grant(finance, organization, 100)
    assert limits.moved_lately(organization, user).for_org == 100
    window = limits.WINDOW
    try:
        limits.WINDOW = datetime.timedelta(0)
        assert limits.moved_lately(organization, user).for_org == 0
    finally:
        limits.WINDOW = window


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("low_limit")
def test_several_small_grants_at_once_do_not_pass_for_less_than_their_sum():
    org, user = make_organization(), make_staff(permissions=BOTH)
    clients = [signed_in(user) for _ in range(8)]
    forms = [{**grant_form(client, org, 30), "confirm": "yes"} for client in clients]
    answers = run_together(8, lambda n: clients[n].post(url("grant-credits", org), forms[n]))
    assert codes(answers) == {302: 8}
    assert balance(org).available == 90
    assert ApprovalRequest.objects.filter(status="PENDING").count() == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("low_limit")
@pytest.mark.parametrize("decisions", [("confirm",) * 8, ("confirm", "refuse") * 4])
def test_of_many_who_decide_at_once_one_does(decisions):
    org = make_organization()
    asked = asked_for(staff_client(*BOTH), org)
    clients = [staff_client(CONFIRM) for _ in decisions]
    answers = run_together(8, lambda n: decide(clients[n], asked, decisions[n]))
    assert codes(answers) == {302: 1, 200: 7}
    asked.refresh_from_db()
    moved = 500 if asked.status == "CONFIRMED" else 0
    assert balance(org).available == moved
    assert CreditTransaction.objects.count() == (1 if moved else 0)
    assert AuditEntry.objects.exclude(verb="request_credits").count() == 1


@pytest.mark.usefixtures("low_limit")
def test_a_confirmation_that_is_not_covered_any_more_leaves_the_request_waiting(
    finance, organization
):
    make_grant(organization, 500)
    adjust(finance, organization, -400)
    asked = ApprovalRequest.objects.get()
    make_spend(organization, 200)
    with nothing_changes():
        answer = decide(staff_client(CONFIRM), asked)
    assert "400 credits cannot be taken: 300 are available now" in text(answer)
    asked.refresh_from_db()
    assert asked.status == "PENDING"


def left_waiting(user: User, org: Organization, days: float) -> ApprovalRequest:
    return ApprovalRequest.objects.create(
        token=uuid.uuid4(),
        org=org,
        kind="GRANT",
        grant_kind="PROMO",
        amount=500,
        reason=REASON,
        requested_by=user,
        requested_at=timezone.now() - datetime.timedelta(days=days),
    )


def test_a_request_that_nobody_decided_in_seven_days_has_expired(user, organization):
    asked, fresh = [left_waiting(user, organization, days) for days in (7.01, 6.99)]
    second = staff_client(CONFIRM)
    with nothing_changes():
        assert "has expired" in text(decide(second, asked))
        assert "has expired" in text(decide(second, asked, "refuse"))
    assert ">Expired<" in text(second.get(reverse("admin:approval", args=[asked.pk])))
    assert approval_services.expire_requests() == 1
    assert approval_services.expire_requests() == 0
    asked.refresh_from_db()
    assert (asked.status, asked.decided_by) == ("EXPIRED", None)
    assert "decided already: expired" in text(decide(second, asked))
    assert decide(second, fresh).status_code == 302
    assert balance(organization).available == 500


@pytest.mark.usefixtures("low_limit")
def test_credits_that_would_have_ended_meanwhile_cannot_be_confirmed(
    finance, organization, monkeypatch
):
    asked = asked_for(finance, organization, expiry="2099-01-01")
    later = datetime.datetime(2099, 2, 1, tzinfo=datetime.UTC)
    monkeypatch.setattr("credits.services.timezone.now", lambda: later)
    answer = decide(staff_client(CONFIRM), asked)
    assert "end of the credits has passed" in text(answer)
    asked.refresh_from_db()
    assert asked.status == "PENDING"


@pytest.mark.usefixtures("low_limit")
def test_the_database_refuses_one_person_for_two_and_to_change_what_was_asked(
    finance, organization
):
    asked = asked_for(finance, organization)
    decided = asked_for(finance, organization)
    decide(staff_client(CONFIRM), decided, "refuse")
    attacks = [
        (
            asked,
            "status = 'CONFIRMED', decided_by_id = requested_by_id, decided_at = now(),"
            " decision_reason = 'x'",
        ),
        (asked, "status = 'CONFIRMED'"),
        (asked, "amount = 1"),
        (asked, "requested_by_id = 0"),
        (decided, "status = 'CONFIRMED'"),
    ]
    for row, change in attacks:
        with pytest.raises(IntegrityError), transaction.atomic():
            connection.cursor().execute(
                f"UPDATE staff_moneyrequest SET {change} WHERE id = %s",  # noqa: S608 - our own text
                [row.pk],
            )
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.cursor().execute("DELETE FROM staff_moneyrequest")


def test_a_request_that_is_none_is_not_found(finance):
    for pk in (0, 10**30):
        assert finance.get(reverse("admin:approval", args=[pk])).status_code == 404


# --- what else happens ------------------------------------------------------------------


def test_every_page_takes_few_queries(
    finance, organization, settings, django_assert_max_num_queries
):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 100
    form = grant_form(finance, organization, 50)
    for _ in range(5):
        asked = asked_for(finance, organization)
    for page in (
        url("grant-credits", organization),
        url("adjust-credits", organization),
        reverse("admin:approvals"),
        reverse("admin:approval", args=[asked.pk]),
    ):
        with django_assert_max_num_queries(9):  # one for the phone
            assert finance.get(page).status_code == 200
    with django_assert_max_num_queries(9):
        finance.post(url("grant-credits", organization), form)


@pytest.mark.django_db(transaction=True)
def test_without_redis_a_grant_is_made_and_the_cached_balance_is_never_stale_after(settings):
    org = make_organization(credits_=5)
    finance = staff_client(*BOTH)
    api_key = make_api_key(org)
    with redis_server() as redis:
        settings.CACHES = {
            name: {**options, "LOCATION": redis.url} for name, options in settings.CACHES.items()
        }
        form = {**grant_form(finance, org), "confirm": "yes"}
        asking = {"Authorization": f"Bearer {api_key.secret}"}
        assert Client().get("/api/v1/credits/balance", headers=asking).json()["available"] == 5
        redis.freeze()
        assert finance.post(url("grant-credits", org), form).status_code == 302
        redis.thaw()
        default_cache().redis.connection_pool.breaker.succeeded()
        assert Client().get("/api/v1/credits/balance", headers=asking).json()["available"] == 55

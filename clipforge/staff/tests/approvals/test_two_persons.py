"""Four eyes are of two persons, whatever one of them tries; and payments by hand count too."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.models import Payment, Price
from billing.tests.makers import make_catalogue, make_payment
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import make_organization, make_user
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.staff_client import REASON, open_form
from clipforge.devtools.testing.state import nothing_changes
from clipforge.orgs.models import Organization, User
from clipforge.staff.approvals import limits
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.models import ApprovalRequest
from credits.models import CreditTransaction
from credits.selectors import balance

pytestmark = pytest.mark.django_db

ADD = "/admin/billing/payment/add/"
NEW = "a better horse battery"


@pytest.fixture(autouse=True)
def low_limits(settings: Any) -> None:
    settings.STAFF_GRANT_CONFIRM_CREDITS = 1000
    settings.STAFF_DAY_CONFIRM_CREDITS = 2500
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def user() -> User:
    return make_staff("finance")


@pytest.fixture
def finance(user: User) -> Client:
    return signed_in(user)


def grant(client: Client, org: Organization, amount: int) -> Any:
    url = reverse("admin:grant-credits", args=[org.pk])
    form = open_form(client, url, amount=amount, kind="PROMO")
    return client.post(url, {**form, "confirm": "yes"})


def price_of(code: str) -> Price:
    return Price.objects.get(code=code, is_active=True)


def record(client: Client, org: Organization, code: str, reference: str, **fields: Any) -> Any:
    form = {
        "org": str(org.pk),
        "price": str(price_of(code).pk),
        "reference": reference,
        "audit_reason": REASON,
        "paid_on": "2026-01-31",
        **fields,
    }
    return client.post(ADD, form)


def revise(client: Client, code: str, **terms: Any) -> None:
    price = price_of(code)
    form = {
        "name": price.name,
        "tier": price.tier,
        "credits": price.credits,
        "amount": Decimal(price.amount) / 100,
        "currency": "usd",
        "validity_days": "",
        "audit_reason": REASON,
        **terms,
    }
    assert client.post(f"/admin/billing/price/{price.pk}/change/", form).status_code == 302


def decide(client: Client, decision: str = "confirm", asked: ApprovalRequest | None = None) -> Any:
    asked = asked or ApprovalRequest.objects.get()
    url = reverse("admin:approval", args=[asked.pk])
    return client.post(url, {"reason": REASON, decision: "yes"})


def page(client: Client, asked: ApprovalRequest) -> str:
    return client.get(reverse("admin:approval", args=[asked.pk])).content.decode()


def is_asked(answer: Any) -> bool:
    return "/credits/requests/" in answer["Location"]


# --- payments by hand ------------------------------------------------------------------


def test_a_large_payment_waits_for_a_second_person_and_is_recorded_as_it_was_asked(
    finance, user, organization
):
    answer = record(finance, organization, "pack-2000", "SEPA 1")
    asked = ApprovalRequest.objects.get()
    assert answer["Location"] == reverse("admin:approval", args=[asked.pk])
    assert (asked.kind, asked.amount, asked.ticket, asked.price) == (
        "PAYMENT",
        2000,
        "SEPA 1",
        price_of("pack-2000"),
    )
    assert not Payment.objects.exists()
    action = AuditEntry.objects.get()
    assert (action.verb, action.after["price"]) == ("request_credits", "pack-2000 v1")
    # The button again is the same request, and the requester cannot confirm it.
    assert record(finance, organization, "pack-2000", " SEPA  1")["Location"] == answer["Location"]
    assert record(finance, organization, "pack-2000", "SEPA1")["Location"] == answer["Location"]
    assert decide(finance).status_code == 200
    colleague = make_staff("finance")
    text = page(signed_in(colleague), asked)
    assert "paid $129.00 for pack-2000 v1 by transfer, on 2026-01-31." in text
    assert "gets 2,000 credits." in text
    assert decide(signed_in(colleague)).status_code == 302
    payment = Payment.objects.get()
    assert (payment.reference, payment.credits, payment.actor, payment.reason) == (
        "SEPA 1",
        2000,
        f"user:{user.pk}",
        REASON,
    )
    assert str(payment.paid_at).startswith("2026-01-31")
    assert balance(organization).available == 2000
    action = AuditEntry.objects.latest("pk")
    assert (action.verb, action.actor, action.object_id, action.after["asked_by"]) == (
        "confirm_credits",
        colleague,
        str(payment.pk),
        str(user),
    )
    # What two did counts for neither of them.
    assert limits.moved_lately(organization, user) == (0, 0)
    assert limits.moved_lately(organization, colleague) == (0, 0)


def test_a_plan_that_is_paid_by_transfer_begins_when_it_is_confirmed(finance, organization):
    assert is_asked(record(finance, organization, "plan-enterprise", "SEPA 1"))
    colleague = signed_in(make_staff("admin"))
    assert "20,000 credits a month" in page(colleague, ApprovalRequest.objects.get())
    assert decide(colleague).status_code == 302
    organization.refresh_from_db()
    assert (organization.tier, balance(organization).available) == ("ENTERPRISE", 20_000)


def test_grants_and_payments_count_together(finance, user, organization):
    assert not is_asked(record(finance, organization, "pack-500", "SEPA 1"))
    assert limits.moved_lately(organization, user) == (500, 500)
    assert not is_asked(grant(finance, organization, 400))
    assert is_asked(record(finance, organization, "pack-500", "SEPA 2"))
    assert is_asked(grant(finance, organization, 101))
    assert not is_asked(record(finance, organization, "pack-100", "SEPA 3"))
    # The same transfer again is the payment that there is, whatever was moved since.
    assert not is_asked(record(finance, organization, "pack-500", "SEPA 1"))
    assert Payment.objects.count() == 2


def test_who_changed_a_price_lately_records_no_payment_for_it_alone(finance, organization):
    make_payment(organization, "pack-100")  # so that the change makes another version
    revise(finance, "pack-100", credits=900, amount=1)
    revise(signed_in(make_staff("finance")), "pack-100", name="A hundred")
    assert is_asked(record(finance, organization, "pack-100", "SEPA 1"))
    assert not is_asked(record(signed_in(make_staff("admin")), organization, "pack-100", "SEPA 2"))


def test_a_price_of_two_billion_credits_brings_nothing_by_one_person(finance, organization):
    revise(finance, "pack-100", credits=2_000_000_000, amount=1)
    assert is_asked(record(finance, organization, "pack-100", "SEPA 1"))
    assert balance(organization).available == 0


def test_a_price_that_changed_since_or_a_transfer_that_was_recorded_is_not_confirmed(
    finance, organization
):
    record(finance, organization, "pack-2000", "SEPA 1")
    colleague = signed_in(make_staff("finance"))
    make_payment(make_organization(), "pack-100", reference="SEPA 1")
    with nothing_changes():
        assert "was recorded meanwhile" in decide(colleague).content.decode()
    Payment.objects.update(reference="SEPA 2")
    revise(signed_in(make_staff("finance")), "pack-2000", credits=3000)
    with nothing_changes():
        assert "pack-2000 v1 is not sold any more" in decide(colleague).content.decode()
    assert decide(colleague, "refuse").status_code == 302


def test_a_transfer_that_waits_is_not_asked_for_as_another_payment(finance, organization):
    record(finance, organization, "pack-2000", "SEPA 1")
    with nothing_changes():
        answer = record(finance, make_organization(), "pack-2000", "SEPA 1")
    assert "waits for a second person already" in answer.content.decode()


@pytest.mark.parametrize("wrong", [{"reference": " "}, {"paid_on": "2999-01-01"}])
def test_what_makes_no_payment_is_not_asked_for(finance, organization, wrong):
    with nothing_changes():
        assert (
            record(finance, organization, "pack-2000", **{"reference": "S", **wrong}).status_code
            == 200
        )


def test_what_was_asked_of_a_payment_the_database_refuses_to_change(finance, organization):
    record(finance, organization, "pack-2000", "SEPA 1")
    other = price_of("pack-500").pk
    for change in (f"price_id = '{other}'", "paid_on = '2026-02-01'", "kind = 'GRANT'"):
        with pytest.raises(IntegrityError), transaction.atomic():
            connection.cursor().execute(f"UPDATE staff_moneyrequest SET {change}")  # noqa: S608 - our own text


@pytest.mark.django_db(transaction=True)
def test_several_payments_at_once_do_not_pass_for_less_than_their_sum():
    make_catalogue()
    org, user = make_organization(), make_staff("finance")
    clients = [signed_in(user) for _ in range(6)]
    answers = run_together(6, lambda n: record(clients[n], org, "pack-500", f"SEPA {n}"))
    assert sum(is_asked(answer) for answer in answers) == 4
    assert balance(org).available == 1000
    assert (Payment.objects.count(), ApprovalRequest.objects.count()) == (2, 4)


# --- over all organizations ------------------------------------------------------------


def test_many_organizations_do_not_make_many_limits(finance, user):
    first, second, third = (make_organization() for _ in range(3))
    assert not is_asked(grant(finance, first, 1000))
    assert not is_asked(record(finance, second, "pack-500", "SEPA 1"))
    url = reverse("admin:grant-credits", args=[third.pk])
    form = open_form(finance, url, amount=1000, kind="PROMO")
    assert not is_asked(finance.post(url, {**form, "confirm": "yes"}))
    assert limits.moved_lately(third, user) == (1000, 2500)
    form = open_form(
        finance, url := reverse("admin:grant-credits", args=[second.pk]), amount=1, kind="PROMO"
    )
    text = finance.post(url, form).content.decode()
    assert "what you moved for all organizations in the last 24 hours, is more than 2,500" in text
    assert is_asked(finance.post(url, {**form, "confirm": "yes"}))
    assert not is_asked(grant(signed_in(make_staff("finance")), second, 1))


# --- who is another person -------------------------------------------------------------


def act_on(actor: User, person: User, *, days: float = 0) -> None:
    AuditEntry.objects.create(
        actor=actor,
        verb="change",
        object_type="orgs.user",
        object_id=str(person.pk),
        reason=REASON,
        created_at=timezone.now() - datetime.timedelta(days=days),
    )


def test_an_admin_is_not_two_persons_by_the_account_of_a_colleague(organization):
    me, other = make_staff("admin"), make_staff("finance")
    client = signed_in(me)
    assert is_asked(grant(client, organization, 5000))
    form = {"password1": NEW, "password2": NEW, "usable_password": "true", "audit_reason": REASON}
    url = reverse("admin:auth_user_password_change", args=[other.pk])
    assert client.post(url, form).status_code == 302
    other.refresh_from_db()
    theirs = signed_in(other)
    text = page(theirs, ApprovalRequest.objects.get())
    assert "do not count as two persons" in text
    assert 'name="confirm"' not in text
    with nothing_changes():
        assert "do not count as two persons" in decide(theirs).content.decode()
    assert balance(organization).available == 0
    assert decide(signed_in(make_staff("finance"))).status_code == 302


def test_an_admin_is_not_two_persons_by_an_account_that_they_made(organization):
    client = signed_in(make_staff("admin"))
    assert is_asked(grant(client, organization, 5000))
    form = {"username": "sock", "email": "sock@example.com", "password1": NEW, "password2": NEW}
    form |= {"usable_password": "true", "audit_reason": REASON}
    assert client.post("/admin/orgs/user/add/", form).status_code == 302
    sock = User.objects.get(username="sock")
    User.objects.filter(pk=sock.pk).update(is_staff=True)
    sock.groups.add(Group.objects.get(name="finance"))
    sock.refresh_from_db()
    with nothing_changes():
        assert "do not count as two persons" in decide(signed_in(sock)).content.decode()
    assert decide(signed_in(sock), "refuse").status_code == 302


@pytest.mark.parametrize(
    ("acts", "may"),
    [
        (["asker > confirmer"], False),
        (["confirmer > asker"], False),
        (["asker > third", "third > confirmer"], False),
        (["confirmer > third", "third > asker"], False),
        (["third > asker", "third > confirmer"], True),
        (["asker > asker", "confirmer > confirmer"], True),
        (["asker > third", "confirmer > third"], True),
    ],
)
def test_who_counts_as_another_person(acts, may):
    people = {name: make_user(is_staff=True) for name in ("asker", "confirmer", "third")}
    people["asker"].groups.add(Group.objects.get(name="finance"))
    for act in acts:
        actor, _, person = act.partition(" > ")
        act_on(people[actor], people[person])
    asked = ApprovalRequest(kind="GRANT", requested_by=people["asker"])
    assert (approval_services.why_not_confirmed(asked, people["confirmer"]) is None) is may


def test_after_thirty_days_they_count_as_two_again(user):
    confirmer = make_user(is_staff=True)
    act_on(user, confirmer, days=30.01)
    assert (
        approval_services.why_not_confirmed(
            ApprovalRequest(kind="GRANT", requested_by=user), confirmer
        )
        is None
    )
    act_on(user, confirmer, days=29.99)
    assert approval_services.why_not_confirmed(
        ApprovalRequest(kind="GRANT", requested_by=user), confirmer
    )


# --- who may not ask any more ----------------------------------------------------------


@pytest.mark.parametrize("how", ["is_active", "is_staff", "groups"])
def test_what_somebody_asked_who_was_dismissed_is_refused_and_not_confirmed(
    finance, user, organization, how
):
    grant(finance, organization, 5000)
    if how == "groups":
        user.groups.set([Group.objects.get(name="support")])
    else:
        User.objects.filter(pk=user.pk).update(**{how: False})
    colleague = signed_in(make_staff("finance"))
    text = page(colleague, ApprovalRequest.objects.get())
    assert "may not ask for this any more" in text
    assert 'name="confirm"' not in text
    with nothing_changes():
        assert "may not ask for this any more" in decide(colleague).content.decode()
    assert decide(colleague, "refuse").status_code == 302
    assert not CreditTransaction.objects.exists()

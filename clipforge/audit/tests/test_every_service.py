"""Every service that names its actor leaves one row in the audit, or says here why it leaves none.

The list of services is read from the code: each public function of ours that takes an `actor`. A new
one fails here until it has a scenario, or a reason.
"""

from __future__ import annotations

import ast
import datetime
import importlib
import inspect
import pkgutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

import billing
import clipforge
import credits as credits_app
import exports
import projects
from billing import payments, refunding, subscriptions
from billing import services as billing_services
from billing.accounts import lock_account
from billing.models import Payment, PaymentMethod, PaymentStatus, Price, StripeEvent
from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_endpoint,
    make_grant,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.staff import code_of, make_staff, phone_of
from clipforge.events import disabling
from clipforge.events import services as event_services
from clipforge.jobs.rules import Action
from clipforge.orgs import services as org_services
from clipforge.staff.approvals import refunding as approval_refunding
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.login import second_factor
from clipforge.staff.models import ApprovalKind, ApprovalRequest, Note
from clipforge.staff.organizations import notes
from clipforge.staff.videos import services as video_services
from clipforge.staff.work import services as work_services
from credits import services as credit_services
from credits.models import CreditTransaction

pytestmark = pytest.mark.django_db

ROOT = Path(clipforge.__file__).parents[1]
OURS = (clipforge, credits_app, projects, exports, billing)
TOOLS = "clipforge.devtools"

# Functions, or whole modules, that take an actor and leave no row of their own.
EXEMPT = {
    "clipforge.audit.services.write_entry": "it is the row",
    "credits.auditing.write_transaction_entry": "it is the row, for the services of the ledger",
    "clipforge.orgs.services.end_sessions": "a part of other changes of an account, with their row",
    "credits.services.reserve": "work of machines, for every job: its trail is the ledger",
    "credits.services.capture": "work of machines, for every job: its trail is the ledger",
    "credits.services.release": "work of machines, for every job: its trail is the ledger",
    "credits.ledger": "the inside of the ledger: its services leave the row",
    "clipforge.staff.approvals.services.locked_person": "a lock, which changes nothing",
    "credits.rules.require_trace": "a rule that changes nothing",
    "credits.reconciling.check_ledger": "only reads, and keeps its result in a table of its own",
    "clipforge.jobs": "a customer's job, of which the row of the job and the ledger tell",
    "projects": "a customer's work, of which its own rows and the ledger tell",
    "exports": "a customer's work, of which its own rows and the ledger tell",
    "billing.checkout.start_checkout": "opens a page to pay: no money yet, and its row names the key",
}

# Calls with `audit=False`, by the function that makes them: whose row it is instead.
UNAUDITED = {
    "billing.payments._grant_pack": "the row of the payment",
    "billing.payments._take_back": "the row of the payment that went back",
    "billing.payments._give_again": "the row of the payment that went back, or came again",
    "billing.sandboxes.fill_up": "the row of the sandbox that is made; later once a day, by the clock",
    "billing.subscriptions.grant_if_begun": "the period names its credits; every month, by the clock",
    "billing.refunding.request_refund": "the row of the refund that was asked for",
    "clipforge.staff.approvals.services._record": "the row of the second person's yes",
    "clipforge.staff.approvals.services._refund_confirmed": "the row of the second person's yes",
    "clipforge.staff.approvals.services._move_confirmed": "the row of the second person's yes",
}


def modules() -> Iterator[Any]:
    for package in OURS:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            parts = found.name.split(".")
            if found.name.startswith(TOOLS) or {"migrations", "tests"} & set(parts):
                continue
            yield importlib.import_module(found.name)


def takes_actor() -> dict[str, Callable[..., Any]]:
    return {
        f"{module.__name__}.{name}": function
        for module in modules()
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and "actor" in inspect.signature(function).parameters
    }


def exemption_of(name: str) -> str | None:
    return next((each for each in EXEMPT if name == each or name.startswith(f"{each}.")), None)


# --- a scenario each: prepared first, then run ------------------------------------------

Act = Callable[[], Any]
BECAUSE: dict[str, Any] = {"reason": REASON, "actor": TESTER}


def create_organization() -> Act:
    return lambda: org_services.create_organization(
        name="Acme", owner_email="a@b.example", **BECAUSE
    )


def change_tier() -> Act:
    org = make_organization(tier="FREE")
    return lambda: org_services.change_tier(organization=org, tier="PRO", **BECAUSE)


def override_rate_limit() -> Act:
    org = make_organization()
    return lambda: org_services.override_rate_limit(
        organization=org, requests_per_minute=7, **BECAUSE
    )


def allow_origins() -> Act:
    org = make_organization()
    return lambda: org_services.allow_origins(
        organization=org, origins=["https://app.example.com"], **BECAUSE
    )


def reset_limits() -> Act:
    org = make_organization()
    return lambda: org_services.reset_limits(organization=org, **BECAUSE)


def suspend() -> Act:
    org = make_organization()
    return lambda: org_services.suspend(organization=org, **BECAUSE)


def restore() -> Act:
    org = make_organization(is_active=False)
    return lambda: org_services.restore(organization=org, **BECAUSE)


def create_api_key() -> Act:
    org = make_organization()
    return lambda: org_services.create_api_key(organization=org, name="ci", **BECAUSE)


def revoke_api_key() -> Act:
    key = make_api_key(make_organization()).api_key
    return lambda: org_services.revoke_api_key(api_key=key, **BECAUSE)


def rotate_api_key() -> Act:
    key = make_api_key(make_organization()).api_key
    return lambda: org_services.rotate_api_key(api_key=key, **BECAUSE)


def revoke_with_descendants() -> Act:
    key = make_api_key(make_organization()).api_key
    return lambda: org_services.revoke_with_descendants(api_key=key, **BECAUSE)


def limit_api_key() -> Act:
    key = make_api_key(make_organization()).api_key
    return lambda: org_services.limit_api_key(
        api_key=key, scopes="read", allowed_addresses=[], monthly_cap=5, **BECAUSE
    )


def create_token() -> Act:
    key = make_api_key(make_organization()).api_key
    ends = timezone.now() + datetime.timedelta(minutes=5)
    return lambda: org_services.create_token(
        created_with=key, scopes="read", expires_at=ends, **BECAUSE
    )


def ensure_sandbox() -> Act:
    organization = make_organization()
    return lambda: org_services.ensure_sandbox(organization=organization, **BECAUSE)


def grant() -> Act:
    org = make_organization()
    return lambda: credit_services.grant(
        org=org, amount=5, kind="PROMO", idempotency_key="k", **BECAUSE
    )


def adjust() -> Act:
    org = make_organization(credits_=5)
    return lambda: credit_services.adjust(org=org, amount=-2, idempotency_key="k", **BECAUSE)


def refund() -> Act:
    make_project()
    spend = CreditTransaction.objects.get(type="SPEND")
    return lambda: credit_services.refund(transaction=spend, idempotency_key="k", **BECAUSE)


def reverse_grant() -> Act:
    bought = make_grant(make_organization(), 5, kind="PURCHASE")
    return lambda: credit_services.reverse_grant(
        transaction=bought, amount=2, idempotency_key="k", **BECAUSE
    )


def pack() -> Price:
    return Price.objects.get(code="pack-100", is_active=True)


def record_payment() -> Act:
    org = make_organization()
    day = timezone.now().date()
    return lambda: billing_services.record_payment(
        org=org, code="pack-100", reference="SEPA 1", paid_on=day, **BECAUSE
    )


def reverse_payment() -> Act:
    payment = record_payment()()
    return lambda: billing_services.reverse_payment(payment=payment, **BECAUSE)


def request_refund() -> Act:
    payment = record_payment()()
    return lambda: refunding.request_refund(
        payment=payment, amount=450, token=uuid.uuid4(), **BECAUSE
    )


def follow_by_hand() -> Act:
    payment = record_payment()()
    account = lock_account(payment.org_id)
    return lambda: refunding.follow_by_hand(account, payment, 450, **BECAUSE)


def revise_price() -> Act:
    return lambda: billing_services.revise_price(price=pack(), amount=1000, **BECAUSE)


def withdraw_price() -> Act:
    return lambda: billing_services.withdraw_price(price=pack(), **BECAUSE)


def set_aside() -> Act:
    event = StripeEvent.objects.create(
        pk="evt_1", type="x", payload={}, created_at=timezone.now(), status="FAILED", error="odd"
    )
    return lambda: billing_services.set_aside(event=event, **BECAUSE)


def set_low_balance_threshold() -> Act:
    org = make_organization()
    return lambda: billing_services.set_low_balance_threshold(org=org, threshold=5, **BECAUSE)


def create_endpoint() -> Act:
    org = make_organization()
    return lambda: event_services.create_endpoint(org=org, url="https://example.com/", **BECAUSE)


def update_endpoint() -> Act:
    endpoint = make_endpoint(make_organization())
    return lambda: event_services.update_endpoint(
        endpoint=endpoint, description="of the shop", **BECAUSE
    )


def delete_endpoint() -> Act:
    endpoint = make_endpoint(make_organization())
    return lambda: event_services.delete_endpoint(endpoint=endpoint, **BECAUSE)


def rotate_secret() -> Act:
    endpoint = make_endpoint(make_organization())
    return lambda: event_services.rotate_secret(endpoint=endpoint, **BECAUSE)


def disable() -> Act:
    endpoint = make_endpoint(make_organization())
    return lambda: disabling.disable(endpoint, because="BY_HAND", **BECAUSE)


def of_stripe() -> Payment:
    """A payment through Stripe that waits for its money."""
    price = pack()
    return Payment.objects.create(
        org=make_organization(),
        price=price,
        method=PaymentMethod.STRIPE,
        status=PaymentStatus.PENDING,
        amount=price.amount,
        currency=price.currency,
        credits=price.credits,
        request_key="k",
        actor="key:1",
    )


def mark_paid() -> Act:
    payment, event = of_stripe(), Actor.of_stripe("evt_1")
    return lambda: payments.mark_paid(payment, paid_at=timezone.now(), actor=event)


def reverse() -> Act:
    payment, event = of_stripe(), Actor.of_stripe("evt_2")
    payments.mark_paid(payment, paid_at=timezone.now(), actor=event)
    return lambda: payments.reverse(payment, payment.amount, reason=REASON, actor=event)


def settle_tier() -> Act:
    """A tier that nothing pays for any more."""
    account = lock_account(make_organization(tier="PRO").pk)
    account.plan_tier = "PRO"
    account.save()
    return lambda: subscriptions.settle_tier(account, now=timezone.now(), actor=TESTER)


def proposal(amount: int) -> Proposal:
    return Proposal(make_organization(), ApprovalKind.GRANT, amount, REASON, "PROMO")


def submit() -> Act:
    actor, small = Actor.of_user(make_staff("finance")), proposal(5)
    return lambda: approval_services.submit(small, token=uuid.uuid4(), actor=actor)


def ask_to_record() -> Act:
    actor, price = Actor.of_user(make_staff("finance")), pack()
    AuditEntry.objects.create(  # who changed a price just now records no payment of it alone
        actor_id=actor.user_id, verb="change", object_type="billing.price", object_id=str(price.pk)
    )
    asked = proposal(price.credits)._replace(
        kind=ApprovalKind.PAYMENT,
        grant_kind="",
        ticket="SEPA 1",
        price=price,
        paid_on=timezone.now().date(),
    )
    return lambda: approval_services.ask_to_record(asked, actor=actor)


def asked() -> ApprovalRequest:
    ada = Actor.of_user(make_staff("finance"))
    made = approval_services.submit(proposal(10**6), token=uuid.uuid4(), actor=ada).request
    assert made is not None
    return made


def confirm() -> Act:
    waiting, bob = asked(), Actor.of_user(make_staff("finance"))
    return lambda: approval_services.confirm(waiting, reason=REASON, actor=bob)


def refuse() -> Act:
    waiting, bob = asked(), Actor.of_user(make_staff("finance"))
    return lambda: approval_services.refuse(waiting, reason=REASON, actor=bob)


def submit_refund() -> Act:
    payment, actor = record_payment()(), Actor.of_user(make_staff("finance"))
    part = Proposal(
        payment.org, ApprovalKind.REFUND, 50, REASON, payment=payment, refund_amount=450
    )
    return lambda: approval_services.submit_refund(part, token=uuid.uuid4(), actor=actor)


def refund_job() -> Act:
    project, actor = make_project(), Actor.of_user(make_staff("finance"))
    return lambda: approval_refunding.refund_job(
        job=project, amount=1, token=uuid.uuid4(), reason=REASON, actor=actor
    )


def note_watching() -> Act:
    project = make_project()
    return lambda: video_services.note_watching(project=project, **BECAUSE)


def write_note() -> Act:
    org, author = make_organization(), make_user(is_staff=True)
    return lambda: notes.write_note(
        org=org, author=author, text="Calls on Mondays", is_pinned=True, actor=TESTER
    )


def pin_note() -> Act:
    note = Note.objects.create(org=make_organization(), author=make_user(), text="Calls on Mondays")
    return lambda: notes.pin_note(note=note, is_pinned=True, actor=TESTER)


def set_up() -> Act:
    user, secret = make_user(is_staff=True), second_factor.new_secret()
    return lambda: second_factor.set_up(
        user=user, secret=secret, code=code_of(secret), replacing=None, actor=Actor.of_user(user)
    )


def with_phone() -> Any:
    user = make_user(is_staff=True)
    phone_of(user)
    return user


def new_recovery_codes() -> Act:
    user = with_phone()
    return lambda: second_factor.new_recovery_codes(user=user, actor=Actor.of_user(user))


def note_recovery() -> Act:
    user = with_phone()
    return lambda: second_factor.note_recovery(user=user, actor=Actor.of_user(user))


def reset() -> Act:
    user = with_phone()
    return lambda: second_factor.reset(user=user, **BECAUSE)


def carry_out() -> Act:
    failed = make_project(status="FAILED")
    plan = work_services.plan(Action.RETRY, [f"project:{failed.pk}"])
    actor = Actor.of_user(make_staff("engineer"))
    return lambda: work_services.carry_out(uuid.uuid4(), plan, reason=REASON, actor=actor)


SCENARIOS: dict[str, Callable[[], Act]] = {
    **{
        f"clipforge.orgs.services.{each.__name__}": each
        for each in (
            create_organization,
            change_tier,
            override_rate_limit,
            allow_origins,
            reset_limits,
            suspend,
            restore,
            ensure_sandbox,
        )
    },
    **{
        f"clipforge.orgs.api_keys.{each.__name__}": each
        for each in (
            create_api_key,
            create_token,
            rotate_api_key,
            limit_api_key,
            revoke_api_key,
            revoke_with_descendants,
        )
    },
    **{
        f"credits.services.{each.__name__}": each for each in (grant, adjust, refund, reverse_grant)
    },
    **{
        f"billing.services.{each.__name__}": each
        for each in (
            record_payment,
            reverse_payment,
            revise_price,
            withdraw_price,
            set_aside,
            set_low_balance_threshold,
        )
    },
    **{
        f"clipforge.events.services.{each.__name__}": each
        for each in (create_endpoint, update_endpoint, delete_endpoint, rotate_secret)
    },
    "clipforge.events.disabling.disable": disable,
    "billing.payments.mark_paid": mark_paid,
    "billing.payments.reverse": reverse,
    "billing.subscriptions.settle_tier": settle_tier,
    **{
        f"clipforge.staff.approvals.services.{each.__name__}": each
        for each in (submit, submit_refund, ask_to_record, confirm, refuse)
    },
    **{
        f"clipforge.staff.login.second_factor.{each.__name__}": each
        for each in (set_up, new_recovery_codes, note_recovery, reset)
    },
    "billing.refunding.request_refund": request_refund,
    "billing.refunding.follow_by_hand": follow_by_hand,
    "clipforge.staff.approvals.refunding.refund_job": refund_job,
    "clipforge.staff.videos.services.note_watching": note_watching,
    "clipforge.staff.organizations.notes.write_note": write_note,
    "clipforge.staff.organizations.notes.pin_note": pin_note,
    "clipforge.staff.work.services.carry_out": carry_out,
}


def test_every_function_that_takes_an_actor_has_a_scenario_or_a_reason():
    found = takes_actor().keys()
    assert {name for name in found if exemption_of(name) is None} == SCENARIOS.keys()
    assert {exemption_of(name) for name in found} - {None} == EXEMPT.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_service_leaves_exactly_one_row(name):
    act = SCENARIOS[name]()
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    act()
    (entry,) = AuditEntry.objects.exclude(pk__in=before)
    assert entry.actor_name
    assert entry.verb
    assert entry.object_id


def test_each_call_without_a_row_of_its_own_is_part_of_an_act_that_leaves_one():
    found = set()
    for module in modules():
        path = Path(module.__file__ or "")
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                found |= {
                    f"{module.__name__}.{function.name}"
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call)
                    for given in call.keywords
                    if given.arg == "audit"
                    and isinstance(given.value, ast.Constant)
                    and given.value.value is False
                }
    assert found == UNAUDITED.keys()

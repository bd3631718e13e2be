"""A maker of a row for every model that the admin has pages for."""

from __future__ import annotations

from collections.abc import Callable

from django.apps import apps
from django.contrib.auth.models import Group
from django.db import models
from django.db.transaction import atomic
from django.utils import timezone

from billing import payments
from billing import services as billing_services
from billing.models import Alert, Price, StripeEvent
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_endpoint,
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_user,
)
from clipforge.events import outbox
from clipforge.events.models import Delivery, Endpoint
from clipforge.orgs.idempotency import Answer, once
from clipforge.orgs.models import IdempotencyRecord, Membership, RefusedRequests, TierLimits


def make_record() -> IdempotencyRecord:
    org = make_organization()
    once(org=org, key="k", fingerprint="f" * 64, effect=lambda: Answer(201, "{}"))
    return IdempotencyRecord.objects.for_org(org).get()


def make_refusals() -> RefusedRequests:
    org = make_organization()
    return RefusedRequests.objects.create(
        org=org,
        hour=timezone.now().replace(minute=0, second=0, microsecond=0),
        key=make_api_key(org).api_key,
        status=429,
        code="rate_limited",
        limit_name="api",
        count=1234,
    )


def left_by_a_project(label: str) -> Callable[[], models.Model]:
    """The newest row of what a project leaves behind that was analysed and paid for."""

    def make() -> models.Model:
        make_project()
        row: models.Model | None = apps.get_model(label)._default_manager.order_by("-pk").first()
        assert row is not None
        return row

    return make


def left_by_a_payment(label: str) -> Callable[[], models.Model]:
    """The newest row of what a plan leaves behind that was paid for by hand, and gone back."""

    def make() -> models.Model:
        org = make_organization()
        payment = billing_services.record_payment(
            org=org,
            code="plan-pro",
            reference=f"transfer of {org.pk}",
            paid_on=timezone.now().date(),
            reason="paid by transfer",
            actor=TESTER,
        )
        payments.reverse(payment, payment.amount, reason="all of it was refunded", actor=TESTER)
        row: models.Model | None = apps.get_model(label)._default_manager.order_by("-pk").first()
        assert row is not None
        return row

    return make


def make_action() -> AuditEntry:
    org = make_organization()
    return AuditEntry.objects.create(
        actor=make_user(), org=org, verb="change", object_label=str(org), reason="asked by mail"
    )


def make_event() -> StripeEvent:
    number = StripeEvent.objects.count()
    return StripeEvent.objects.create(
        id=f"evt_{number}", type="test", payload={}, created_at=timezone.now()
    )


def make_alert() -> Alert:
    org = make_organization()
    return Alert.objects.create(org=org, kind="EXPIRING", key="k", subject="Told", body="Told.")


def make_told(endpoint: Endpoint | None = None) -> Delivery:
    """The event that a test of an endpoint sends it."""
    with atomic():
        endpoint = endpoint or make_endpoint(make_organization())
        return outbox.record_for(endpoint, "endpoint.test")


# Every registered model has its maker here: clipforge/orgs/tests/test_admin.py says which is missing.
MAKERS: dict[str, Callable[[], models.Model]] = {
    "auth.Group": lambda: Group.objects.create(name=f"Support {Group.objects.count()}"),
    "procrastinate.ProcrastinateJob": left_by_a_project("procrastinate.ProcrastinateJob"),
    "orgs.User": make_user,
    "orgs.Organization": make_organization,
    "orgs.TierLimits": lambda: TierLimits.objects.get(tier="PRO"),
    "orgs.Membership": lambda: Membership.objects.create(
        user=make_user(), organization=make_organization(), role="owner"
    ),
    "orgs.APIKey": lambda: make_api_key(make_organization()).api_key,
    "orgs.IdempotencyRecord": make_record,
    "orgs.RefusedRequests": make_refusals,
    "audit.AuditEntry": make_action,
    "credits.CreditAccount": left_by_a_project("credits.CreditAccount"),
    "credits.CreditGrant": left_by_a_project("credits.CreditGrant"),
    "credits.CreditTransaction": left_by_a_project("credits.CreditTransaction"),
    "credits.CreditHold": left_by_a_project("credits.CreditHold"),
    "credits.CreditReversal": left_by_a_payment("credits.CreditReversal"),
    "billing.Price": lambda: Price.objects.get(code="pack-100"),
    "billing.Payment": left_by_a_payment("billing.Payment"),
    "billing.Subscription": left_by_a_payment("billing.Subscription"),
    "billing.PlanPeriod": left_by_a_payment("billing.PlanPeriod"),
    "billing.BillingAccount": left_by_a_payment("billing.BillingAccount"),
    "billing.StripeEvent": make_event,
    "billing.Alert": make_alert,
    "projects.Project": make_project,
    "projects.Moment": lambda: make_moment(make_project()),
    "exports.Export": make_export,
    "events.Endpoint": lambda: make_endpoint(make_organization()),
    "events.Event": lambda: make_told().event,
    "events.Delivery": make_told,
}

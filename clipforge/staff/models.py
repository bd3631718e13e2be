"""Permissions of staff beyond viewing and editing rows, requests for approval, rescue runs, alarms, notes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models import Payment, Price
from clipforge.common.models import OrgQuerySet
from clipforge.common.money import money
from clipforge.orgs.models import Organization, User
from credits.models import GrantKind


class StaffPermission(models.Model):
    """Carries the permissions that `roles` gives to groups, as `staff.<codename>`. Has no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("grant_credits", "Can grant credits"),
            ("adjust_credits", "Can adjust credits"),
            ("confirm_credits", "Can confirm a large movement of credits"),
            ("change_tier", "Can change the tier of an organization"),
            ("override_limit", "Can override the rate limit of an organization"),
            ("suspend_organization", "Can suspend and restore an organization"),
            ("manage_keys", "Can issue and revoke API keys"),
            ("retry_work", "Can retry failed work"),
            ("rescue_work", "Can cancel work and release holds"),
            ("watch_videos", "Can watch the videos of customers"),
            ("export_data", "Can download ledger, projects and payments"),
            ("view_business", "Can see what the business earns"),
        ]

    def __str__(self) -> str:
        return "staff permission"


class ApprovalKind(models.TextChoices):
    GRANT = "GRANT", "Grant"
    ADJUST = "ADJUST", "Adjustment"
    PAYMENT = "PAYMENT", "Payment"
    REFUND = "REFUND", "Refund"


class RequestStatus(models.TextChoices):
    PENDING = "PENDING", "Waiting"
    CONFIRMED = "CONFIRMED", "Confirmed"
    REFUSED = "REFUSED", "Refused"
    EXPIRED = "EXPIRED", "Expired"


class ApprovalRequest(models.Model):
    """A large credit transaction: one person asks for it, another decides, once.

    A payment by hand brings what its price does; its ticket is the reference of the transfer. The
    amount of a refund is what goes back in credits.

    What was asked never changes and no row is deleted; a trigger refuses both. Written by
    `clipforge.staff.approvals.services` alone.
    """

    token = models.UUIDField(unique=True, help_text="Of the form; the transaction's ledger key.")
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    kind = models.CharField(max_length=8, choices=ApprovalKind)
    amount = models.BigIntegerField()
    grant_kind = models.CharField(max_length=16, choices=GrantKind, blank=True)
    expires_at = models.DateTimeField(null=True, help_text="When the granted credits end.")
    ticket = models.CharField(max_length=100, blank=True)
    price = models.ForeignKey(Price, models.PROTECT, null=True, db_index=False, related_name="+")
    paid_on = models.DateField(null=True, help_text="When the money of a payment arrived.")
    payment = models.ForeignKey(
        Payment, models.PROTECT, null=True, db_index=False, related_name="+"
    )
    refund_amount = models.PositiveIntegerField(
        null=True, help_text="In minor units of the payment that a part of goes back."
    )
    reason = models.CharField(max_length=500)
    # An account with recorded actions is deactivated, not deleted.
    requested_by = models.ForeignKey(User, models.PROTECT, db_index=False, related_name="+")
    requested_at = models.DateTimeField(db_default=Now())
    status = models.CharField(
        max_length=16, choices=RequestStatus, db_default=RequestStatus.PENDING
    )
    decided_by = models.ForeignKey(
        User, models.PROTECT, null=True, db_index=False, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)

    objects = OrgQuerySet["ApprovalRequest"].as_manager()

    class Meta:
        # A renamed table would stop the code that runs during a deployment.
        db_table = "staff_moneyrequest"
        default_permissions = ()
        constraints = [
            # The backstop of the four eyes.
            models.CheckConstraint(
                condition=~Q(decided_by=F("requested_by")), name="staff_moneyrequest_two_persons"
            ),
            models.CheckConstraint(
                condition=Q(
                    kind=ApprovalKind.GRANT, amount__gt=0, price=None, paid_on=None, payment=None
                )
                & ~Q(grant_kind="")
                | Q(
                    kind=ApprovalKind.ADJUST,
                    grant_kind="",
                    expires_at=None,
                    price=None,
                    paid_on=None,
                    payment=None,
                )
                & ~Q(amount=0)
                | Q(
                    kind=ApprovalKind.PAYMENT,
                    amount__gt=0,
                    grant_kind="",
                    expires_at=None,
                    price__isnull=False,
                    paid_on__isnull=False,
                    payment=None,
                )
                & ~Q(ticket="")
                | Q(
                    kind=ApprovalKind.REFUND,
                    amount__gt=0,
                    grant_kind="",
                    expires_at=None,
                    price=None,
                    paid_on=None,
                    payment__isnull=False,
                    refund_amount__gt=0,
                ),
                name="staff_moneyrequest_kind_fits",
            ),
            models.CheckConstraint(
                condition=Q(status=RequestStatus.PENDING, decided_by=None, decided_at=None)
                | Q(status=RequestStatus.EXPIRED, decided_by=None, decided_at__isnull=False)
                | Q(
                    status__in=[RequestStatus.CONFIRMED, RequestStatus.REFUSED],
                    decided_by__isnull=False,
                    decided_at__isnull=False,
                )
                & ~Q(decision_reason=""),
                name="staff_moneyrequest_decision_fits",
            ),
        ]
        indexes = [
            # The page of those that wait, and `clipforge.staff.approvals.services.expire_requests`.
            models.Index(
                fields=["requested_at"],
                condition=Q(status=RequestStatus.PENDING),
                name="staff_moneyrequest_pending",
            ),
            # Those of an organization; also serves the foreign key.
            models.Index(fields=["org", "requested_at"], name="staff_moneyrequest_org"),
        ]

    def __str__(self) -> str:
        if self.payment is not None and self.refund_amount is not None:
            return f"Refund of {money(self.refund_amount, self.payment.currency)}"
        sign = "+" if self.kind == ApprovalKind.ADJUST else ""
        return f"{self.get_kind_display()} of {self.amount:{sign},} credits"


class RescueRun(models.Model):
    """A confirmed rescue, which runs once: its token is the primary key.

    Inserted before the first item is touched. A second click finds it and shows what came of the
    first. Without `finished_at` it is under way, or was cut off.
    """

    token = models.UUIDField(primary_key=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, db_index=False, related_name="+"
    )
    action = models.CharField(max_length=16)
    reason = models.TextField()
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    # One an item: label, whether it was done, and if not, why.
    results = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.action} by {self.actor_id}"


class Alarm(models.Model):
    """A condition that needs a person: since when it holds, and when somebody was told. A row a condition.

    Written by `clipforge.staff.watching.alarms` alone.
    """

    code = models.CharField(max_length=32, primary_key=True)
    since = models.DateTimeField(null=True, help_text="Empty while it does not hold.")
    told_at = models.DateTimeField(null=True, help_text="Empty while nobody was told.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.code


class Note(models.Model):
    """A note of staff on an organization, for their colleagues: customers never see it.

    Its text never changes; a mistake is put right by another note. Written by
    `clipforge.staff.organizations.notes` alone.
    """

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    # An account with recorded actions is deactivated, not deleted.
    author = models.ForeignKey(User, models.PROTECT, db_index=False, related_name="+")
    text = models.TextField()
    is_pinned = models.BooleanField(db_default=False, help_text="Stands before all others.")
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["Note"].as_manager()

    class Meta:
        default_permissions = ()
        indexes = [
            # Those of an organization, the pinned first; also serves the foreign key.
            models.Index(fields=["org", "-is_pinned", "-created_at", "-id"], name="staff_note_org"),
            # Serves the foreign key of accounts.
            models.Index(fields=["author"], name="staff_note_author"),
        ]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 80 else f"{self.text[:79].rstrip()}…"

"""Payments, the subscriptions and plan periods they pay for, and the events of Stripe about them.

Every row is written by the services only.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q, Transform, Value
from django.db.models.functions import Now, Replace

from billing.models.catalogue import Price
from clipforge.common.models import OrgQuerySet, UUIDModel
from clipforge.common.money import money
from clipforge.orgs.models import Organization, Tier


def blankless(field: str) -> Replace:
    """The references of transfers as they are compared: banks print one with blanks or without."""
    return Replace(F(field), Value(" "), Value(""))


class Blankless(Transform):
    """`reference__blankless`: the same in a filter, through the same index."""

    lookup_name = "blankless"
    template = "REPLACE(%(expressions)s, ' ', '')"


class BillingAccount(models.Model):
    """The billing account of one organization. Its lock is the first that billing takes.

    `sync_version` grows with every state of Stripe that is applied, so that an older answer that
    arrives late is told apart.
    """

    org = models.OneToOneField(
        Organization, models.PROTECT, primary_key=True, related_name="billing_account"
    )
    stripe_customer_id = models.CharField(max_length=255, blank=True)
    plan_tier = models.CharField(
        max_length=16, choices=Tier, blank=True, help_text="The tier that a payment last set."
    )
    sync_version = models.BigIntegerField(db_default=0)
    low_balance_threshold = models.PositiveIntegerField(
        null=True, blank=True, help_text="Mail the owners when fewer credits are available."
    )
    is_low = models.BooleanField(db_default=False, help_text="They were told, and it is so still.")
    crossings = models.PositiveIntegerField(
        db_default=0, help_text="How often the balance fell below the threshold."
    )

    class Meta:
        constraints = [
            # A customer of Stripe is one organization.
            models.UniqueConstraint(
                fields=["stripe_customer_id"],
                condition=~Q(stripe_customer_id=""),
                name="billing_account_one_customer",
            )
        ]
        indexes = [
            # `billing.alerts.notice`, every minute.
            models.Index(
                fields=["org"],
                condition=Q(low_balance_threshold__isnull=False),
                name="billing_account_watched",
            )
        ]

    def __str__(self) -> str:
        return str(self.org_id)


class PaymentMethod(models.TextChoices):
    STRIPE = "STRIPE", "Stripe"
    MANUAL = "MANUAL", "Recorded by hand"


class PaymentStatus(models.TextChoices):
    PENDING = "PENDING", "Pending"
    PAID = "PAID", "Paid"
    EXPIRED = "EXPIRED", "Expired"


class Payment(UUIDModel):
    """Money for one price. Becomes PAID once, and with it, in one transaction, come the credits.

    The credits of a pack are the PURCHASE row of the ledger whose key is `ledger_key`; those of a
    plan are the grant of its `PlanPeriod`. Every ledger row about it names it as its reference.
    """

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="payments")
    price = models.ForeignKey(Price, models.PROTECT, related_name="payments")
    method = models.CharField(max_length=8, choices=PaymentMethod)
    status = models.CharField(max_length=8, choices=PaymentStatus, default=PaymentStatus.PENDING)
    amount = models.PositiveIntegerField(help_text="In minor units of the currency.")
    currency = models.CharField(max_length=3)
    credits = models.PositiveIntegerField(help_text="What it brings.")
    reversed_amount = models.PositiveIntegerField(
        db_default=0, help_text="Refunded or disputed, of the amount."
    )
    disputed_amount = models.IntegerField(
        db_default=0, help_text="Of what went back, what banks took in disputes."
    )
    reversals = models.PositiveIntegerField(
        db_default=0, help_text="How often the reversed amount changed."
    )
    paid_at = models.DateTimeField(null=True, blank=True)
    reference = models.CharField(max_length=100, blank=True, help_text="Of a bank transfer.")
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=100)
    request_key = models.CharField(
        max_length=255, blank=True, help_text="The Idempotency-Key that asked for it."
    )
    checkout_id = models.CharField(max_length=255, blank=True)
    checkout_url = models.TextField(blank=True)
    invoice_id = models.CharField(max_length=255, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["Payment"].as_manager()

    class Meta:
        constraints = [
            # POST /billing/checkout asked twice.
            models.UniqueConstraint(
                fields=["org", "request_key"],
                condition=~Q(request_key=""),
                name="billing_payment_once_per_request",
            ),
            # `record_payment` submitted twice. Over all organizations: a transfer has one payer.
            models.UniqueConstraint(
                fields=["reference"],
                condition=~Q(reference=""),
                name="billing_payment_once_per_reference",
            ),
            # What a webhook names is one payment.
            models.UniqueConstraint(
                fields=["checkout_id"],
                condition=~Q(checkout_id=""),
                name="billing_payment_once_per_checkout",
            ),
            models.UniqueConstraint(
                fields=["invoice_id"],
                condition=~Q(invoice_id=""),
                name="billing_payment_once_per_invoice",
            ),
            models.UniqueConstraint(
                fields=["payment_intent_id"],
                condition=~Q(payment_intent_id=""),
                name="billing_payment_once_per_intent",
            ),
            models.CheckConstraint(
                condition=Q(status=PaymentStatus.PAID, paid_at__isnull=False)
                | (~Q(status=PaymentStatus.PAID) & Q(paid_at=None, reversed_amount=0)),
                name="billing_payment_paid_fits",
            ),
            models.CheckConstraint(
                condition=Q(reversed_amount__lte=F("amount")), name="billing_payment_reversed_fits"
            ),
            models.CheckConstraint(
                condition=(
                    Q(method=PaymentMethod.MANUAL) & ~Q(reference="") & ~Q(reason="")
                    | Q(method=PaymentMethod.STRIPE, reference="")
                )
                & ~Q(actor=""),
                name="billing_payment_explained",
            ),
        ]
        indexes = [
            # GET /billing/payments, newest first.
            models.Index(fields=["org", "-created_at", "-id"], name="billing_payment_newest"),
            # The admin's list by status, and of those recorded by hand.
            models.Index(fields=["status", "-id"], name="billing_payment_status"),
            models.Index(
                fields=["-id"],
                condition=Q(method=PaymentMethod.MANUAL),
                name="billing_payment_hand",
            ),
            # Revenue by month, read from the index alone, and the admin's list of what was paid then.
            models.Index(
                fields=["-paid_at", "-id"],
                include=[
                    "org",
                    "price",
                    "currency",
                    "amount",
                    "reversed_amount",
                    "disputed_amount",
                ],
                condition=Q(status=PaymentStatus.PAID),
                name="billing_payment_paid",
            ),
            # `billing.selectors.payment_of_transfer`: the same transfer, whatever blanks are in it.
            models.Index(
                blankless("reference"),
                condition=~Q(reference=""),
                name="billing_payment_transfer",
            ),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.currency)} for {self.price}"

    @property
    def ledger_key(self) -> str:
        return f"payment:{self.pk}"


class RefundStatus(models.TextChoices):
    REQUESTED = "REQUESTED", "Under way"
    DONE = "DONE", "Done"
    FAILED = "FAILED", "Failed"


class Refund(UUIDModel):
    """Money that staff give back, of one payment. Committed before Stripe is asked, whose idempotency
    key its id makes: after a crash anywhere it is one refund, which the sweep carries out.

    The credits follow the money, as whenever Stripe says that some went back.
    """

    token = models.UUIDField(help_text="Of the form that asked for it.")
    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="refunds")
    amount = models.PositiveIntegerField(help_text="In minor units of the payment's currency.")
    status = models.CharField(
        max_length=16, choices=RefundStatus, db_default=RefundStatus.REQUESTED
    )
    stripe_id = models.CharField(max_length=255, blank=True, db_default="")
    error = models.TextField(blank=True, db_default="")
    reason = models.CharField(max_length=500)
    actor = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["Refund"].as_manager()

    class Meta:
        constraints = [
            # The same form sent twice.
            models.UniqueConstraint(fields=["token"], name="billing_refund_once_per_form"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="billing_refund_positive"),
        ]
        indexes = [
            # `billing.refunding.carry_out_open`.
            models.Index(
                fields=["created_at"],
                condition=Q(status=RefundStatus.REQUESTED),
                name="billing_refund_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{money(self.amount, self.payment.currency)} of {self.payment}"


class SubscriptionStatus(models.TextChoices):
    ACTIVE = "ACTIVE", "Active"
    PAST_DUE = "PAST_DUE", "Past due"
    ENDED = "ENDED", "Ended"


class Subscription(UUIDModel):
    """A plan that goes on: Stripe's, whose state is copied, or one that staff renew by hand."""

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="subscriptions"
    )
    price = models.ForeignKey(Price, models.PROTECT, related_name="subscriptions")
    method = models.CharField(max_length=8, choices=PaymentMethod)
    status = models.CharField(max_length=8, choices=SubscriptionStatus)
    stripe_id = models.CharField(max_length=255, blank=True)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    cancel_at_period_end = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["Subscription"].as_manager()

    class Meta:
        constraints = [
            # What a webhook names is one subscription.
            models.UniqueConstraint(
                fields=["stripe_id"],
                condition=~Q(stripe_id=""),
                name="billing_subscription_once_per_stripe",
            ),
            # What `record_payment` prolongs is one.
            models.UniqueConstraint(
                fields=["org"],
                condition=Q(method=PaymentMethod.MANUAL) & ~Q(status=SubscriptionStatus.ENDED),
                name="billing_subscription_one_by_hand",
            ),
            models.CheckConstraint(
                condition=Q(period_end__gt=F("period_start")),
                name="billing_subscription_period_fits",
            ),
        ]
        indexes = [
            # GET /billing/subscription, and whether a plan is active.
            models.Index(fields=["org", "-created_at"], name="billing_subscription_newest"),
            # `billing.subscriptions.end_lapsed`, every hour.
            models.Index(
                fields=["period_end"],
                condition=~Q(status=SubscriptionStatus.ENDED),
                name="billing_subscription_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price} {self.status}"


class PlanPeriod(UUIDModel):
    """A stretch of a plan that is paid for, or a month of the free one, and its credits.

    An upgrade adds a row to the period that runs: the difference, until the same end. `granted_at`
    is set with the grant of the credits, in one transaction, once `starts_at` has come.
    """

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="plan_periods"
    )
    price = models.ForeignKey(Price, models.PROTECT, related_name="periods")
    subscription = models.ForeignKey(
        Subscription, models.PROTECT, null=True, blank=True, related_name="periods"
    )
    payment = models.OneToOneField(
        Payment, models.PROTECT, null=True, blank=True, related_name="period"
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    credits = models.PositiveIntegerField()
    granted_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["PlanPeriod"].as_manager()

    class Meta:
        constraints = [
            # A free month is given once, however many commands run at once.
            models.UniqueConstraint(
                fields=["org", "starts_at"],
                condition=Q(payment=None),
                name="billing_period_one_free_a_month",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="billing_period_ends_after_start"
            ),
        ]
        indexes = [
            # Which plan runs now, and until when.
            models.Index(fields=["org", "ends_at"], name="billing_period_running"),
            # `billing.subscriptions.grant_due`, every hour.
            models.Index(
                fields=["starts_at"], condition=Q(granted_at=None), name="billing_period_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price}, {self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}"

    @property
    def ledger_key(self) -> str:
        return f"plan:{self.pk}"

    @property
    def was_paid_back(self) -> bool:
        """Money that went back whole bought nothing."""
        return self.payment is not None and 0 < self.payment.amount == self.payment.reversed_amount


class EventStatus(models.TextChoices):
    RECEIVED = "RECEIVED", "Received"
    APPLIED = "APPLIED", "Applied"
    IGNORED = "IGNORED", "Ignored"
    FAILED = "FAILED", "Failed"


class StripeEvent(models.Model):
    """An event of Stripe: one row an event id, so that a repetition does nothing.

    Stored before it is applied. FAILED needs a person, who puts right what it is about, or sets it
    aside (IGNORED); until then it is tried again by every sweep, and whenever it comes again.
    """

    id = models.CharField(primary_key=True, max_length=255)
    org = models.ForeignKey(
        Organization,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="stripe_events",
        help_text="Known once it was applied.",
    )
    type = models.CharField(max_length=100)
    is_test = models.BooleanField(
        default=False, db_default=False, help_text="Of the test mode: about a sandbox."
    )
    payload = models.JSONField()
    status = models.CharField(max_length=8, choices=EventStatus, default=EventStatus.RECEIVED)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(help_text="By Stripe's clock.")
    received_at = models.DateTimeField(db_default=Now())
    applied_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["StripeEvent"].as_manager()

    class Meta:
        indexes = [
            # `reconcile_stripe`: what was not applied, and what a person has to look at.
            models.Index(
                fields=["received_at"],
                condition=Q(status__in=[EventStatus.RECEIVED, EventStatus.FAILED]),
                name="billing_event_open",
            ),
            # The admin's list, by status too.
            models.Index(fields=["-received_at", "-id"], name="billing_event_newest"),
            models.Index(fields=["status", "-received_at", "-id"], name="billing_event_status"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


Payment._meta.get_field("reference").register_lookup(Blankless)

"""The ledger: accounts, the lots of credits they received, every transaction, every hold.

Unit: credits, whole numbers. What an organization can spend is `posted - held`.
Only `credits.ledger`, `credits.expiry` and `credits.services` write here.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.dispatch import Signal

from clipforge.common.models import OrgQuerySet, UUIDModel
from clipforge.orgs.models import Organization


class CreditAccount(models.Model):
    """The sums of one organization. Changed by conditional UPDATEs only, never saved.

    `version` grows by one with every change, so that two readings can be put in order.
    """

    org = models.OneToOneField(
        Organization, models.PROTECT, primary_key=True, related_name="credit_account"
    )
    posted = models.BigIntegerField(db_default=0, help_text="The sum of all transactions.")
    held = models.BigIntegerField(db_default=0, help_text="Reserved by open holds.")
    open_holds = models.IntegerField(db_default=0, help_text="How many holds are HELD.")
    debt = models.BigIntegerField(
        db_default=0, help_text="Spent and then reversed; the next credits settle it."
    )
    version = models.BigIntegerField(db_default=0)

    # No index on a mutable column: together with the fillfactor (migration 0002) every
    # update stays on its page and touches no index.

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(held__gte=0), name="credits_account_held_positive"),
            models.CheckConstraint(
                condition=Q(open_holds__gte=0), name="credits_account_open_holds_positive"
            ),
            # The backstop: an organization cannot spend more than it has, whatever the code does.
            models.CheckConstraint(
                condition=Q(posted__gte=F("held")), name="credits_account_not_overspent"
            ),
            models.CheckConstraint(condition=Q(debt__gte=0), name="credits_account_debt_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.available} available"

    @property
    def available(self) -> int:
        return self.posted - self.held


class GrantKind(models.TextChoices):
    PLAN = "PLAN", "Plan"
    PURCHASE = "PURCHASE", "Purchase"
    PROMO = "PROMO", "Promotion"
    REFUND = "REFUND", "Refund"
    ADJUST = "ADJUST", "Adjustment"


class CreditGrant(models.Model):
    """A lot of credits that came in together and, if `expires_at` is set, end together."""

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="credit_grants"
    )
    kind = models.CharField(max_length=16, choices=GrantKind)
    amount = models.BigIntegerField()
    remaining = models.BigIntegerField(help_text="Not spent and not expired; includes held.")
    held = models.BigIntegerField(db_default=0, help_text="Reserved by open holds.")
    priority = models.PositiveSmallIntegerField(help_text="The lowest number is drawn first.")
    effective_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["CreditGrant"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="credits_grant_amount_positive"),
            models.CheckConstraint(
                condition=Q(held__gte=0, remaining__gte=F("held"), amount__gte=F("remaining")),
                name="credits_grant_parts_fit",
            ),
        ]
        indexes = [
            # The admin's list of the lots of an organization.
            models.Index(fields=["org", "-id"], name="credits_grant_org"),
            # `credits.ledger`: the lots to draw from, in the order they are drawn. Not
            # `remaining > held`: a reservation would then have to move its index entry.
            models.Index(
                fields=["org", "priority", "expires_at", "id"],
                condition=Q(remaining__gt=0),
                name="credits_grant_draw_order",
            ),
            # `credits.expiry.expire_grants`, every minute.
            models.Index(
                fields=["expires_at"],
                condition=Q(remaining__gt=0, expires_at__isnull=False),
                name="credits_grant_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.remaining}/{self.amount}"


class HoldStatus(models.TextChoices):
    HELD = "HELD", "Held"
    CAPTURED = "CAPTURED", "Captured"
    RELEASED = "RELEASED", "Released"
    EXPIRED = "EXPIRED", "Expired"


class ChargeTrace(models.Model):
    """The price, its version and its inputs: enough to compute an amount again."""

    unit_price = models.BigIntegerField(null=True, blank=True, help_text="Credits per unit.")
    price_version = models.CharField(max_length=32, blank=True)
    inputs = models.JSONField(default=dict, blank=True)

    class Meta:
        abstract = True


class Reference(models.Model):
    """The purpose of a transaction or a hold.

    Text, because the ledger does not know its buyers' models.
    """

    reason = models.CharField(max_length=500)
    reference_type = models.CharField(max_length=32, blank=True)
    reference_id = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True


class CreditHold(UUIDModel, ChargeTrace, Reference):
    """Credits reserved for work under way.

    Leaves HELD once, and only for the attempt that has its fence.
    """

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="credit_holds"
    )
    amount = models.BigIntegerField()
    captured = models.BigIntegerField(
        db_default=0, help_text="Spent at the end; the rest went back."
    )
    status = models.CharField(max_length=16, choices=HoldStatus, db_default=HoldStatus.HELD)
    fence = models.BigIntegerField(db_default=0, help_text="The attempt that may settle it.")
    actor = models.CharField(max_length=100)
    resolved_by = models.CharField(max_length=100, blank=True, db_default="")
    idempotency_key = models.CharField(max_length=255)
    family = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="The keys that it counts for, with their cap.",
    )
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = OrgQuerySet["CreditHold"].as_manager()

    class Meta:
        constraints = [
            # `reserve` asked twice. Also serves the foreign key.
            models.UniqueConstraint(
                fields=["org", "idempotency_key"], name="credits_hold_once_per_key"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credits_hold_amount_positive"),
            models.CheckConstraint(
                condition=Q(status=HoldStatus.CAPTURED, captured__gt=0, captured__lte=F("amount"))
                | (~Q(status=HoldStatus.CAPTURED) & Q(captured=0)),
                name="credits_hold_captured_fits",
            ),
            models.CheckConstraint(
                condition=Q(status=HoldStatus.HELD, resolved_at__isnull=True)
                | (~Q(status=HoldStatus.HELD) & Q(resolved_at__isnull=False)),
                name="credits_hold_resolved_fits",
            ),
        ]
        indexes = [
            # `credits.expiry.expire_holds`, every minute.
            models.Index(
                fields=["expires_at"],
                condition=Q(status=HoldStatus.HELD),
                name="credits_hold_expiry",
            ),
            # GET /credits/holds.
            models.Index(fields=["org", "-created_at", "-id"], name="credits_hold_newest"),
            # GET /credits/holds?status=: the rare statuses would else be looked for among all.
            models.Index(
                fields=["org", "status", "-created_at", "-id"], name="credits_hold_status_newest"
            ),
            # Staff find the hold of the object that they have the id of.
            models.Index(
                fields=["reference_id"],
                condition=~Q(reference_id=""),
                name="credits_hold_reference",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.amount}"


class HoldAllocation(models.Model):
    """How much of a hold came from which lot, was spent from it, and was given back to it later."""

    hold = models.ForeignKey(CreditHold, models.PROTECT, db_index=False, related_name="allocations")
    grant = models.ForeignKey(CreditGrant, models.PROTECT, related_name="allocations")
    amount = models.BigIntegerField()
    captured = models.BigIntegerField(db_default=0)
    refunded = models.BigIntegerField(db_default=0)

    class Meta:
        constraints = [
            # Settling and refunding a hold read its allocations through this.
            models.UniqueConstraint(
                fields=["hold", "grant"], name="credits_allocation_once_per_lot"
            ),
            # The backstop of `refund`: never more back than was spent.
            models.CheckConstraint(
                condition=Q(
                    amount__gt=0,
                    refunded__gte=0,
                    captured__gte=F("refunded"),
                    amount__gte=F("captured"),
                ),
                name="credits_allocation_parts_fit",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of grant {self.grant_id}"


class TransactionType(models.TextChoices):
    GRANT = "GRANT", "Grant"
    PURCHASE = "PURCHASE", "Purchase"
    SPEND = "SPEND", "Spend"
    REFUND = "REFUND", "Refund"
    ADJUST = "ADJUST", "Adjustment"
    EXPIRE = "EXPIRE", "Expiry"


INCOMING = [TransactionType.GRANT, TransactionType.PURCHASE, TransactionType.REFUND]
OUTGOING = [TransactionType.SPEND, TransactionType.EXPIRE]
# What work took, and what was given back of it.
USED = [TransactionType.SPEND, TransactionType.REFUND]


# Sent with `rows` after ledger rows were inserted in bulk: `post_save` is not sent for those.
transactions_created = Signal()


class CreditTransactionQuerySet(OrgQuerySet["CreditTransaction"]):
    def bulk_create(self, *args: Any, **kwargs: Any) -> list[CreditTransaction]:
        rows = super().bulk_create(*args, **kwargs)
        transactions_created.send(sender=self.model, rows=rows)
        return rows


class CreditTransaction(ChargeTrace, Reference):
    """One change of `posted`, kept for ever: a trigger (migration 0002) refuses UPDATE and DELETE.

    `org_seq` is the account's version after the transaction: it grows within an organization,
    with gaps where a hold was made or released. `balance_after` is `posted` after it.
    """

    id = models.BigAutoField(primary_key=True)
    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="credit_transactions"
    )
    type = models.CharField(max_length=16, choices=TransactionType)
    amount = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    org_seq = models.BigIntegerField()
    actor = models.CharField(max_length=100)
    hold = models.ForeignKey(
        CreditHold,
        models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="transactions",
    )
    # The actor of its hold: `actor` is the worker that finished the job. Empty without a hold, and in
    # rows of releases that did not know it.
    ordered_by = models.CharField(max_length=100, blank=True, db_default="")
    idempotency_key = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now())

    objects = CreditTransactionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["org", "idempotency_key"], name="credits_transaction_once_per_key"
            ),
            # Also the order in which `reconcile_credits` follows balance_after.
            models.UniqueConstraint(
                fields=["org", "org_seq"], name="credits_transaction_once_per_seq"
            ),
            # At most one capture a hold.
            models.UniqueConstraint(
                fields=["hold"],
                condition=Q(type=TransactionType.SPEND),
                name="credits_transaction_one_capture",
            ),
            models.CheckConstraint(
                condition=(Q(type__in=INCOMING) & Q(amount__gt=0))
                | (Q(type__in=OUTGOING) & Q(amount__lt=0))
                | (Q(type=TransactionType.ADJUST) & ~Q(amount=0)),
                name="credits_transaction_sign",
            ),
            models.CheckConstraint(
                condition=Q(balance_after__gte=0), name="credits_transaction_not_overspent"
            ),
            # Every change names the actor that answers for it, and a reason.
            models.CheckConstraint(
                condition=~Q(actor="") & ~Q(reason=""), name="credits_transaction_explained"
            ),
        ]
        indexes = [
            # GET /credits/transactions. The id is in it because pages end between equal times.
            models.Index(fields=["org", "-created_at", "-id"], name="credits_transaction_newest"),
            # GET /credits/transactions?type=. (org, type), continued by the order of the
            # list, so that a page of a rare type is read and not sorted or searched for. The amount
            # is in it for sums by day of one type, which then read the index alone.
            models.Index(
                fields=["org", "type", "-created_at", "-id"],
                include=["amount"],
                name="credits_transaction_amounts",
            ),
            # GET /usage: sums over a stretch of time, by day, by key or by kind, from the index alone.
            models.Index(
                fields=["org", "created_at"],
                include=["type", "amount", "reference_type", "ordered_by"],
                condition=Q(type=TransactionType.SPEND) | Q(type=TransactionType.REFUND),
                name="credits_transaction_usage",
            ),
            # Staff find the transactions of the object that they have the id of.
            models.Index(
                fields=["reference_id"],
                condition=~Q(reference_id=""),
                name="credits_transaction_reference",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.amount:+}"


class CreditQuote(UUIDModel):
    """Prices that hold until `expires_at`, a line for each piece of work. `credits.quotes` reads the lines."""

    org = models.ForeignKey(Organization, models.PROTECT, db_index=False, related_name="+")
    lines = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    objects = OrgQuerySet["CreditQuote"].as_manager()

    class Meta:
        indexes = [
            # `credits.quotes.forget_old_quotes`, every hour.
            models.Index(fields=["expires_at"], name="credits_quote_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.credits} credits until {self.expires_at:%Y-%m-%d %H:%M}"

    @property
    def credits(self) -> int:
        """Of all lines."""
        return sum(line["credits"] for line in self.lines)


class CreditReversal(Reference):
    """A grant undone, in part or whole, because its payment went back.

    Of `amount`, `taken` was free in the lot and left it at once, and `owed` was spent or reserved
    and became debt; the rest had expired unused. `settled` is the part of `owed` that later
    credits have paid. The account's `debt` is the sum of `owed - settled`.
    """

    org = models.ForeignKey(
        Organization, models.PROTECT, db_index=False, related_name="credit_reversals"
    )
    grant = models.ForeignKey(CreditGrant, models.PROTECT, related_name="reversals")
    amount = models.BigIntegerField()
    taken = models.BigIntegerField()
    owed = models.BigIntegerField()
    settled = models.BigIntegerField(db_default=0)
    actor = models.CharField(max_length=100)
    idempotency_key = models.CharField(max_length=255)
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["CreditReversal"].as_manager()

    class Meta:
        constraints = [
            # `reverse_grant` asked twice. Also serves the foreign key.
            models.UniqueConstraint(
                fields=["org", "idempotency_key"], name="credits_reversal_once_per_key"
            ),
            models.CheckConstraint(
                condition=Q(
                    amount__gt=0,
                    taken__gte=0,
                    settled__gte=0,
                    owed__gte=F("settled"),
                    amount__gte=F("taken") + F("owed"),
                ),
                name="credits_reversal_parts_fit",
            ),
        ]
        indexes = [
            # `credits.ledger.settle_debt`, with every grant to an account that owes.
            models.Index(
                fields=["org", "id"],
                condition=Q(owed__gt=F("settled")),
                name="credits_reversal_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount} of grant {self.grant_id}"


class LedgerCheck(models.Model):
    """One check of the invariants over the whole ledger, with its result.

    The last thousand are kept.
    """

    checked_at = models.DateTimeField(db_default=Now())
    seconds = models.FloatField(help_text="How long it took.")
    breaches = models.PositiveIntegerField(
        null=True, help_text="How many were found; empty when it was given up for taking too long."
    )
    first = models.JSONField(default=list, help_text="The first of them, in words.")
    actor = models.CharField(max_length=100)

    def __str__(self) -> str:
        return "given up" if self.breaches is None else f"{self.breaches} breaches"

"""The limits above which a credit transaction of staff needs a second person.

Grants, adjustments and payments that are recorded by hand count together, whether they were made on
a page or by a command whose operator the person was.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from django.conf import settings
from django.db.models import BigIntegerField, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Abs, Cast, Coalesce, Now

from billing import selectors as billing_selectors
from billing.models import Payment, Price
from clipforge.audit import selectors as audit_selectors
from clipforge.audit.actor import Actor, ActorKind
from clipforge.orgs.models import Organization, User
from clipforge.staff.approvals.proposals import Proposal
from credits import selectors as credit_selectors
from credits.models import CreditTransaction, TransactionType

# Begins the idempotency key of the ledger rows that staff made; the token of the form follows.
KEY = "staff:"
# Transactions of one person count together for so long.
WINDOW = datetime.timedelta(hours=24)
# Who made or changed an account can sign in as its owner, for so long at least.
ACQUAINTANCE = datetime.timedelta(days=30)
# Transactions that one person made alone, by their rows in the audit: the ledger has no index on
# its actor.
ALONE = Q(verb__in=["grant_credits", "adjust_credits", "refund_credits", "refund_payment"]) | Q(
    verb="add", object_type=Payment._meta.label_lower
)


class Lately(NamedTuple):
    """Credits that a person moved alone in the last day, up and down alike."""

    for_org: int
    in_all: int


def why_two_persons(proposal: Proposal, user: User | None) -> str:
    """The sentence that says why a second person has to confirm it; empty when none has to.

    `user` is None for commands that name no operator: they count as one person.
    """
    lately, amount = moved_lately(proposal.org, user), abs(proposal.amount)
    limit, in_all = settings.STAFF_GRANT_CONFIRM_CREDITS, settings.STAFF_DAY_CONFIRM_CREDITS
    if lately.for_org + amount > limit:
        return (
            f"This, with what you moved for {proposal.org.name} in the last 24 hours, is more than "
            f"{limit:,} credits."
        )
    if lately.in_all + amount > in_all:
        return (
            "This, with what you moved for all organizations in the last 24 hours, is more than "
            f"{in_all:,} credits."
        )
    if user and proposal.price is not None and _changed_lately(proposal.price, user):
        return "You changed this price within the last 24 hours."
    return ""


def moved_lately(org: Organization, user: User | None) -> Lately:
    amount = Abs(Cast(Coalesce(KT("after__amount"), KT("after__credits")), BigIntegerField()))
    alone = audit_selectors.all_entries().filter(ALONE, actor=user, created_at__gt=Now() - WINDOW)
    if user is None:
        alone = alone.filter(actor_kind=ActorKind.COMMAND)
    sums = alone.aggregate(
        for_org=Sum(amount, filter=Q(org=org), default=0), in_all=Sum(amount, default=0)
    )
    return Lately(**sums)


def same_lately(proposal: Proposal, user: User) -> CreditTransaction | None:
    """The last time within a day that the person moved exactly as much, by another form."""
    made = credit_selectors.transactions(proposal.org).filter(
        type__in=[TransactionType.GRANT, TransactionType.PURCHASE, TransactionType.ADJUST],
        created_at__gt=Now() - WINDOW,
        actor=str(Actor.of_user(user)),
        idempotency_key__startswith=KEY,
    )
    return made.filter(amount=proposal.amount).order_by("-org_seq").first()


def made_account_of(maker: User, person: User) -> bool:
    """Whether one made or changed the other's account lately, or that of somebody who did."""
    seen, found = {person.pk}, {person.pk}
    while found:
        acts = audit_selectors.all_entries().filter(
            object_type=User._meta.label_lower,
            object_id__in=[str(pk) for pk in found],
            created_at__gt=Now() - ACQUAINTANCE,
        )
        found = set(acts.exclude(actor=None).values_list("actor", flat=True)) - seen
        if maker.pk in found:
            return True
        seen |= found
    return False


def _changed_lately(price: Price, user: User) -> bool:
    versions = billing_selectors.versions_of(price).values_list("pk", flat=True)
    return (
        audit_selectors.all_entries()
        .filter(
            actor=user,
            created_at__gt=Now() - WINDOW,
            object_type=Price._meta.label_lower,
            object_id__in=[str(pk) for pk in versions],
        )
        .exists()
    )

"""Credits that staff move by hand: once a form, and above a limit only with a second person.

Grants, adjustments and payments that are recorded by hand count together.

Locks are taken in the order person, request, account: whatever one person asks for stands in a
line, so that several small movements at once cannot pass for less than their sum.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.db.models import BigIntegerField, Q, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Abs, Cast, Coalesce, Now
from django.db.transaction import atomic
from django.http import HttpRequest
from django.utils import timezone

from billing import services as billing_services
from billing.models import Payment, Price
from billing.selectors import payment_of_transfer, price_for_sale
from clipforge.audit.actor import Actor, actor_of
from clipforge.audit.models import AuditEntry
from clipforge.audit.services import sufficient_reason, write_entry
from clipforge.common.errors import Conflict, Forbidden, Invalid, NotFound
from clipforge.orgs.models import Organization, User
from clipforge.staff.approvals.selectors import REQUEST_LIFE, open_requests
from clipforge.staff.models import MoneyRequest, MovementKind, RequestStatus
from credits import services
from credits.errors import InsufficientCredits
from credits.models import CreditAccount, CreditGrant, CreditTransaction, TransactionType

# Of the ledger rows that staff made; the token of the form follows.
KEY = "staff:"
# What a second person confirmed refers to its request, what one person did to the ticket, if any.
BY_REQUEST, BY_TICKET = "staff_request", "ticket"
# Movements of one person count together for so long.
WINDOW = datetime.timedelta(hours=24)
# Who made or changed an account can sign in as its owner, for so long at least.
ACQUAINTANCE = datetime.timedelta(days=30)
# What one person did alone, by its row in the audit: the ledger has no index on who it was.
ALONE = Q(verb__in=["grant_credits", "adjust_credits"]) | Q(
    verb="add", object_type=Payment._meta.label_lower
)
# The permission that the requester must still have when a second person confirms.
NEEDED = {
    MovementKind.GRANT: "staff.grant_credits",
    MovementKind.ADJUST: "staff.adjust_credits",
    MovementKind.PAYMENT: "billing.add_payment",
}


class Funds(NamedTuple):
    """The credits of an account, from its row and never from a cache."""

    posted: int
    held: int
    debt: int

    @property
    def available(self) -> int:
        return self.posted - self.held

    def as_facts(self) -> dict[str, int]:
        return {"available": self.available, **self._asdict()}


class Movement(NamedTuple):
    """The change that a form requests. `grant_kind` is empty for an adjustment, which may be negative.

    Of a payment, `amount` is the most that its price brings and `ticket` the transfer's reference.
    """

    org: Organization
    kind: str
    amount: int
    reason: str
    grant_kind: str = ""
    expires_at: datetime.datetime | None = None
    ticket: str = ""
    price: Price | None = None
    paid_on: datetime.date | None = None

    @property
    def verb(self) -> str:
        return "grant_credits" if self.kind == MovementKind.GRANT else "adjust_credits"


class Outcome(NamedTuple):
    """The ledger row, or the request that a second person has to confirm."""

    made: CreditTransaction | MoneyRequest
    is_repetition: bool

    @property
    def request(self) -> MoneyRequest | None:
        return self.made if isinstance(self.made, MoneyRequest) else None


def funds(org: Organization) -> Funds:
    account = CreditAccount.objects.filter(pk=org.pk).first()
    return Funds(account.posted, account.held, account.debt) if account else Funds(0, 0, 0)


def forecast(movement: Movement, now: Funds) -> Funds:
    """The account after the change. Only an adjustment does not settle debt."""
    settled = 0 if movement.kind == MovementKind.ADJUST else min(now.debt, movement.amount)
    posted = now.posted + movement.amount - settled
    return now._replace(posted=posted, debt=now.debt - settled)


def require_covered(movement: Movement, now: Funds) -> None:
    """Raises Conflict when more is to be taken than is available."""
    if movement.amount + now.available < 0:
        raise _not_covered(-movement.amount, now)


class Lately(NamedTuple):
    """Credits that somebody moved alone in the last day, up and down alike."""

    for_org: int
    in_all: int


def why_second_person(movement: Movement, user: User) -> str:
    """The reason why a second person has to confirm this; empty when that is not needed."""
    lately, amount = moved_lately(movement.org, user), abs(movement.amount)
    limit, in_all = settings.STAFF_GRANT_CONFIRM_CREDITS, settings.STAFF_DAY_CONFIRM_CREDITS
    if lately.for_org + amount > limit:
        return (
            f"This, with what you moved for {movement.org.name} in the last 24 hours, is more than "
            f"{limit:,} credits."
        )
    if lately.in_all + amount > in_all:
        return (
            "This, with what you moved for all organizations in the last 24 hours, is more than "
            f"{in_all:,} credits."
        )
    if movement.price is not None and _changed_lately(movement.price, user):
        return "You changed this price within the last 24 hours."
    return ""


def moved_lately(org: Organization, user: User) -> Lately:
    amount = Abs(Cast(Coalesce(KT("after__amount"), KT("after__credits")), BigIntegerField()))
    alone = AuditEntry.objects.filter(ALONE, actor=user, created_at__gt=Now() - WINDOW)
    sums = alone.aggregate(
        for_org=Sum(amount, filter=Q(org=org), default=0), in_all=Sum(amount, default=0)
    )
    return Lately(**sums)


def same_lately(movement: Movement, user: User) -> CreditTransaction | None:
    """The last time within a day that the person moved exactly as much, by another form."""
    return _lately(movement.org, user).filter(amount=movement.amount).order_by("-org_seq").first()


def submit(movement: Movement, *, token: uuid.UUID, request: HttpRequest) -> Outcome:
    """Move the credits, or ask for a second person; the same token again returns what it made.

    Raises Conflict when the token made something else, or more would be taken than is available.
    """
    person = cast("User", request.user)
    with atomic():
        User.objects.select_for_update(no_key=True).get(pk=person.pk)
        if earlier := _earlier(movement, token):
            return Outcome(earlier, True)
        if why_second_person(movement, person):
            return Outcome(_ask(movement, token, request), False)
        made = _move(
            movement,
            token,
            person,
            request=request,
            reference_type=BY_TICKET if movement.ticket else "",
            reference_id=movement.ticket,
        )
        return Outcome(made, False)


def ask_to_record(movement: Movement, *, request: HttpRequest) -> MoneyRequest | None:
    """The request for a payment that needs a second person; None when the person may record it.

    Requires a transaction, in which it is recorded then. The reference names the payment: sent
    again it is the same request, or the payment that was recorded. Raises Invalid, Conflict.
    """
    person, price = cast("User", request.user), cast("Price", movement.price)
    billing_services.require_recordable(
        reference=movement.ticket,
        paid_on=cast("datetime.date", movement.paid_on),
        reason=movement.reason,
    )
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    if payment_of_transfer(movement.ticket) is not None:
        return None
    waiting = open_requests().filter(kind=MovementKind.PAYMENT, ticket=movement.ticket).first()
    if waiting is not None:
        if (waiting.org_id, waiting.price_id) != (movement.org.pk, price.pk):
            raise Conflict(f'The reference "{movement.ticket}" waits for a second person already.')
        return waiting
    if not why_second_person(movement, person):
        return None
    # Its terms stand from now on: what is confirmed is what is asked for.
    price = price_for_sale(price.code)
    return _ask(movement._replace(price=price, amount=price.credits), uuid.uuid4(), request)


def confirm(
    asked: MoneyRequest, *, reason: str, request: HttpRequest
) -> CreditTransaction | Payment:
    """Move what another person asked for. Raises Conflict, Forbidden as `refuse` does.

    Also Conflict when the requester lost the permission, and Forbidden when both may be one person.
    Where more would be taken than is available, nothing happened, and the request still waits.
    """
    with atomic():
        decided = _decide(asked, RequestStatus.CONFIRMED, reason, request)
        if doubt := why_not_confirmed(decided, cast("User", request.user)):
            raise doubt
        if decided.kind == MovementKind.PAYMENT:
            return _record(decided, request=request)
        return _move(
            movement_of(decided),
            decided.token,
            decided.requested_by,
            reference_type=BY_REQUEST,
            reference_id=str(decided.pk),
            request=request,
            confirmed=decided,
        )


def why_not_confirmed(asked: MoneyRequest, person: User) -> Conflict | Forbidden | None:
    """The reason why this person cannot confirm the request; None if they can.

    Refusing is always possible.
    """
    asker = asked.requested_by
    if not (asker.is_staff and asker.has_perm(NEEDED[MovementKind(asked.kind)])):
        return Conflict(
            f"{asker} may not ask for this any more, so it cannot be confirmed. Refuse it; if it "
            "should be done all the same, somebody else asks anew."
        )
    if _made(asker, person) or _made(person, asker):
        return Forbidden(
            f"Within the last {ACQUAINTANCE.days} days one of you and {asker} made or changed the "
            "account of the other, or of somebody who did, so you do not count as two persons. "
            "Somebody else has to confirm this."
        )
    return None


def refuse(asked: MoneyRequest, *, reason: str, request: HttpRequest) -> MoneyRequest:
    """Let nothing move. Raises Conflict when it was decided or has expired, Forbidden for who asked."""
    with atomic():
        decided = _decide(asked, RequestStatus.REFUSED, reason, request)
        write_entry(
            actor=Actor.of_request(request),
            verb="refuse_credits",
            subject=decided,
            org=decided.org,
            before={"status": RequestStatus.PENDING},
            after={"status": decided.status, **facts_of(movement_of(decided))},
            reason=reason,
        )
    return decided


def expire_requests() -> int:
    """Expire the requests that were not decided in time. Returns how many."""
    late = MoneyRequest.objects.filter(
        status=RequestStatus.PENDING, requested_at__lte=Now() - REQUEST_LIFE
    )
    return late.update(status=RequestStatus.EXPIRED, decided_at=Now())


def movement_of(asked: MoneyRequest) -> Movement:
    return Movement(
        org=asked.org,
        kind=asked.kind,
        amount=asked.amount,
        reason=asked.reason,
        grant_kind=asked.grant_kind,
        expires_at=asked.expires_at,
        ticket=asked.ticket,
        price=asked.price,
        paid_on=asked.paid_on,
    )


def facts_of(movement: Movement) -> dict[str, Any]:
    """As the audit keeps it."""
    facts = {
        "amount": movement.amount,
        "kind": movement.grant_kind,
        "expires_at": movement.expires_at,
        "ticket": movement.ticket,
        "price": str(movement.price or ""),
        "paid_on": movement.paid_on,
    }
    return {name: value for name, value in facts.items() if value}


# --- inside ---------------------------------------------------------------------------


def _lately(org: Organization, user: User) -> QuerySet[CreditTransaction]:
    """The transactions that the person made by these forms within the window."""
    return CreditTransaction.objects.for_org(org).filter(
        type__in=[TransactionType.GRANT, TransactionType.PURCHASE, TransactionType.ADJUST],
        created_at__gt=Now() - WINDOW,
        actor=actor_of(user),
        idempotency_key__startswith=KEY,
    )


def _changed_lately(price: Price, user: User) -> bool:
    versions = Price.objects.filter(code=price.code).values_list("pk", flat=True)
    return AuditEntry.objects.filter(
        actor=user,
        created_at__gt=Now() - WINDOW,
        object_type=Price._meta.label_lower,
        object_id__in=[str(pk) for pk in versions],
    ).exists()


def _made(maker: User, person: User) -> bool:
    """Whether one made or changed the other's account lately, or that of somebody who did."""
    seen, found = {person.pk}, {person.pk}
    while found:
        acts = AuditEntry.objects.filter(
            object_type=User._meta.label_lower,
            object_id__in=[str(pk) for pk in found],
            created_at__gt=Now() - ACQUAINTANCE,
        )
        found = set(acts.values_list("actor", flat=True)) - seen
        if maker.pk in found:
            return True
        seen |= found
    return False


def _record(decided: MoneyRequest, *, request: HttpRequest) -> Payment:
    """The payment that was asked for, with its audit row. Requires the lock of the request."""
    price = cast("Price", decided.price)
    if payment_of_transfer(decided.ticket) is not None:
        raise Conflict("A payment with this reference was recorded meanwhile. Refuse this one.")
    before = funds(decided.org)
    payment = billing_services.record_payment(
        org=decided.org,
        code=price.code,
        reference=decided.ticket,
        paid_on=cast("datetime.date", decided.paid_on),
        reason=decided.reason,
        actor=actor_of(decided.requested_by),
    )
    if payment.price_id != price.pk:
        raise Conflict(
            f"{price} is not sold any more. Refuse this; what was paid is recorded anew."
        )
    facts = facts_of(movement_of(decided)) | {"credits": payment.credits}
    write_entry(
        actor=Actor.of_request(request),
        verb="confirm_credits",
        subject=payment,
        org=decided.org,
        before=before.as_facts(),
        after={
            **funds(decided.org).as_facts(),
            **facts,
            "request": decided.pk,
            "asked_by": str(decided.requested_by),
        },
        reason=decided.decision_reason,
    )
    return payment


def _move(
    movement: Movement,
    token: uuid.UUID,
    person: User,
    *,
    request: HttpRequest,
    confirmed: MoneyRequest | None = None,
    reference_type: str = "",
    reference_id: str = "",
) -> CreditTransaction:
    """Through the service, with its audit row. Requires the lock of the person or the request."""
    trace: dict[str, Any] = {
        "org": movement.org,
        "amount": movement.amount,
        "reason": movement.reason,
        "actor": actor_of(person),
        "idempotency_key": f"{KEY}{token}",
        "reference_type": reference_type,
        "reference_id": reference_id,
    }
    try:
        if movement.kind == MovementKind.GRANT:
            made = services.grant(kind=movement.grant_kind, expires_at=movement.expires_at, **trace)
        else:
            made = services.adjust(**trace)
    except InsufficientCredits:
        raise _not_covered(-movement.amount, funds(movement.org)) from None
    # The service has locked the account, so that it did not change in between.
    after = funds(movement.org)
    before = Funds(
        posted=made.balance_after - made.amount,
        held=after.held,
        debt=after.debt + made.balance_after - after.posted,
    )
    facts = facts_of(movement)
    if confirmed is not None:
        facts |= {"request": confirmed.pk, "asked_by": str(confirmed.requested_by)}
    write_entry(
        actor=Actor.of_request(request),
        verb="confirm_credits" if confirmed else movement.verb,
        subject=made,
        org=movement.org,
        before=before.as_facts(),
        after={**after.as_facts(), **facts},
        reason=confirmed.decision_reason if confirmed else movement.reason,
    )
    return made


def _ask(movement: Movement, token: uuid.UUID, request: HttpRequest) -> MoneyRequest:
    require_covered(movement, funds(movement.org))
    if movement.expires_at is not None and movement.expires_at <= timezone.now():
        raise Invalid("The end of the credits has passed already.")
    asked = MoneyRequest.objects.create(
        token=token, requested_by=cast("User", request.user), **movement._asdict()
    )
    write_entry(
        actor=Actor.of_request(request),
        verb="request_credits",
        subject=asked,
        org=movement.org,
        after={"status": RequestStatus.PENDING, **facts_of(movement)},
        reason=movement.reason,
    )
    return asked


def _decide(asked: MoneyRequest, status: str, reason: str, request: HttpRequest) -> MoneyRequest:
    """Take the request out of PENDING, once. Requires a transaction."""
    person = cast("User", request.user)
    reason = sufficient_reason(reason)
    decided = (
        open_requests()
        .filter(pk=asked.pk)
        .exclude(requested_by=person)
        .update(status=status, decided_by=person, decided_at=Now(), decision_reason=reason)
    )
    rows = MoneyRequest.objects.select_related("org", "requested_by", "price")
    found = rows.filter(pk=asked.pk).first()
    if found is None:
        raise NotFound("There is no such request.")
    if decided:
        return found
    if found.requested_by_id == person.pk:
        raise Forbidden("You asked for this. Somebody else has to confirm or refuse it.")
    if found.status == RequestStatus.PENDING:
        raise Conflict("Nobody decided this in seven days, so it has expired. Ask anew.")
    raise Conflict(f"This was decided already: {found.get_status_display().lower()}.")


def _earlier(movement: Movement, token: uuid.UUID) -> CreditTransaction | MoneyRequest | None:
    """The result that the token made before. Raises Conflict if it was used for another change."""
    asked = MoneyRequest.objects.filter(token=token).first()
    if asked is not None:
        if movement_of(asked) != movement:
            raise _used()
        return asked
    moved = CreditTransaction.objects.for_org(movement.org).filter(idempotency_key=f"{KEY}{token}")
    earlier = moved.first()
    if earlier is not None and not _is_same(earlier, movement):
        raise _used()
    return earlier


def _is_same(earlier: CreditTransaction, movement: Movement) -> bool:
    if (earlier.amount, earlier.reason) != (movement.amount, movement.reason):
        return False
    if movement.kind == MovementKind.ADJUST:
        return earlier.type == TransactionType.ADJUST
    lot = CreditGrant.objects.get(pk=next(iter(earlier.inputs["grants"])))
    return (lot.kind, lot.expires_at) == (movement.grant_kind, movement.expires_at)


def _used() -> Conflict:
    return Conflict(
        "This form has done its work already, with other values. Nothing more was moved: "
        "look at the ledger, and open the form anew if you want another movement.",
        code="form_used",
    )


def _not_covered(needed: int, now: Funds) -> Conflict:
    waits = f" Running work holds {now.held:,} more." if now.held else ""
    return Conflict(
        f"{needed:,} credits cannot be taken: {max(0, now.available):,} are available now.{waits} "
        "Nothing was moved. Take less, or wait for running work to finish.",
        code="not_covered",
    )

"""Many exports in one order: all of them or none, or each for itself."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from clipforge.common.errors import DomainError, Invalid, NotFound
from clipforge.jobs import services as job_services
from clipforge.jobs.errors import TooManyAtOnce
from clipforge.orgs import stored
from clipforge.orgs.models import Organization
from credits.errors import InsufficientCredits, KeyCapReached
from credits.pricing import Charge
from credits.quotes import Terms, lock_quote
from exports import services
from exports.models import Export
from exports.services import Options
from projects import selectors as project_selectors
from projects.selectors import Clippable


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One export of a batch: a moment, or start and end of a project."""

    moment_id: uuid.UUID | None = None
    project_id: uuid.UUID | None = None
    start: float = 0
    end: float = 0
    options: Options


class BatchRefused(Invalid):
    """Some orders of a batch of all or nothing cannot be carried out; none was."""

    code, title = "batch_refused", "Nothing of the batch was ordered"

    def __init__(self, refusals: dict[int, DomainError]) -> None:
        super().__init__(
            f"{len(refusals)} of the orders cannot be carried out, so none was: `errors` says which.",
            errors=[
                {"pointer": f"/exports/{number}", "code": each.error_code, "detail": each.message}
                for number, each in refusals.items()
            ],
        )
        self.refusals = refusals


def order_all(
    *, org: Organization, orders: Sequence[Order], terms: Terms, stored_now: int, actor: str
) -> list[Export]:
    """Order all of them. Requires the transaction that is rolled back where this raises.

    Raises BatchRefused for orders that cannot be carried out, whatever the others are, and for all
    together StorageLimitReached, MaxCreditsExceeded, InsufficientCredits, KeyCapReached and TooManyAtOnce.
    """
    stored.require_room(org, now=stored_now)
    found = _locked(org, orders, terms)
    prepared: list[tuple[Export, Charge]] = []
    refusals: dict[int, DomainError] = {}
    quoted = Terms(quote_id=terms.quote_id)
    for number, order in enumerate(orders):
        try:
            export = _prepare(found, order, stored_now)
            prepared.append((export, job_services.agreed_charge(job=export, terms=quoted)))
        except DomainError as refusal:
            refusals[number] = refusal
    if refusals:
        raise BatchRefused(refusals)
    total = sum(charge.credits for _, charge in prepared)
    terms.require_within(total)
    ordered: list[Export] = []
    reserved = 0
    for export, charge in prepared:
        try:
            ordered.append(services.order_export(export=export, charge=charge, actor=actor))
        except InsufficientCredits as refusal:
            available = reserved + int(refusal.extra["available"])
            raise InsufficientCredits(needed=total, available=available) from refusal
        except KeyCapReached as refusal:
            of_all = {"needed": total, "available": reserved + int(refusal.extra["available"])}
            raise KeyCapReached(**{**refusal.extra, **of_all}) from refusal
        except TooManyAtOnce as refusal:
            before = int(refusal.extra["running"]) - len(ordered)
            raise TooManyAtOnce(running=before, quota=refusal.extra["quota"]) from refusal
        reserved += charge.credits
    return ordered


def order_each(
    *, org: Organization, orders: Sequence[Order], terms: Terms, stored_now: int, actor: str
) -> list[Export | DomainError]:
    """Order each that can be, in their order, and return what became of each. Requires a transaction.

    `max_credits` bounds all together: an order that would exceed it is refused, and a cheaper one after
    it may still fit.
    """
    found = _locked(org, orders, terms)
    quoted = Terms(quote_id=terms.quote_id)
    results: list[Export | DomainError] = []
    reserved = 0
    for order in orders:
        try:
            # What an order has done before it is refused is undone: the line of a quote is free again.
            with transaction.atomic():
                export = _prepare(found, order, stored_now)
                charge = job_services.agreed_charge(job=export, terms=quoted)
                terms.require_within(reserved + charge.credits)
                results.append(services.order_export(export=export, charge=charge, actor=actor))
        except DomainError as refusal:
            results.append(refusal)
        else:
            reserved += charge.credits
    return results


def _locked(org: Organization, orders: Sequence[Order], terms: Terms) -> Clippable:
    """The projects and moments of the orders. Raises NotFound and Conflict for a quote that none of them can name."""
    found = project_selectors.lock_clippable(
        org,
        project_ids=[order.project_id for order in orders if order.project_id],
        moment_ids=[order.moment_id for order in orders if order.moment_id],
    )
    if terms.quote_id is not None:
        lock_quote(org, terms.quote_id)
    return found


def _prepare(found: Clippable, order: Order, stored_now: int) -> Export:
    """Raises NotFound for what is not there, and what `prepare_export` does."""
    if order.moment_id is not None:
        moment = found.moments.get(order.moment_id)
        if moment is None:
            raise NotFound
        return services.prepare_export(
            project=moment.project,
            moment=moment,
            start=moment.start,
            end=moment.end,
            options=order.options,
            stored_now=stored_now,
        )
    project = order.project_id and found.projects.get(order.project_id)
    if not project:
        raise NotFound
    return services.prepare_export(
        project=project,
        start=order.start,
        end=order.end,
        options=order.options,
        stored_now=stored_now,
    )

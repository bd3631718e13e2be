"""Actions of staff on failed and stuck jobs: previewed, done once, each through its service.

A plan says what was chosen and how it stood then. It travels through the browser, signed for one
person; its token lets it be carried out once. Each item is done in a transaction of its own, with
its audit row, and only if it still stands where the plan saw it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

from django.core import signing
from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Conflict, DomainError, Invalid, NotFound
from clipforge.jobs import queue, rules
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs import services as job_services
from clipforge.jobs.errors import in_terms_of_jobs
from clipforge.jobs.kinds import JobKind, find_kind
from clipforge.jobs.models import Job
from clipforge.jobs.rules import Action
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization, User
from clipforge.staff import job_actions
from clipforge.staff.models import RescueRun
from clipforge.staff.work.selectors import (
    ENTRY,
    HOLD,
    as_uuid,
    listed_kinds,
    paying_holds,
    shown_jobs,
    title_of,
    url_of,
)
from credits import rules as credit_rules
from credits import selectors as credit_selectors
from credits import services as credit_services
from credits.models import CreditHold, HoldStatus

logger = logging.getLogger(__name__)

# Items a confirmation: more than a person reads before confirming.
MOST = 100
# How long a confirmation page may be open. Seconds.
PLAN_SECONDS = 3600
SALT = "clipforge.staff.work.selectors"

# What each can be done about besides jobs, of which there is none that it could not be.
BESIDE_JOBS = {
    Action.RETRY: ENTRY,
    Action.REQUEUE: ENTRY,
    Action.CANCEL: "",
    Action.RELEASE: HOLD,
}
EFFECTS = {
    Action.RETRY: "queued again from the start; its price is reserved anew",
    Action.REQUEUE: "given a new queue entry; its credits stay reserved",
    Action.CANCEL: "stopped; its reserved credits go back",
    Action.RELEASE: "its reserved credits go back",
}


@dataclass
class RescueItem:
    """One thing that was chosen, as it stands, and what would become of it."""

    kind: str
    pk: str
    label: str = ""
    url: str = ""
    org: Organization | None = None
    status: str = ""
    # The number that grows when it changes hands; a later action must still find it.
    fence: int = 0
    reserved: int = 0  # credits that would be reserved
    returned: int = 0  # credits that would go back
    refusal: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.pk}"


@dataclass
class RescuePlan:
    action: Action
    items: list[RescueItem] = field(default_factory=list)

    @property
    def possible(self) -> list[RescueItem]:
        return [item for item in self.items if not item.refusal]

    @property
    def refused(self) -> list[RescueItem]:
        return [item for item in self.items if item.refusal]

    @property
    def reserved(self) -> int:
        return sum(item.reserved for item in self.possible)

    @property
    def returned(self) -> int:
        return sum(item.returned for item in self.possible)

    @property
    def effect(self) -> str:
        return EFFECTS[self.action]


# --- before ----------------------------------------------------------------------------


def plan(action: Action, keys: Iterable[str]) -> RescuePlan:
    """The preview of an action: its effect on each, or why not.

    Raises Invalid for none and too many.
    """
    chosen = list(dict.fromkeys(keys))
    if not chosen:
        raise Invalid("Nothing is chosen. Tick what you want to change.")
    if len(chosen) > MOST:
        raise Invalid(f"{len(chosen)} are chosen. Choose {MOST} at the most, and come back.")
    made = RescuePlan(action, [_parsed(key) for key in chosen])
    for item in made.items:
        if find_kind(item.kind) is None and item.kind != BESIDE_JOBS[action]:
            what = listed_kinds()[item.kind]
            item.label = f"{what} {item.pk}"
            item.refusal = f'"{action.label}" is nothing for a {what.lower()}.'
    for name in listed_kinds():
        if items := [item for item in made.possible if item.kind == name]:
            _look(name, action, items)
    if action is Action.RETRY:
        _refuse_what_cannot_be_paid(made.possible)
    return made


def _parsed(key: str) -> RescueItem:
    kind, _, pk = key.partition(":")
    right = pk.isdecimal() and len(pk) < 19 if kind == ENTRY else as_uuid(pk) is not None
    if kind not in listed_kinds() or not right:
        raise Invalid("This is not in the list. Go back and choose again.")
    return RescueItem(kind, pk)


def _look(name: str, action: Action, items: list[RescueItem]) -> None:
    pks, kind = [item.pk for item in items], find_kind(name)
    if kind is not None:
        rows: QuerySet[Any] = shown_jobs(kind).filter(pk__in=pks)
    elif name == ENTRY:
        rows = queue.entries_with_worker().filter(pk__in=pks)
    else:
        rows = credit_selectors.all_holds().select_related("org").filter(pk__in=pks)
    found = {str(row.pk): row for row in rows}
    paying = paying_holds(found.values()) if name == HOLD else set()
    for item in items:
        row = found.get(item.pk)
        if row is None:
            item.label, item.refusal = (
                f"{listed_kinds()[name]} {item.pk}",
                "It is not there any more.",
            )
        elif kind is not None:
            _preview_job(item, action, kind, row)
        elif name == ENTRY:
            _preview_entry(item, action, row)
        else:
            _preview_hold(item, row, pays_open_job=row.pk in paying)


def _preview_entry(item: RescueItem, action: Action, entry: Any) -> None:
    item.label, item.url = f"{entry.task_name}, entry {entry.pk}", url_of(entry)
    item.status, item.fence = entry.status, entry.attempts
    item.refusal = _sentence(queue.why_not_entry(action, entry))


def _preview_hold(item: RescueItem, hold: CreditHold, *, pays_open_job: bool) -> None:
    item.label, item.url, item.org = hold.reason, url_of(hold), hold.org
    item.status, item.fence, item.returned = hold.status, hold.fence, hold.amount
    item.refusal = _sentence(rules.why_not_release(hold, pays_open_job=pays_open_job))


def _preview_job(item: RescueItem, action: Action, kind: JobKind[Any], job: Job) -> None:
    item.label, item.url, item.org = title_of(job), url_of(job), job.org
    item.status, item.fence = job.status, job.fence
    item.refusal = _sentence(job_actions.why_not(action, job))
    if action is Action.RETRY:
        item.reserved = kind.price(job).credits
    elif action in {Action.CANCEL, Action.RELEASE} and job.hold is not None:
        item.returned = job.hold.amount if job.hold.status == HoldStatus.HELD else 0


def _sentence(refusal: rules.Refusal | None) -> str:
    return refusal.message if refusal else ""


def _refuse_what_cannot_be_paid(items: list[RescueItem]) -> None:
    """In the order in which they will be done: each takes its credits, and a place among the jobs."""
    orgs = {item.org.pk: item.org for item in items if item.org}
    accounts = credit_selectors.all_accounts().in_bulk(list(orgs))
    limits = org_selectors.all_tier_limits().in_bulk() if orgs else {}
    free = {pk: account.available for pk, account in accounts.items()}
    jobs = {pk: account.open_holds for pk, account in accounts.items()}
    for item in items:
        if item.org is None:
            continue
        pk, limit = item.org.pk, limits[item.org.tier].open_jobs
        refusal = credit_rules.why_not_hold(
            item.reserved,
            available=free.get(pk, 0),
            open_holds=jobs.get(pk, 0),
            max_open_holds=limit,
        )
        if refusal:
            item.refusal = in_terms_of_jobs(refusal).message
        else:
            free[pk] -= item.reserved
            jobs[pk] += 1


def seal(made: RescuePlan, *, user: User) -> str:
    """The plan as it travels: what can be done of it, for this person, once."""
    items = [[item.kind, item.pk, item.fence, item.label] for item in made.possible]
    sealed = {"do": made.action, "items": items, "user": user.pk, "token": uuid.uuid4().hex}
    return signing.dumps(sealed, salt=SALT, compress=True)


def unseal(text: str, *, user: User) -> tuple[uuid.UUID, RescuePlan]:
    """Token and plan. Raises Invalid when it is too old, of another person, or none of ours."""
    try:
        sealed = signing.loads(text, salt=SALT, max_age=PLAN_SECONDS)
    except signing.BadSignature:
        raise Invalid("This confirmation is too old. Choose again what to change.") from None
    if sealed["user"] != user.pk:
        raise Invalid("Somebody else was asked to confirm this. Choose again what to change.")
    items = [RescueItem(kind, pk, label, fence=fence) for kind, pk, fence, label in sealed["items"]]
    return uuid.UUID(sealed["token"]), RescuePlan(Action(sealed["do"]), items)


# --- now -------------------------------------------------------------------------------


def carry_out(token: uuid.UUID, made: RescuePlan, *, reason: str, actor: Actor) -> RescueRun:
    """Do what was confirmed, with a row in the audit for each item. The second request with the token gets the run that the first one began."""
    run, first = RescueRun.objects.get_or_create(
        token=token,
        defaults={"actor_id": cast("int", actor.user_id), "action": made.action, "reason": reason},
    )
    if not first:
        return run
    for item in made.items:
        why = _refused(partial(_do, made.action, item, reason, actor))
        run.results.append({"label": item.label, "key": item.key, "done": not why, "why": why})
    run.finished_at = timezone.now()
    run.save(update_fields=["results", "finished_at"])
    return run


def _refused(act: Callable[[], None]) -> str:
    """Why it could not be done; empty when it was."""
    try:
        with transaction.atomic():
            act()
    except DomainError as error:
        return error.message
    except DatabaseError:
        logger.exception("rescue failed")
        return "Somebody else holds it just now, or the database failed. Try it again."
    except Exception:
        logger.exception("rescue failed")
        return "Something failed on our side; the log says what."
    return ""


class Done(NamedTuple):
    """A completed action and its object, for the audit."""

    subject: Model
    org: Organization | None
    before: dict[str, Any]
    after: dict[str, Any]


def _do(action: Action, item: RescueItem, reason: str, actor: Actor) -> None:
    """In the caller's transaction: lock, look again, act, write down."""
    if item.kind == ENTRY:
        done = _put_back(action, item)
    elif item.kind == HOLD:
        done = _release(item, str(actor))
    else:
        done = _do_job(action, item, str(actor))
    write_entry(
        actor=actor,
        verb=f"{action.value}_{'hold' if action is Action.RELEASE else 'work'}",
        subject=done.subject,
        org=done.org,
        before=done.before,
        after=done.after,
        reason=reason,
    )


def _do_job(action: Action, item: RescueItem, actor: str) -> Done:
    job = _locked(item)
    before = {"status": job.status}
    if refusal := job_actions.why_not(action, job):
        raise refusal.as_error()
    if action is Action.RELEASE:
        job = job_services.release_hold_of(job=job, actor=actor)
        hold = cast("CreditHold", job.hold)
        return _released(hold)
    job = {
        Action.RETRY: lambda: job_services.retry_job(job=job, actor=actor),
        Action.CANCEL: lambda: job_services.cancel_job(job=job, actor=actor),
        Action.REQUEUE: lambda: job_services.requeue_job(job=job),
    }[action]()
    after: dict[str, Any] = {"status": job.status}
    if job.hold is not None:
        after |= {"hold": str(job.hold.pk), "credits": job.hold.amount, "hold is": job.hold.status}
    return Done(job, job.org, before, after)


def _locked(item: RescueItem) -> Job:
    """The row of the job, where the plan saw it. Raises NotFound, Conflict."""
    kind = find_kind(item.kind)
    job: Job | None = None
    if kind is not None:
        rows = (
            job_selectors.all_jobs(kind.model).select_for_update(of=("self",)).select_related("org")
        )
        job = rows.filter(pk=item.pk).first()
    if job is None:
        raise NotFound("It is not there any more.")
    if job.fence != item.fence:
        raise Conflict(f"It changed meanwhile: it is {job.status} now.")
    return job


def _release(item: RescueItem, actor: str) -> Done:
    """Row first, then hold, as everywhere: a job that begins meanwhile keeps its hold."""
    hold = credit_selectors.all_holds().select_related("org").filter(pk=item.pk).first()
    if hold is None:
        raise NotFound("It is not there any more.")
    kind, pk = find_kind(hold.reference_type), as_uuid(hold.reference_id)
    job = None
    if kind is not None and pk is not None:
        job = job_selectors.all_jobs(kind.model).select_for_update().filter(pk=pk).first()
    pays = job is not None and job.is_open and job.hold_id == hold.pk
    if refusal := rules.why_not_release(hold, pays_open_job=pays):
        raise refusal.as_error()
    if not credit_services.release(hold_id=hold.pk, fence=item.fence, actor=actor):
        raise Conflict("It was settled meanwhile.")
    return _released(hold)


def _released(hold: CreditHold) -> Done:
    after = {"status": HoldStatus.RELEASED.value, "credits": hold.amount}
    return Done(hold, hold.org, {"status": HoldStatus.HELD.value}, after)


def _put_back(action: Action, item: RescueItem) -> Done:
    entry = queue.locked_entry(item.pk)
    if entry.attempts != item.fence:
        raise Conflict(f"It changed meanwhile: it is {entry.status} now.")
    before = {"status": entry.status, "attempts": entry.attempts}
    queue.put_back(action, entry)
    after = {"status": "todo", "attempts": entry.attempts + 1}
    return Done(entry, _org_of_entry(entry), before, after)


def _org_of_entry(entry: Any) -> Organization | None:
    found = queue.job_of_entry(entry.task_name, entry.args)
    if found is None or (pk := as_uuid(found[1])) is None:
        return None
    kind = find_kind(found[0])
    job = (
        job_selectors.all_jobs(kind.model).select_related("org").filter(pk=pk).first()
        if kind
        else None
    )
    return job.org if job else None

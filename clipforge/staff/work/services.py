"""What staff do about what failed or is stuck: shown before, done once, each through its service.

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
from typing import Any, cast

from django.core import signing
from django.db import DatabaseError, transaction
from django.db.models import Model, TextChoices
from django.http import HttpRequest
from django.utils import timezone

from clipforge.audit.actor import Actor, actor_of
from clipforge.audit.services import write_entry
from clipforge.common.errors import Conflict, DomainError, Invalid, NotFound
from clipforge.jobs import queue
from clipforge.jobs.models import CANCELLED, FAILED, Job
from clipforge.orgs.models import Organization, TierLimits, User
from clipforge.staff.models import RescueRun
from clipforge.staff.work.selectors import (
    MODELS,
    Kind,
    as_uuid,
    holds_of_open_work,
    title_of,
    url_of,
    works_of,
)
from credits import services as credit_services
from credits.models import CreditAccount, CreditHold, HoldStatus
from exports import services as export_services
from exports.models import Export
from exports.pricing import export_charge
from projects import services as project_services
from projects.models import Project
from projects.pricing import analysis_charge

logger = logging.getLogger(__name__)

# Items a confirmation: more than anybody reads before saying yes.
MOST = 100
# How long a confirmation may lie in front of somebody. Seconds.
PLAN_SECONDS = 3600
SALT = "clipforge.staff.work.selectors"


class Action(TextChoices):
    RETRY = "retry", "Retry"
    REQUEUE = "requeue", "Requeue"
    CANCEL = "cancel", "Cancel"
    RELEASE = "release", "Release hold"


PERMISSIONS = {
    Action.RETRY: "staff.retry_work",
    Action.REQUEUE: "staff.rescue_work",
    Action.CANCEL: "staff.rescue_work",
    Action.RELEASE: "staff.rescue_work",
}
KINDS = {
    Action.RETRY: {Kind.PROJECT, Kind.EXPORT, Kind.JOB},
    Action.REQUEUE: {Kind.PROJECT, Kind.EXPORT, Kind.JOB},
    Action.CANCEL: {Kind.PROJECT, Kind.EXPORT},
    Action.RELEASE: {Kind.PROJECT, Kind.EXPORT, Kind.HOLD},
}
EFFECTS = {
    Action.RETRY: "queued again from the start; its price is reserved anew",
    Action.REQUEUE: "given a new job; its credits stay reserved",
    Action.CANCEL: "stopped; its reserved credits go back",
    Action.RELEASE: "its reserved credits go back",
}


@dataclass
class Item:
    """One thing that was chosen, as it stands, and what would become of it."""

    kind: str
    pk: str
    label: str = ""
    url: str = ""
    org: Organization | None = None
    status: str = ""
    # The number that grows when it changes hands; whoever acts later must still find it.
    fence: int = 0
    reserved: int = 0  # credits that would be reserved
    returned: int = 0  # credits that would go back
    refusal: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.pk}"


@dataclass
class Plan:
    action: Action
    items: list[Item] = field(default_factory=list)

    @property
    def possible(self) -> list[Item]:
        return [item for item in self.items if not item.refusal]

    @property
    def refused(self) -> list[Item]:
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


def plan(action: Action, keys: Iterable[str]) -> Plan:
    """What the action would do to each, and why not to some. Raises Invalid for none and too many."""
    chosen = list(dict.fromkeys(keys))
    if not chosen:
        raise Invalid("Nothing is chosen. Tick what you want to change.")
    if len(chosen) > MOST:
        raise Invalid(f"{len(chosen)} are chosen. Choose {MOST} at the most, and come back.")
    made = Plan(action, [_parsed(key) for key in chosen])
    wrong = [item for item in made.items if item.kind not in KINDS[action]]
    for item in wrong:
        what = Kind(item.kind).label
        item.label = f"{what} {item.pk}"
        item.refusal = f'"{action.label}" is nothing for a {what.lower()}.'
    for kind in Kind:
        if items := [item for item in made.possible if item.kind == kind]:
            _look(kind, action, items)
    if action is Action.RETRY:
        _refuse_what_cannot_be_paid(made.possible)
    return made


def _parsed(key: str) -> Item:
    kind, _, pk = key.partition(":")
    right = pk.isdecimal() and len(pk) < 19 if kind == Kind.JOB else as_uuid(pk) is not None
    if kind not in Kind.values or not right:
        raise Invalid("This is not in the list. Go back and choose again.")
    return Item(kind, pk)


def _look(kind: Kind, action: Action, items: list[Item]) -> None:
    pks = [item.pk for item in items]
    if kind == Kind.JOB:
        rows = queue.JOBS.objects.select_related("worker").filter(pk__in=pks)
    elif kind == Kind.HOLD:
        rows = CreditHold.objects.select_related("org").filter(pk__in=pks)
    else:
        rows = works_of(kind).filter(pk__in=pks)
    found = {str(row.pk): row for row in rows}
    paying = holds_of_open_work(found.values()) if kind == Kind.HOLD else set()
    for item in items:
        row = found.get(item.pk)
        if row is None:
            item.label, item.refusal = f"{kind.label} {item.pk}", "It is not there any more."
        elif kind == Kind.JOB:
            _see_job(item, action, row)
        elif kind == Kind.HOLD:
            _see_hold(item, row, paying)
        else:
            _see_work(item, action, row)


def _see_job(item: Item, action: Action, job: Any) -> None:
    item.label, item.url = f"{job.task_name}, job {job.pk}", url_of(job)
    item.status, item.fence = job.status, job.attempts
    item.refusal = _refusal_of_job(action, job)


def _see_hold(item: Item, hold: CreditHold, paying: set[uuid.UUID]) -> None:
    item.label, item.url, item.org = hold.reason, url_of(hold), hold.org
    item.status, item.fence, item.returned = hold.status, hold.fence, hold.amount
    item.refusal = _refusal_of_hold(hold, paying)


def _see_work(item: Item, action: Action, work: Job) -> None:
    item.label, item.url, item.org = title_of(work), url_of(work), work.org
    item.status, item.fence = work.status, work.fence
    item.refusal = _refusal_of_work(action, work)
    if action is Action.RETRY:
        item.reserved = _price(work)
    elif action in {Action.CANCEL, Action.RELEASE} and work.hold is not None:
        item.returned = work.hold.amount if work.hold.status == HoldStatus.HELD else 0


def _price(work: Job) -> int:
    """Credits, as its service will compute them."""
    if isinstance(work, Export):
        return export_charge(work.start, work.end).credits
    return analysis_charge(cast("Project", work).duration).credits


def _refusal_of_work(action: Action, work: Job) -> str:
    if action is Action.RETRY:
        if work.status not in {FAILED, CANCELLED}:
            return f"It is {work.status}; only failed or cancelled work can be retried."
        return "" if work.org.is_active else "Its organization is suspended. Restore that first."
    if action is Action.RELEASE:
        if work.hold is None or work.hold.status != HoldStatus.HELD:
            return "No credits are held for it."
        return "It waits or runs. Cancel it instead." if work.is_open else ""
    if not work.is_open:
        return f"It is {work.status} already."
    lease = work.lease_expires_at
    if action is Action.REQUEUE and lease is not None and lease > timezone.now():
        return "Its worker gives signs of life."
    return ""


def _refusal_of_hold(hold: CreditHold, paying: set[uuid.UUID]) -> str:
    if hold.status != HoldStatus.HELD:
        return f"It is {hold.status} already."
    if hold.pk in paying:
        return "It pays for work that waits or runs. Cancel that instead."
    return ""


def _refusal_of_job(action: Action, job: Any) -> str:
    if action is Action.RETRY:
        return (
            "" if job.status == "failed" else f"It is {job.status}; only a failed job is retried."
        )
    if job.status != "doing":
        return f"It is {job.status}; only a job whose worker is gone is requeued."
    alive = job.worker and job.worker.last_heartbeat > timezone.now() - queue.SILENCE
    return "Its worker is alive." if alive else ""


def _refuse_what_cannot_be_paid(items: list[Item]) -> None:
    """In the order in which they will be done: each takes its credits, and a place among the jobs."""
    orgs = {item.org.pk: item.org for item in items if item.org}
    accounts = CreditAccount.objects.in_bulk(list(orgs))
    limits = TierLimits.objects.in_bulk() if orgs else {}
    free = {pk: account.available for pk, account in accounts.items()}
    jobs = {pk: account.open_holds for pk, account in accounts.items()}
    for item in items:
        if item.org is None:
            continue
        pk, limit = item.org.pk, limits[item.org.tier].concurrent_jobs
        if free.get(pk, 0) < item.reserved:
            item.refusal = f"It needs {item.reserved} credits and {free.get(pk, 0)} are available."
        elif jobs[pk] >= limit:
            item.refusal = f"{jobs[pk]} jobs of its organization wait or run, and no more may."
        else:
            free[pk] -= item.reserved
            jobs[pk] += 1


def seal(made: Plan, *, user: User) -> str:
    """The plan as it travels: what can be done of it, for this person, once."""
    items = [[item.kind, item.pk, item.fence, item.label] for item in made.possible]
    sealed = {"do": made.action, "items": items, "user": user.pk, "token": uuid.uuid4().hex}
    return signing.dumps(sealed, salt=SALT, compress=True)


def unseal(text: str, *, user: User) -> tuple[uuid.UUID, Plan]:
    """Token and plan. Raises Invalid when it is too old, somebody else's, or none of ours."""
    try:
        sealed = signing.loads(text, salt=SALT, max_age=PLAN_SECONDS)
    except signing.BadSignature:
        raise Invalid("This confirmation is too old. Choose again what to change.") from None
    if sealed["user"] != user.pk:
        raise Invalid("Somebody else was asked to confirm this. Choose again what to change.")
    items = [Item(kind, pk, label, fence=fence) for kind, pk, fence, label in sealed["items"]]
    return uuid.UUID(sealed["token"]), Plan(Action(sealed["do"]), items)


# --- now -------------------------------------------------------------------------------


def carry_out(request: HttpRequest, token: uuid.UUID, made: Plan, *, reason: str) -> RescueRun:
    """Do what was confirmed. Whoever comes second with the token gets what the first one began."""
    run, first = RescueRun.objects.get_or_create(
        token=token,
        defaults={"actor": cast("User", request.user), "action": made.action, "reason": reason},
    )
    if not first:
        return run
    for item in made.items:
        why = _refused(partial(_do, request, made.action, item, reason))
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


def _do(request: HttpRequest, action: Action, item: Item, reason: str) -> None:
    """In the caller's transaction: lock, look again, act, write down."""
    if item.kind == Kind.JOB:
        subject, org, before, after = _do_job(action, item)
    elif action is Action.RELEASE:
        subject, org, before, after = _release(request, item)
    else:
        subject, org, before, after = _do_work(request, action, item)
    write_entry(
        actor=Actor.of_request(request),
        verb=f"{action.value}_{'hold' if action is Action.RELEASE else 'work'}",
        subject=subject,
        org=org,
        before=before,
        after=after,
        reason=reason,
    )


Done = tuple[Model, Organization | None, dict[str, Any], dict[str, Any]]


def _locked(item: Item) -> Job:
    """The row of the work, where the plan saw it. Raises NotFound, Conflict."""
    rows = MODELS[item.kind]._default_manager.select_for_update(of=("self",))
    work = rows.select_related("org").filter(pk=item.pk).first()
    if work is None:
        raise NotFound("It is not there any more.")
    if work.fence != item.fence:
        raise Conflict(f"It changed meanwhile: it is {work.status} now.")
    return work


def _do_work(request: HttpRequest, action: Action, item: Item) -> Done:
    work, actor = _locked(item), actor_of(request.user)
    if action is Action.RETRY and not work.org.is_active:
        raise Conflict("Its organization is suspended. Restore that first.")
    before = {"status": work.status}
    if isinstance(work, Export):
        now: Job = {
            Action.RETRY: lambda: export_services.retry_export(export=work, actor=actor),
            Action.CANCEL: lambda: export_services.cancel_export(export=work, actor=actor),
            Action.REQUEUE: lambda: export_services.requeue_export(export=work),
        }[action]()
    else:
        project = cast("Project", work)
        now = {
            Action.RETRY: lambda: project_services.retry_project(project=project, actor=actor),
            Action.CANCEL: lambda: project_services.cancel_project(project=project, actor=actor),
            Action.REQUEUE: lambda: project_services.requeue_project(project=project),
        }[action]()
    after: dict[str, Any] = {"status": now.status}
    if now.hold is not None:
        after |= {"hold": str(now.hold.pk), "credits": now.hold.amount, "hold is": now.hold.status}
    return now, now.org, before, after


def _release(request: HttpRequest, item: Item) -> Done:
    """Row first, then hold, as everybody locks them: work that begins meanwhile keeps its hold."""
    if item.kind == Kind.HOLD:
        hold = CreditHold.objects.select_related("org").filter(pk=item.pk).first()
        if hold is None:
            raise NotFound("It is not there any more.")
        _require_over(hold)
        fence: int | None = item.fence
    else:
        work = _locked(item)
        if work.is_open or work.hold_id is None:
            raise Conflict(f"It is {work.status}; nothing is left open.")
        hold, fence = CreditHold.objects.select_related("org").get(pk=work.hold_id), None
    if not credit_services.release(hold_id=hold.pk, fence=fence, actor=actor_of(request.user)):
        raise Conflict("Somebody settled it meanwhile.")
    after = {"status": HoldStatus.RELEASED.value, "credits": hold.amount}
    return hold, hold.org, {"status": HoldStatus.HELD.value}, after


def _require_over(hold: CreditHold) -> None:
    """Lock the work that the hold was for. Raises Conflict if it waits or runs on this hold."""
    model, pk = MODELS.get(hold.reference_type), as_uuid(hold.reference_id)
    if model is None or pk is None:
        return
    work = model._default_manager.select_for_update().filter(pk=pk).first()
    if work is not None and work.is_open and work.hold_id == hold.pk:
        raise Conflict("It pays for work that waits or runs. Cancel that instead.")


def _do_job(action: Action, item: Item) -> Done:
    rows = queue.JOBS.objects.select_related("worker").select_for_update(of=("self",))
    job = rows.filter(pk=item.pk).first()
    if job is None:
        raise NotFound("It is not there any more.")
    if job.attempts != item.fence:
        raise Conflict(f"It changed meanwhile: it is {job.status} now.")
    if why := _refusal_of_job(action, job):
        raise Conflict(why)
    before = {"status": job.status, "attempts": job.attempts}
    queue.do_again(job)
    return job, _org_of_job(job), before, {"status": "todo", "attempts": job.attempts + 1}


def _org_of_job(job: Any) -> Organization | None:
    for kind, model in MODELS.items():
        if pk := as_uuid(str(job.args.get(f"{kind}_id", ""))):
            work = model._default_manager.select_related("org").filter(pk=pk).first()
            return work.org if work else None
    return None

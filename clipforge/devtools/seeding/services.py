"""Fill a database, in one transaction: after a failure, nothing has changed."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, NamedTuple

import numpy as np
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.seeding import books, charges, refusals, sales, webhooks, world
from clipforge.devtools.seeding.draws import (
    SECOND,
    Draw,
    Jobs,
    texts_of_ids,
    texts_of_times,
    tier_of,
)
from clipforge.devtools.seeding.tables import Progress, Sink, Table, analyze, without_indexes
from clipforge.devtools.seeding.world import Orgs, Sizes, Work, Writer
from clipforge.jobs import kinds
from clipforge.jobs.kinds import JobKind
from clipforge.jobs.models import QUEUED
from clipforge.orgs import keys
from clipforge.orgs.models import APIKey, Membership, Organization, Role, User
from exports.jobs import RENDER
from projects.jobs import ANALYSIS

ORGANIZATIONS = Table.of(Organization, "id name slug tier is_active created_at updated_at")
TABLES = [*world.TABLES, *books.TABLES, *sales.TABLES]

# What is left of a plan's credits ends after so many seconds.
PLAN_LIFE = 20 * 86_400


class OrgKey(NamedTuple):
    org: str  # the slug
    tier: str
    key: str


def seed(
    sizes: Sizes, *, number: int, into_existing: bool, with_keys: bool, progress: Progress
) -> list[OrgKey]:
    """Write so many rows of each kind, all of them drawn from the seed `number`.

    Returns a key of each organization, or nothing unless `with_keys`. The tables of work and
    credits are locked meanwhile. Raises Conflict when there are organizations already (unless
    `into_existing`) or some of the same seed, Invalid for sizes that do not go together.
    """
    _require_possible(sizes)
    with transaction.atomic():
        _require_room(number, into_existing)
        with without_indexes(TABLES, progress):
            made = _fill(sizes, number, with_keys, progress)
    analyze([ORGANIZATIONS, *TABLES, *webhooks.TABLES, *refusals.TABLES])
    return made


def _fill(sizes: Sizes, number: int, with_keys: bool, progress: Progress) -> list[OrgKey]:
    now = timezone.now()
    draw = Draw(number, int(now.timestamp()) * SECOND)
    rows = _organizations(draw, sizes.orgs, number)
    orgs = Orgs(
        [str(row.pk) for row in rows],
        [row.tier for row in rows],
        np.array([int(row.created_at.timestamp()) * SECOND for row in rows]),
        draw.shares(sizes.orgs),
    )
    with Sink() as sink:
        kept = _work(sizes, draw, orgs, sink, progress)
        _ledger(sizes, draw, orgs, kept, sink, progress)
    webhooks.write(orgs.ids)
    refusals.write(orgs.ids)
    return _keys(rows, now) if with_keys else []


def _work(sizes: Sizes, draw: Draw, orgs: Orgs, sink: Sink, progress: Progress) -> list[Jobs]:
    """Write projects, moments and exports. Returns the jobs of which the ledger tells."""
    projects = world.draw_projects(draw, orgs, sizes.projects)
    moments = world.draw_moments(draw, projects, sizes.moments)
    exports, clips, moment = world.draw_exports(draw, orgs, projects, moments, sizes.exports)
    writer = Writer(sink, draw, orgs, progress)
    writer.projects(projects)
    writer.moments(moments, projects)
    writer.exports(exports, clips, moment, moments, projects)
    sink.flush()
    _defer(projects, ANALYSIS)
    _defer(exports, RENDER)
    return [projects.jobs, exports.jobs]


def _ledger(
    sizes: Sizes, draw: Draw, orgs: Orgs, kept: list[Jobs], sink: Sink, progress: Progress
) -> None:
    gone, missing = world.draw_gone(draw, orgs, kept, sizes.transactions)
    if missing < 0:
        raise Invalid(
            f"At least {sizes.transactions - missing} transactions are needed: those that pay for "
            "the projects and exports, and the first credits of each organization."
        )
    jobs = Jobs.join([world.welcomes(draw, orgs), *kept, gone])
    jobs = jobs.take(np.argsort(jobs.done, kind="stable"))
    extras = books.extras_of(jobs, draw, charges.prices_of(jobs), more=missing)
    (plan_ends,) = texts_of_times(np.array([draw.now + PLAN_LIFE * SECOND]))
    ledger = books.Books(
        sink,
        orgs.ids,
        orgs.tiers,
        plan_ends,
        sales.Sales(sink, orgs.ids, orgs.tiers, draw.now),
        sales.occasions(draw, jobs.done[extras.need >= 0]),
    )
    ledger.run(jobs, extras, progress)
    ledger.close()


def _defer(work: Work, kind: JobKind[Any]) -> None:
    """Give the queue an entry for what waits, as for any other job."""
    waiting = np.flatnonzero(work.status == QUEUED)
    for pk in texts_of_ids(work.jobs.id[waiting]):
        kinds.defer(kind, uuid.UUID(pk), 0)


# --- organizations ---------------------------------------------------------------------


def _organizations(draw: Draw, count: int, number: int) -> list[Organization]:
    """Organizations with an owner each, the busiest first."""
    founded = draw.founded(count)
    rows = [
        Organization(
            id=uuid.UUID(pk),
            name=f"Load {number}-{rank}",
            slug=_slug(number, rank),
            tier=tier_of(rank, count),
            created_at=datetime.datetime.fromtimestamp(at // SECOND, datetime.UTC),
        )
        for rank, (pk, at) in enumerate(
            zip(texts_of_ids(draw.ids(founded)), founded.tolist(), strict=True)
        )
    ]
    _insert(rows)
    unusable = make_password(None)
    owners = [_owner(row, unusable) for row in rows]
    User.objects.bulk_create(owners)
    Membership.objects.bulk_create(
        Membership(user=user, organization=row, role=Role.OWNER)
        for user, row in zip(owners, rows, strict=True)
    )
    return rows


def _insert(rows: list[Organization]) -> None:
    """Not by bulk_create, which would let them begin now, and leave dead rows once that is put right."""
    with Sink() as sink:
        for row in rows:
            at = row.created_at.isoformat()
            sink.add(ORGANIZATIONS, f"{row.pk}\t{row.name}\t{row.slug}\t{row.tier}\tt\t{at}\t{at}")
        sink.flush()


def _owner(organization: Organization, password: str) -> User:
    address = f"owner@{organization.slug}.example.com"
    return User(username=address, email=address, password=password)


def _keys(rows: list[Organization], now: datetime.datetime) -> list[OrgKey]:
    """A key for each. Not drawn from the seed: a known number must give away no key."""
    made, stored = [], []
    for row in rows:
        public_id, secret = keys.generate()
        made.append(OrgKey(row.slug, row.tier, secret))
        stored.append(
            APIKey(
                organization=row,
                name="load test",
                prefix=public_id,
                digest=keys.digest(secret),
                last_used_at=now,
            )
        )
    APIKey.objects.bulk_create(stored)
    return made


def _slug(number: int, rank: int) -> str:
    return f"load-{number}-{rank}"


# --- refusals --------------------------------------------------------------------------


def _require_possible(sizes: Sizes) -> None:
    if sizes.orgs < 1 or min(sizes) < 0:
        raise Invalid("There must be at least one organization, and no number may be negative.")
    if sizes.projects < 20 and (sizes.moments or sizes.exports):
        raise Invalid("Moments and exports need at least 20 projects that they can be of.")


def _require_room(number: int, into_existing: bool) -> None:
    if Organization.objects.filter(slug=_slug(number, 0)).exists():
        raise Conflict(f"What the seed {number} makes is there already. Choose another --seed.")
    if not into_existing and Organization.objects.exists():
        raise Conflict(
            "This database has organizations already. --into-existing adds to them; the tables of "
            "work and credits are locked meanwhile."
        )

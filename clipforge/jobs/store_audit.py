"""Rows and files compared, both ways: one thousand at a time, whatever there is in all."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from django.db.models import Sum

from clipforge.common import storage
from clipforge.jobs import kinds, store_areas, store_markers
from clipforge.jobs.store_areas import Area
from clipforge.orgs import selectors as org_selectors

logger = logging.getLogger(__name__)

# Looked up together.
BATCH = 1000
# What is younger may be of a transaction that is not committed yet. Seconds.
YOUNG = 24 * 3600

STORE_UNKNOWN = "the store is unknown"
FILE_WITHOUT_ROW = "no row names this file"
ROW_WITHOUT_FILE = "the file of this row is missing"
WRONG_BYTES = "the row counts other bytes than its files have"
WRONG_SUM = "the organization counts other bytes than its rows"


class Finding(NamedTuple):
    """A file and a row that do not fit. `subject` is the key of a file, or the kind and id of a row."""

    problem: str
    subject: str
    detail: str = ""


def findings(*, now: float) -> Iterator[Finding]:
    """Everything in the store and the database that does not fit."""
    try:
        store_markers.require_known()
    except store_markers.StoreIsUnknown as unknown:
        yield Finding(STORE_UNKNOWN, store_markers.KEY, unknown.message)
    for area in store_areas.all_areas():
        yield from _files(area, now)
        yield from _rows(area)
    yield from _sums()


def repair(*, now: float) -> Iterator[Finding]:
    """As `findings`; takes files that no row names out of their places, and gives those.

    A day later, when no row has named them for so long, they are removed. Raises StoreIsUnknown.
    """
    store_markers.require_known()
    for finding in findings(now=now):
        if finding.problem == FILE_WITHOUT_ROW:
            storage.set_aside(finding.subject, now=now)
        yield finding
    removed = storage.remove_set_aside(older_than_seconds=YOUNG, now=now)
    logger.info("removed files that were set aside", extra={"removed": removed})


def _files(area: Area, now: float) -> Iterator[Finding]:
    """Old files that no row names."""
    found = storage.walk(area.name)
    while batch := list(islice(found, BATCH)):
        ids = {storage.row_id_of(entry.key) for entry in batch}
        named = dict(area.model._default_manager.filter(pk__in=ids).values_list("pk", area.key))
        for entry in batch:
            key = named.get(storage.row_id_of(entry.key), "")
            known = bool(key) and storage.belongs_to(entry.key, key)
            if not known and now - max(entry.modified, entry.placed) > YOUNG:
                yield Finding(FILE_WITHOUT_ROW, entry.key)


def _rows(area: Area) -> Iterator[Finding]:
    """Rows that name a file which is not there, or count other bytes."""
    rows = area.model._default_manager.exclude(**{area.key: ""}).order_by("pk")
    last: uuid.UUID | None = None
    while batch := list(
        (rows if last is None else rows.filter(pk__gt=last)).values_list("pk", area.key, area.size)[
            :BATCH
        ]
    ):
        last = batch[-1][0]
        sizes = storage.sizes_of([key for _, key, _ in batch])
        for pk, key, counted in batch:
            if key not in sizes:
                yield Finding(ROW_WITHOUT_FILE, f"{area.row} {pk}", key)
            elif (found := sizes[key]) != counted:
                yield Finding(WRONG_BYTES, f"{area.row} {pk}", f"{counted}, and not {found}")


def _sums() -> Iterator[Finding]:
    orgs = org_selectors.all_organizations().order_by("pk").values_list("pk", flat=True)
    last: uuid.UUID | None = None
    while batch := list((orgs if last is None else orgs.filter(pk__gt=last))[:BATCH]):
        last = batch[-1]
        sums = dict.fromkeys(batch, 0)
        for model in kinds.storing_models():
            rows = model._default_manager.filter(org__in=batch).order_by().values("org")
            for org, total in rows.annotate(total=Sum("stored_bytes")).values_list("org", "total"):
                sums[org] += total
        counted = org_selectors.bytes_of(batch)
        for org, total in sums.items():
            if counted.get(org, 0) != total:
                yield Finding(
                    WRONG_SUM, f"organization {org}", f"{counted.get(org, 0)}, and not {total}"
                )

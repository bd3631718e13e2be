"""The count of refused requests, by organization, hour, key, code and limit.

A process counts in memory, and adds what it counted to `RefusedRequests` after a request, once in
FLUSH_SECONDS at the most: one statement, whether Redis is there or not. A request that is not refused
costs nothing. What was counted while the database was away is added later; what a killed process had not added
yet is lost.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import Error, connection

from clipforge.orgs.models import APIKey

logger = logging.getLogger(__name__)

# Seconds between two additions of one process.
FLUSH_SECONDS = 5.0
HOUR = 3600
# Different refusals that a process keeps while the database is away. Others are not counted then.
MOST_NAMES = 10_000

# In the order of the unique key, so that two processes lock rows in the same order. An organization may
# be gone by now.
ADD = """
INSERT INTO orgs_refusedrequests AS known (org_id, hour, key_id, status, code, limit_name, count)
SELECT new.org, new.hour, new.key, new.status, new.code, new.limit_name, new.count
  FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[], %s::smallint[], %s::text[], %s::text[],
              %s::bigint[]) AS new(org, hour, key, status, code, limit_name, count)
  JOIN orgs_organization AS org ON org.id = new.org
 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (org_id, hour, key_id, status, code, limit_name)
    DO UPDATE SET count = known.count + excluded.count
"""


class Name(NamedTuple):
    """The row that a refusal is counted in."""

    org: uuid.UUID
    hour: datetime
    key: uuid.UUID
    status: int
    code: str
    limit_name: str


class Refusals:
    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counted: Counter[Name] = Counter()
        self._flushed_at = 0.0

    def count(self, api_key: APIKey, *, status: int, code: str, limit_name: str = "") -> None:
        """Count a request with this key. That of a token counts for the key which asked for it."""
        key = api_key.created_with_id if api_key.is_publishable else None
        hour = datetime.fromtimestamp(self._clock() // HOUR * HOUR, UTC)
        name = Name(
            api_key.organization_id, hour, key or api_key.pk, status, code[:64], limit_name[:32]
        )
        with self._lock:
            self._add(name, 1)

    def _add(self, name: Name, count: int) -> None:
        if name in self._counted or len(self._counted) < MOST_NAMES:
            self._counted[name] += count

    def flush(self, *, at_once: bool = False) -> None:
        """Add what was counted to the rows. Does nothing within FLUSH_SECONDS of the last time."""
        if not self._counted:
            return
        now = self._clock()
        with self._lock:
            if not at_once and now - self._flushed_at < FLUSH_SECONDS:
                return
            counted, self._counted = self._counted, Counter()
            self._flushed_at = now
        try:
            with connection.cursor() as cursor:
                cursor.execute(ADD, [list(column) for column in _columns(counted)])
        except Error as error:  # they are added the next time
            logger.warning("refused requests could not be added", exc_info=error)
            with self._lock:
                for name, count in counted.items():
                    self._add(name, count)

    def after_request(self, **_: Any) -> None:
        """The receiver of `request_finished`, when the client has its answer already."""
        self.flush()

    def forget(self) -> None:
        """Drop what was not added yet; for tests."""
        with self._lock:
            self._counted.clear()


def _columns(counted: Counter[Name]) -> list[tuple[Any, ...]]:
    return list(zip(*((*name, count) for name, count in counted.items()), strict=True))


refusals = Refusals()

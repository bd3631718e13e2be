"""The refusals that clients were told of, by the request id that each answer gave them.

Written for the find of staff. A process keeps them in memory and writes them after a request, once in
FLUSH_SECONDS at the most, in one statement. A request that is not refused costs nothing. What a killed
process had not written yet is lost. In an hour a process keeps so many of an organization and code, of an
organization, and in all, the first of each: who is refused a thousand times was refused as the first were.
Failures of ours have a number of their own, so that those who are refused hide none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import Error, connection
from django.http import HttpRequest

from clipforge.common import logs
from clipforge.common.secret_formats import redacted

logger = logging.getLogger(__name__)

# Seconds between two additions of one process.
FLUSH_SECONDS = 5.0
HOUR = 3600
# In an hour and in one process.
MOST_OF_A_CODE = 50
MOST_OF_AN_ORGANIZATION = 100
MOST = 500

# An organization may be gone by now; a stranger has none.
ADD = """
INSERT INTO orgs_refusal
       (request_id, at, org_id, key_prefix, method, route, status, code, limit_name, detail)
SELECT new.request_id, new.at, org.id, new.key_prefix, new.method, new.route, new.status, new.code,
       new.limit_name, new.detail
  FROM unnest(%s::text[], %s::timestamptz[], %s::uuid[], %s::text[], %s::text[], %s::text[],
              %s::smallint[], %s::text[], %s::text[], %s::text[])
       AS new(request_id, at, org, key_prefix, method, route, status, code, limit_name, detail)
  LEFT JOIN orgs_organization AS org ON org.id = new.org
 WHERE new.org IS NULL OR org.id IS NOT NULL
"""


class Refused(NamedTuple):
    """A row of `Refusal`, in the order of the columns of ADD."""

    request_id: str
    at: datetime
    org: str | None
    key_prefix: str
    method: str
    route: str
    status: int
    code: str
    limit_name: str
    detail: str


class RefusalLog:
    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[Refused] = []
        self._hour = 0
        # How many of this hour were kept: by organization and code, of an organization (""), in all ("", "")
        # and of our failures in all ("", "ours").
        self._counts: Counter[tuple[str | None, str]] = Counter()
        self._flushed_at = 0.0

    def keep(self, request: HttpRequest, document: Mapping[str, Any]) -> None:
        """Keep what this problem document says of the request, unless many like it are kept already."""
        known, now = logs.context(), self._clock()
        request_id, org, code = known.get("request_id"), known.get("org"), document["code"]
        if not request_id:
            return
        match, limit = request.resolver_match, document.get("limit")  # of a size it is a number
        with self._lock:
            if not self._has_room(org, document["status"], code, now):
                return
            self._kept.append(
                Refused(
                    request_id,
                    datetime.fromtimestamp(now, UTC),
                    org,
                    _text(known.get("key_id"), 16),
                    _text(request.method, 8),
                    _text(match.view_name if match else "", 64),
                    document["status"],
                    _text(code, 64),
                    _text(limit, 32) if isinstance(limit, str) else "",
                    # What a client sent in a wrong place may be repeated in it.
                    _text(redacted(str(document["detail"]), "[secret]"), 300),
                )
            )

    def _has_room(self, org: str | None, status: int, code: str, now: float) -> bool:
        """Count one more, unless there are as many as may be."""
        if self._hour != now // HOUR:
            self._hour = int(now // HOUR)
            self._counts.clear()
        every = ("", "ours" if status >= 500 else "")
        bounds = {(org, code): MOST_OF_A_CODE, (org, ""): MOST_OF_AN_ORGANIZATION, every: MOST}
        if any(self._counts[what] >= most for what, most in bounds.items()):
            return False
        self._counts.update(bounds.keys())
        return len(self._kept) < MOST

    def flush(self, *, at_once: bool = False) -> None:
        """Write what is kept. Does nothing within FLUSH_SECONDS of the last time."""
        if not self._kept:
            return
        now = self._clock()
        with self._lock:
            if not at_once and now - self._flushed_at < FLUSH_SECONDS:
                return
            kept, self._kept = self._kept, []
            self._flushed_at = now
        try:
            with connection.cursor() as cursor:
                cursor.execute(ADD, [list(column) for column in zip(*kept, strict=True)])
        except Error as error:  # they are written the next time
            logger.warning("refusals could not be written", exc_info=error)
            with self._lock:
                self._kept = [*kept, *self._kept][:MOST]

    def after_request(self, **_: Any) -> None:
        """The receiver of `request_finished`, when the client has its answer already."""
        self.flush()

    def after_failure(self, request: HttpRequest | None = None, **_: Any) -> None:
        """The receiver of `got_request_exception`: the client is told 500 and the request id."""
        if request is not None and request.path.startswith("/api/"):
            detail = "Something failed on our side."
            self.keep(request, {"status": 500, "code": "internal_error", "detail": detail})

    def forget(self) -> None:
        """Drop what was not written yet; for tests."""
        with self._lock:
            self._kept.clear()
            self._counts.clear()


def _text(value: Any, longest: int) -> str:
    """As PostgreSQL can hold it: a client may have sent anything that its answer then repeats."""
    return str(value or "").replace("\0", "").encode(errors="replace").decode()[:longest]


refusal_log = RefusalLog()

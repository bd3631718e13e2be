"""Pages of lists, kept as they were last shown, that are never older than the last commit.

A list has no row whose version it could have, so that is a number of a transaction. The floor is above
that of whoever changes what is listed; what is loaded has the lowest that was still under way before it
was read. So nothing is kept before all of those have ended whose changes were announced, committed or
not. Floors and fill tokens are those of `versioned_cache`: a change is announced with `invalidate_all`.

    <family>:<organization>:guard     the floor of all lists of this family
    <family>:<organization>:pages     their pages by name, each with the floor's token, its version and its end

A page is compared with the floor when it is read, in the round trip that admits the request
(`lua/page.lua`), so a change ends all of them at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from django.db import connection

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.log import log_operation, record
from clipforge.common.cache.redis import RedisError
from clipforge.common.cache.scripts import Script
from clipforge.common.cache.versioned_cache import FLOOR_MS, FLOOR_SUFFIX, LUA, YOUNG_MS

KEEP, PAGE = Script(LUA / "keep.lua"), LUA / "page.lua"

# The number of the transaction that asks.
TRANSACTION = "pg_current_xact_id()::text::bigint"
# All transactions below it have ended, and what they committed is seen from now on.
ALL_ENDED_BELOW = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"

# Of one family and organization at the same time: pages, filters, sets of ids. One more begins anew.
MOST_PAGES = 32
# A longer body is not kept, only its ETag. Bytes, as they are kept.
MOST_BYTES = 16_384


class Page(NamedTuple):
    """An answer under its ETag. The body as it is kept, which may be compressed; empty without one."""

    etag: str
    body: bytes


class Loaded(NamedTuple):
    page: Page
    seconds: float  # for which it may be kept, from before it was loaded on; none without any


def prefetch_of(family: str, name: str) -> str:
    """The `prefetch` of an admission that reads this page, whose name has no blank."""
    return f"@{YOUNG_MS} {family} {name}"


def page_or_load(
    key: str, name: str, load: Callable[[], Loaded], *, found: bytes | None = None
) -> Page:
    """The page that is kept, else what `load` returns, kept for as long as that says.

    `key` is `<family>:<organization>`, `found` what `prefetch_of` found. Redis faults are survived:
    then this is `load`. Inside a transaction nothing is kept.
    """
    if found and b" " in found:
        record(key, "hit")
        *_, etag, body = found.split(b" ", 4)
        return Page(etag.decode(), body)
    record(key, "miss")
    token = found.decode() if found else default_cache().fill_token(key)
    if not token or connection.in_atomic_block:
        return load().page
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(ALL_ENDED_BELOW)  # before the list is read
        (version,) = cursor.fetchone()
    loaded = load()
    record(key, "fill")
    record(key, "fill_us", round((time.perf_counter() - started) * 1_000_000))
    life = loaded.seconds - (time.perf_counter() - started)
    if life > 0:
        _keep(key, name, loaded.page, version, token, math.floor(life * 1000))
    return loaded.page


def this_transaction() -> int:
    """Its number; a floor of one more refuses what was read before it has ended."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {TRANSACTION}")
        (number,) = cursor.fetchone()
    return int(number)


def _keep(key: str, name: str, page: Page, version: int, token: str, life: int) -> None:
    started, outcome = time.perf_counter(), "error"
    body = page.body if len(page.body) <= MOST_BYTES else b""
    try:
        stored = KEEP.run(
            default_cache().redis,
            [f"{key}:pages", f"{key}{FLOOR_SUFFIX}"],
            [name, version, life, token, FLOOR_MS, MOST_PAGES, page.etag.encode() + b" " + body],
        )
    except RedisError:
        record(key, "error")
    else:
        outcome = "stored" if stored else "refused"
        if not stored:
            record(key, "refused")
    finally:
        log_operation("keep", key, outcome, started)

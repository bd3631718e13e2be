from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser
from rich.console import Console
from rich.progress import track
from rich.table import Table

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.log import families_of
from clipforge.common.cache.metrics import KEEP_HOURS, metrics
from clipforge.common.cache.redis import RedisError
from clipforge.common.commands import DryRunCommand
from clipforge.common.errors import Invalid, NotFound, Unavailable
from clipforge.orgs import caching as org_caching
from clipforge.orgs.models import APIKey, Organization, Tier
from credits import caching as credit_caching

# Keys that are no copy of anything: windows of limits, counts of addresses, counters of each hour.
STATE = ("limit:", "ratelimit:", "metrics:")
SCAN_COUNT = 1000  # keys at a time
ACTIONS_WITH_KEY = {"get", "ttl", "purge"}


class Command(DryRunCommand):
    help = (
        "Inspect the cache: hit rates, the value of a key, its time to live; purge keys by a pattern, or "
        "warm it after a restart of Redis. Answers are correct without any of this."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["stats", "get", "ttl", "purge", "warm"])
        parser.add_argument(
            "key", nargs="?", help="for get and ttl: a key; for purge: a glob, credits:balance:*"
        )
        parser.add_argument(
            "--including-state",
            action="store_true",
            help="purge also what begins at nothing then: limits of requests and sign-ins, counters",
        )
        parser.add_argument(
            "--hours", type=int, default=KEEP_HOURS, help="stats of the last so many hours"
        )

    def run(self, *, action: str, key: str | None, **options: Any) -> dict[str, Any]:
        if (key is None) == (action in ACTIONS_WITH_KEY):
            raise Invalid(f"cache {action} takes {'a key' if key is None else 'no key'}.")
        try:
            default_cache().redis.ping()
        except RedisError as error:
            raise Unavailable(
                "Redis cannot be reached. The service runs without it, more slowly; start Redis, or "
                f"put REDIS_URL right. ({error})"
            ) from error
        result: dict[str, Any] = getattr(self, f"_{action}")(key=key, **options)
        return result

    def _stats(self, *, hours: int, **options: Any) -> dict[str, Any]:
        if not 1 <= hours <= KEEP_HOURS:
            raise Invalid(f"--hours goes from 1 to {KEEP_HOURS}: counters are kept so long.")
        families = families_of(metrics.totals(hours=hours))
        server = default_cache().redis.info()
        if not self.as_json:
            table = Table("family", "hit rate", "hits", "misses", "errors", "refused", "fill, ms")
            for name, family in families.items():
                rate = "–" if family["hit_rate"] is None else f"{family['hit_rate']:.1%}"
                numbers = [str(family[part]) for part in ("hits", "misses", "errors", "refused")]
                table.add_row(name, rate, *numbers, f"{family['fill_ms']:.1f}")
            Console(file=self.stdout).print(table)  # type: ignore[arg-type]
            self.say(
                f"Redis: {server['used_memory_human']} used, {server['evicted_keys']} keys evicted, "
                f"up for {server['uptime_in_seconds']} s. Counters of the last {hours} h."
            )
        return {
            "families": families,
            "redis": {
                name: server[name] for name in ("used_memory", "evicted_keys", "uptime_in_seconds")
            },
        }

    def _get(self, *, key: str, **options: Any) -> dict[str, Any]:
        absent = object()
        value = default_cache().get(key, absent)
        if value is absent:
            raise NotFound(f'There is no key "{key}" in the cache.')
        self.say(json.dumps(value, indent=2))
        return {"key": key, "value": value}

    def _ttl(self, *, key: str, **options: Any) -> dict[str, Any]:
        if not default_cache().exists(key):
            raise NotFound(f'There is no key "{key}" in the cache.')
        seconds = default_cache().ttl(key)
        self.say(
            "It does not end by itself." if seconds is None else f"{seconds} seconds are left."
        )
        return {"key": key, "seconds": seconds}

    def _purge(self, *, key: str, including_state: bool, **options: Any) -> dict[str, Any]:
        purged = left = 0
        keys = default_cache().client.iter_keys(key, itersize=SCAN_COUNT)
        while found := list(islice(keys, SCAN_COUNT)):
            going = [name for name in found if including_state or not name.startswith(STATE)]
            left += len(found) - len(going)
            purged += len(going) if self.is_dry_run else default_cache().delete_many(going)
        verb = "would be deleted" if self.is_dry_run else "deleted"
        self.say(f"{purged} keys {verb}. What is cached comes back from the database.")
        if left:
            self.say(
                f"{left} keys of limits and counters stay: deleted, they would begin at nothing. "
                "--including-state takes them too."
            )
        return {"pattern": key, "purged": purged, "left": left}

    def _warm(self, **options: Any) -> dict[str, Any]:
        for tier in Tier.values:
            org_caching.limits(tier)
        keys = APIKey.objects.filter(revoked_at=None, organization__is_active=True)
        for public_id in self._seen(keys.values_list("prefix", flat=True), "API keys"):
            org_caching.api_key(public_id)
        active = Organization.objects.filter(is_active=True)
        for pk in self._seen(active.values_list("pk", flat=True), "organizations"):
            org_caching.organization(pk)
            credit_caching.balance(pk)
        warmed = {"keys": keys.count(), "organizations": active.count()}
        self.say(f"{warmed['keys']} keys and {warmed['organizations']} organizations are cached.")
        return warmed

    def _seen(self, items: Iterable[Any], what: str) -> Iterable[Any]:
        return track(list(items), what, disable=self.as_json, console=Console(stderr=True))

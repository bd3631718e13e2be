"""Whether a cached balance is ever older than a commit that its reader could have seen.

Real processes write to and read from one organization. A reader asks the database first and the
cache after it: whatever was committed before the first question must be in the second answer. It
asks the cache in both ways by turns: alone, and in the round trip that recognises an API key. Each
write adds one credit, so the balance itself tells its age.

`invalidation="delete"` hammers the usual way instead, delete on commit and set after a read, on the
same cache: it finds stale reads, which shows that the hammer can.

Run as `python -m clipforge.testing.staleness ROLE …` for one process: it says that it is ready, is
told on its input when to end, and prints a line of JSON.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credits.caching import Balance

ROOT = Path(__file__).resolve().parents[2]

# A writer that dies does it right after COMMIT, before anything that was to follow.
DIED = 9


@dataclass(frozen=True)
class Findings:
    """What all readers saw together. `hit_rate` is of the balance, 0 to 1."""

    reads: int
    stale: int
    writes: int
    deaths: int
    hit_rate: float


def hammer(
    org_id: str,
    *,
    seconds: float,
    readers: int,
    writers: int,
    pause: float,
    invalidation: str = "versioned",
    deaths: float = 0,
    environment: dict[str, str],
    meanwhile: Callable[[], None] = lambda: None,
) -> Findings:
    """Let processes write and read for so long; `meanwhile` runs here, beside them.

    `pause` is the mean time between two writes of a writer, in seconds; `deaths` the share of
    writes whose writer dies. A dead writer is replaced.
    """

    def start(role: str, *arguments: object) -> subprocess.Popen[str]:
        words = [role, org_id, invalidation, *arguments]
        return subprocess.Popen(
            [sys.executable, "-m", "clipforge.testing.staleness", *map(str, words)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    running = [start("read") for _ in range(readers)]
    running += [start("write", pause, deaths) for _ in range(writers)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    ends = time.time() + seconds
    for process in running:
        _tell(process, ends)
    meanwhile()
    found: Counter[str] = Counter()
    while running:
        process = running.pop(0)
        output, _ = process.communicate(timeout=seconds + 60)
        assert process.returncode in {0, DIED}, output
        found.update(json.loads(output.splitlines()[-1]))
        if process.returncode == DIED and time.time() < ends:
            successor = start("write", pause, deaths)
            _tell(successor, ends)
            running.append(successor)
    hits, misses = found["hit"], found["miss"]
    return Findings(
        reads=found["reads"],
        stale=found["stale"],
        writes=found["writes"],
        deaths=found["deaths"],
        hit_rate=hits / (hits + misses) if hits + misses else 0.0,
    )


def _tell(process: subprocess.Popen[str], ends: float) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{ends}\n")
    process.stdin.flush()


# --- one process ------------------------------------------------------------------------


def read(org_id: uuid.UUID, until: float, invalidation: str) -> dict[str, int]:
    """Ask the database, then the cache, and compare; as fast as it goes."""
    from clipforge.common.metrics import metrics
    from credits import caching
    from credits.models import CreditAccount

    ways = [caching.balance, _balance_brought_by(_key_of(org_id))]
    if invalidation == "delete":
        ways = [_balance_deleted_on_commit]
    found: Counter[str] = Counter()
    for ask in itertools.cycle(ways):
        if time.time() >= until:
            break
        committed = CreditAccount.objects.values_list("posted", flat=True).get(pk=org_id)
        found["stale"] += ask(org_id).posted < committed
        found["reads"] += 1
    for result in ("hit", "miss"):
        found[result] = metrics.pending(f"cache|credits:balance|{result}")
    return dict(found)


def write(
    org_id: uuid.UUID, until: float, invalidation: str, pause: float, deaths: float
) -> dict[str, int]:
    """Grant a credit, wait, and so on; or die right after a COMMIT."""
    from django.db import transaction

    from clipforge.common.models import uuid7
    from clipforge.orgs.models import Organization
    from credits import services

    org = Organization.objects.get(pk=org_id)
    chance = random.Random(os.getpid())  # noqa: S311 - no secret
    writes = 0
    while time.time() < until:
        dies = chance.random() < deaths
        with transaction.atomic():
            if dies:  # first in the queue of what happens after the commit
                transaction.on_commit(functools.partial(_die, writes + 1))
            services.grant(
                org=org,
                amount=1,
                kind="PROMO",
                reason="hammered",
                actor="test",
                idempotency_key=str(uuid7()),
            )
            if invalidation == "delete":
                transaction.on_commit(lambda: _delete(org_id))
        writes += 1
        time.sleep(chance.expovariate(1 / pause) if pause else 0)
    return {"writes": writes}


def _die(writes: int) -> None:
    sys.stdout.write(f"{json.dumps({'writes': writes, 'deaths': 1})}\n")
    sys.stdout.flush()
    os._exit(DIED)


def _key_of(org_id: uuid.UUID) -> str:
    from clipforge.orgs import services
    from clipforge.orgs.models import Organization

    org = Organization.objects.get(pk=org_id)
    return services.create_api_key(organization=org, name="hammer", actor="test").secret


def _balance_brought_by(key: str) -> Callable[[uuid.UUID], Balance]:
    """As `GET /credits/balance` reads it. Beyond the limit too: a value is brought all the same."""
    from clipforge.orgs.admission import admit
    from credits import caching

    def ask(org_id: uuid.UUID) -> Balance:
        admission = admit(key, costs={"api": 1}, brings=caching.FAMILY)
        assert admission is not None
        return caching.balance(org_id, found=admission.brought)

    return ask


def _balance_deleted_on_commit(org_id: uuid.UUID) -> Balance:
    """What most caches do: get, else load and set."""
    from clipforge.common.cache import default_cache
    from credits.caching import Balance
    from credits.models import CreditAccount

    cache, key = default_cache(), f"plain:balance:{org_id}"
    found = cache.get(key)
    if found is None:
        account = CreditAccount.objects.get(pk=org_id)
        found = [account.available, account.held, account.posted]
        cache.set(key, found, 60)
    return Balance(*found)


def _delete(org_id: uuid.UUID) -> None:
    from clipforge.common.cache import default_cache

    default_cache().delete(f"plain:balance:{org_id}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["read", "write"])
    parser.add_argument("org", type=uuid.UUID)
    parser.add_argument("invalidation", choices=["versioned", "delete"])
    parser.add_argument("pause", type=float, nargs="?", default=0)
    parser.add_argument("deaths", type=float, nargs="?", default=0)
    options = parser.parse_args(arguments)

    import django

    django.setup()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = float(sys.stdin.readline())
    if options.role == "read":
        result = read(options.org, until, options.invalidation)
    else:
        result = write(options.org, until, options.invalidation, options.pause, options.deaths)
    sys.stdout.write(f"{json.dumps(result)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""A check that no cached balance is older than a commit that its reader could have seen.

Real processes write to and read from one organization. A reader asks the database first and the
cache after it: whatever was committed before the first question must be in the second answer. It
asks the cache in both ways by turns: alone, and in the round trip that recognises an API key. Each
write adds one credit, so the balance itself tells its age.

`invalidation="delete"` hammers the usual way instead, delete on commit and set after a read, on the
same cache: it finds stale reads, which shows that the hammer can.

Run as `python -m clipforge.devtools.testing.staleness ROLE …` for one process: it says that it is ready, is
told on its input to begin and to end, and prints what it counts as it goes, a line each.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import random
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from clipforge.devtools.testing.service import eventually

if TYPE_CHECKING:
    from credits.caching import Balance

ROOT = Path(__file__).resolve().parents[3]

# A writer that dies does it right after COMMIT, before anything that was to follow.
DIED = 9
# Reads that a reader counts at once.
BATCH = 50
# What comes of a read, and of storing what was loaded for it.
RESULTS = ("hit", "miss", "refused", "error")


def hammer(
    org_id: str,
    *,
    readers: int,
    writers: int,
    pause: float,
    enough: Callable[[Counter[str]], bool],
    deaths: float = 0,
    invalidation: str = "versioned",
    environment: dict[str, str],
    meanwhile: Callable[[Counter[str]], object] = lambda _: None,
) -> Counter[str]:
    """Let processes write and read until it is `enough`; `meanwhile` runs here, beside them.

    Both are given what is counted: read, stale, write, death, and RESULTS of looking up and storing
    the balance. `pause` is the mean time between two writes of a writer, in seconds; `deaths` the
    share of writes whose writer dies. A dead writer is replaced.
    """
    counts: Counter[str] = Counter()
    ending = threading.Event()
    roles = [["read"]] * readers + [["write", str(pause), str(deaths)]] * writers
    processes = [_Process(org_id, invalidation, role, environment, counts) for role in roles]
    for process in processes:
        process.wait_until_ready()
    threads = [threading.Thread(target=process.keep_going, args=[ending]) for process in processes]
    for thread in threads:
        thread.start()
    try:
        meanwhile(counts)
        eventually("it is enough", lambda: enough(counts), seconds=180)
    finally:
        ending.set()
        for process in processes:
            process.end()
        for thread in threads:
            thread.join(60)
    assert not any(process.failed for process in processes)
    return counts


class _Process:
    """One reader or writer, and its successors."""

    lock = threading.Lock()

    def __init__(
        self,
        org_id: str,
        invalidation: str,
        role: list[str],
        environment: dict[str, str],
        counts: Counter[str],
    ) -> None:
        name, *figures = role
        self.words = [name, org_id, invalidation, *figures]
        self.environment = environment
        self.counts = counts
        self.failed = False
        self._start()

    def wait_until_ready(self) -> None:
        assert self.output.readline() == "ready\n"

    def keep_going(self, ending: threading.Event) -> None:
        """Let it begin, count what it says, and replace it when it dies, until it is to end."""
        while True:
            self._tell("begin")
            for line in self.output:
                name, count = line.split()
                with self.lock:
                    self.counts[name] += int(count)
            status = self._close()
            self.failed |= status not in {0, DIED}
            if ending.is_set() or status != DIED:
                return
            with self.lock:
                self.counts["death"] += 1
            self._start()
            self.wait_until_ready()
            if ending.is_set():  # which the dead one was told
                self.end()

    def end(self) -> None:
        self._tell("end")

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clipforge.devtools.testing.staleness", *self.words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _close(self) -> int:
        """The status that it ended with."""
        with self.process:
            return self.process.wait()

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _tell(self, word: str) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError, ValueError):  # it has just died
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()


# --- one process ------------------------------------------------------------------------


def say(name: str, count: int = 1) -> None:
    sys.stdout.write(f"{name} {count}\n")
    sys.stdout.flush()


def read(org_id: uuid.UUID, ended: threading.Event, invalidation: str) -> None:
    """Ask the database, then the cache, and compare; as fast as it goes."""
    from credits import caching
    from credits.models import CreditAccount

    said: Counter[str] = Counter()
    ways = [caching.balance, _balance_brought_by(_key_of(org_id))]
    if invalidation == "delete":
        ways = [_balance_deleted_on_commit]
    for number, ask in enumerate(itertools.cycle(ways), start=1):
        committed = CreditAccount.objects.values_list("posted", flat=True).get(pk=org_id)
        if ask(org_id).posted < committed:
            say("stale")
        if number % BATCH == 0:
            say("read", BATCH)
            _say_results(said)
        if ended.is_set():
            break
    _say_results(said)


def _say_results(said: Counter[str]) -> None:
    """The counts since the last report."""
    from clipforge.common.cache.metrics import metrics

    for result in RESULTS:
        counted = metrics.pending(f"cache|credits:balance|{result}")
        say(result, counted - said[result])
        said[result] = counted


def write(
    org_id: uuid.UUID,
    ended: threading.Event,
    invalidation: str,
    pause: float,
    deaths: float,
) -> None:
    """Grant a credit, wait, and so on; or die right after a COMMIT."""
    from django.db import transaction

    from clipforge.common.models import uuid7
    from clipforge.devtools.testing.factories import TESTER
    from clipforge.orgs.models import Organization
    from credits import services

    org = Organization.objects.get(pk=org_id)
    chance = random.Random(os.getpid())  # noqa: S311 - no secret
    while True:
        dies = chance.random() < deaths
        with transaction.atomic():
            if dies:  # first in the queue of what happens after the commit
                transaction.on_commit(_die)
            services.grant(
                org=org,
                amount=1,
                kind="PROMO",
                reason="hammered",
                actor=TESTER,
                audit=False,
                idempotency_key=str(uuid7()),
            )
            if invalidation == "delete":
                transaction.on_commit(functools.partial(_delete, org_id))
        say("write")
        if ended.wait(chance.expovariate(1 / pause) if pause else 0):
            return


def _die() -> None:
    say("write")
    os._exit(DIED)


def _key_of(org_id: uuid.UUID) -> str:
    from clipforge.devtools.testing.factories import REASON, TESTER
    from clipforge.orgs import services
    from clipforge.orgs.models import Organization

    org = Organization.objects.get(pk=org_id)
    return services.create_api_key(
        organization=org, name="hammer", reason=REASON, actor=TESTER
    ).secret


def _balance_brought_by(key: str) -> Callable[[uuid.UUID], Balance]:
    """As `GET /credits/balance` reads it. Beyond the limit too: a value is brought all the same."""
    from clipforge.orgs.admission import admit
    from credits import caching

    def ask(org_id: uuid.UUID) -> Balance:
        admission = admit(key, costs={"api": 1}, prefetch=caching.FAMILY)
        assert admission is not None
        return caching.balance(org_id, found=admission.prefetched)

    return ask


def _balance_deleted_on_commit(org_id: uuid.UUID) -> Balance:
    """The cache-aside pattern: get, else load and set."""
    from clipforge.common.cache.backend import default_cache
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
    from clipforge.common.cache.backend import default_cache

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
    sys.stdin.readline()
    ended = threading.Event()
    threading.Thread(target=_end_when_told, args=[ended], daemon=True).start()
    if options.role == "read":
        read(options.org, ended, options.invalidation)
    else:
        write(options.org, ended, options.invalidation, options.pause, options.deaths)


def _end_when_told(ended: threading.Event) -> None:
    sys.stdin.readline()
    ended.set()


if __name__ == "__main__":
    main(sys.argv[1:])

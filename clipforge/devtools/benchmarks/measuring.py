"""Helpers of the benchmarks: servers of their own, and cases measured in turn."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def own_servers(kept: Path | None = None) -> Iterator[Path]:
    """A migrated database and a Redis for this run alone. Import models only inside the block.

    With `kept`, in that folder, where they are found again the next time.
    """
    from clipforge import embedded

    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    with contextlib.ExitStack() as stack:
        if kept is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cf-")))
        else:
            data = kept.absolute()
        os.environ["CLIPFORGE_DATA"] = str(data)
        # Durable, as in production: what a commit costs is a part of what is measured.
        with embedded.hold(data):
            set_up()
            from django.core.management import call_command
            from django.db import connections

            call_command("migrate", interactive=False, verbosity=0)
            yield data
            connections.close_all()
        embedded.wait_stopped(data)


def set_up() -> None:
    """Make this process one of ClipForge's; what services log would interrupt the figures."""
    import logging

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipforge.settings")
    os.environ["LOG_LEVEL"] = "WARNING"
    django.setup()
    logging.disable(logging.INFO)


def in_turn(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each case returned. Interleaved: what disturbs one disturbs all."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, measure in cases.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def microseconds(act: Callable[[], object], times: int) -> float:
    """Of one call, on average."""
    started = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - started) / times * 1_000_000


def at_once(act: Callable[[], bool], times: int, *, threads: int = 20) -> int:
    """How many of so many calls, made by so many threads, returned True."""
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda _: act(), range(times)))


def say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

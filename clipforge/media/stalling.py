"""Tells a child that will never go on from one that is slow.

Programs with many threads can come to rest for ever, each thread waiting for another. No limit on CPU
time ends them, and one on the wall clock has to suit the longest film on the busiest machine. But threads
that are only slow want a processor or wait for a disk, which the kernel tells. So: a group of processes
stands still when, several times in a row, each of its threads sleeps and it has used next to no CPU time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

LOOK_SECONDS: Final = 5.0  # between two looks; each reads one line a process of this machine
LOOKS: Final = 6  # in a row, counted and not timed: a parent that was held up has not looked
# Less CPU time than this in LOOK_SECONDS is no work: timers that only see that nothing has happened.
IDLE_SHARE: Final = 0.01
SLEEPING: Final = frozenset(
    {b"S", b"I", b"Z", b"X"}
)  # neither running, nor on a disk, nor held by a signal


class Seen(NamedTuple):
    """The work that a group of processes has done so far."""

    processes: frozenset[int]
    cpu_seconds: float
    sleeps: bool


class Vigil:
    """Watches the processes of one group."""

    def __init__(self, group: int, *, look_seconds: float = LOOK_SECONDS, looks: int = LOOKS):
        self._group, self._seconds, self._looks = group, look_seconds, looks
        self._due = time.monotonic() + look_seconds
        self._last: Seen | None = None
        self._idle = 0

    def stands_still(self) -> bool:
        """Whether the group does nothing any more. Looks once in `look_seconds` at most."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._seconds
            before, self._last = self._last, look(self._group)
            idle = before is not None and self._is_idle(before, self._last)
            self._idle = self._idle + 1 if idle else 0
        return self._idle >= self._looks

    def _is_idle(self, before: Seen, now: Seen) -> bool:
        # A parent that was held up for long sees the timers of all that time.
        used = now.cpu_seconds - before.cpu_seconds
        same = bool(now.processes) and now.processes == before.processes
        return same and before.sleeps and now.sleeps and used < IDLE_SHARE * LOOK_SECONDS


def look(group: int) -> Seen:
    """The work that the processes of a group have done. Without /proc there are none."""
    found = [seen for entry in Path("/proc").glob("[0-9]*") if (seen := _seen(entry, group))]
    return Seen(
        frozenset().union(*(seen.processes for seen in found)),
        sum(seen.cpu_seconds for seen in found),
        all(seen.sleeps for seen in found),
    )


def _seen(entry: Path, group: int) -> Seen | None:
    """The process of this folder, if it is one of the group."""
    try:
        fields = _fields(entry / "stat")
        if int(fields[2]) != group:
            return None
        ticks = int(fields[11]) + int(fields[12])
        sleeps = all(_fields(task)[0] in SLEEPING for task in entry.glob("task/*/stat"))
    except (OSError, ValueError, IndexError):  # it ended after it was listed
        return None
    return Seen(frozenset({int(entry.name)}), ticks / os.sysconf("SC_CLK_TCK"), sleeps)


def _fields(stat: Path) -> list[bytes]:
    # "pid (name) state ppid pgrp ...", and the name may contain anything.
    return stat.read_bytes().rpartition(b")")[2].split()

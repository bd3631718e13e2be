"""CPU and memory of processes and of the machine, from /proc. Linux."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True)
class CpuReading:
    """CPU seconds since the machine started."""

    busy: float
    stolen: float  # by other machines on the same host
    waited: float  # in which some process wanted a core and had none

    def since(self, earlier: CpuReading) -> CpuReading:
        return CpuReading(
            self.busy - earlier.busy, self.stolen - earlier.stolen, self.waited - earlier.waited
        )


def read() -> CpuReading:
    numbers = [int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = numbers
    busy = user + nice + system + irq + softirq
    return CpuReading(busy / TICKS, steal / TICKS, _waited())


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    parents = {child: fields[1] for child in _pids() if (fields := _stat(child))}
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def cpu_of_family(pid: int) -> float:
    """CPU seconds of a process and its descendants, those that ended and were waited for included."""
    return sum(_cpu(member, waited_for=True) for member in family(pid))


def memory_of_family(pid: int) -> float:
    """Megabytes, what is shared between them counted once for each."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(fields[21] * page for member in family(pid) if (fields := _stat(member))) / 1e6


def cpu_of(pids: Iterable[int]) -> float:
    """CPU seconds of those processes that are on this machine."""
    return sum(_cpu(pid, waited_for=False) for pid in pids)


def describe() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(number, 2) for number in os.getloadavg()],
    }


def shares(seconds: Mapping[str, float], elapsed: float) -> dict[str, float]:
    """CPU seconds as a share of all that the cores could have given."""
    capacity = elapsed * (os.cpu_count() or 1)
    return {name: round(value / capacity, 3) for name, value in seconds.items()}


def _cpu(pid: int, *, waited_for: bool) -> float:
    fields = _stat(pid)
    return sum(fields[11 : 15 if waited_for else 13]) / TICKS if fields else 0.0


def _stat(pid: int) -> list[int]:
    """The numbers after the name, from `state` (as 0) on; empty for a process that is not there."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _waited() -> float:
    try:
        line = (PROC / "pressure" / "cpu").read_text().split("\n", 1)[0]
    except OSError:  # a kernel without it
        return 0.0
    return int(line.rpartition("total=")[2]) / 1_000_000


def _processor() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

"""The health check under 200 users at once, each of whom asks once a second.

    python -m clipforge.devtools.benchmarks.health [SECONDS] [--users N]

Behind gunicorn as it is deployed: two processes. The generator is on the same cores. Beside it stand
the figures of the system that this one re-creates, which asked its health check the same way.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.closed_loop import is_whole
from clipforge.devtools.benchmarks.measuring import say

PATH = "/health"
PAUSE = 1.0
# Milliseconds: p95, mean, median, maximum.
THEIRS = (9.95, 4.01, 2.12, 222.0)


def main(seconds: float, users: int) -> None:
    with measuring.own_servers() as data:
        from clipforge.devtools.loadtest.host import cpu_of_family
        from clipforge.stack import Stack

        with Stack(concurrency=0, log=data / "web.log") as stack:
            asyncio.run(_load(stack.port, users, 2.0))  # warms
            before = cpu_of_family(stack.web_pid)
            took = sorted(asyncio.run(_load(stack.port, users, seconds)))
            cpu = (cpu_of_family(stack.web_pid) - before) * 1000 / len(took)
    ours = (
        took[int(len(took) * 0.95)],
        statistics.fmean(took),
        statistics.median(took),
        took[-1],
    )
    for name, mine, other in zip(("p95", "mean", "median", "max"), ours, THEIRS, strict=True):
        say(f"{name:7} {mine:8.2f} ms, theirs {other:6.2f}")
    say(f"{len(took)} requests of {users} users, none failed, {cpu:.2f} ms CPU each")


async def _load(port: int, users: int, seconds: float) -> list[float]:
    """Milliseconds of each answer. Raises SystemExit for one that is not 200."""
    until = time.monotonic() + seconds
    each = (_user(port, until, PAUSE * number / users) for number in range(users))
    return [took for found in await asyncio.gather(*each) for took in found]


async def _user(port: int, until: float, delay: float) -> list[float]:
    await asyncio.sleep(delay)
    found: list[float] = []
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        is_kept = True
        while is_kept and time.monotonic() < until:
            started = time.perf_counter()
            writer.write(request)
            data = b""
            while not is_whole(data):
                part = await reader.read(65536)
                if not part:
                    break  # a process that has answered its share: asked again on another connection
                data += part
            if not data:
                is_kept = False
                continue
            if not data.startswith(b"HTTP/1.1 200"):
                raise SystemExit(data.decode(errors="replace"))
            found.append((time.perf_counter() - started) * 1000)
            is_kept = b"\r\nconnection: close" not in data.lower()
            await asyncio.sleep(PAUSE)
        writer.close()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=20)
    parser.add_argument("--users", type=int, default=200)
    chosen = parser.parse_args()
    main(chosen.seconds, chosen.users)

"""Requests at a constant rate, whatever the answers take.

Users who wait for an answer before they ask again ask a slow server less, and so hide its stalls.
Here each request has its time, and its latency counts from then on, also when it had to wait for
its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

# A request that took longer has failed. Seconds.
PATIENCE = 10.0


@dataclass
class Outcome:
    per_second: float
    latencies: list[float] = field(default_factory=list)  # milliseconds, of good answers
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status not in {"200", "429"})


@dataclass
class OpenLoop:
    """GETs of `path` under the keys in turn, on as many connections as it takes."""

    url: str
    path: str
    keys: list[str]
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def run(self, per_second: float, seconds: float) -> Outcome:
        outcome, started = Outcome(per_second), time.perf_counter()
        turns = zip(
            range(math.ceil(per_second * seconds)), itertools.cycle(self.keys), strict=False
        )
        async with asyncio.TaskGroup() as group:
            for number, key in turns:
                intended = started + number / per_second
                await asyncio.sleep(max(0.0, intended - time.perf_counter()))
                group.create_task(self._one(key, intended, outcome))
        for _, writer in self._idle:
            writer.close()
        return outcome

    async def _one(self, key: str, intended: float, outcome: Outcome) -> None:
        try:
            status = await asyncio.wait_for(self._ask(key), PATIENCE)
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            status = type(error).__name__
        outcome.statuses[status] += 1
        if status == "200":
            outcome.latencies.append((time.perf_counter() - intended) * 1000)

    async def _ask(self, key: str) -> str:
        """The status. A connection that fails is not used again."""
        reader, writer = await self._connection()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(writer.close)
            writer.write(
                f"GET {self.path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n"
                f"Authorization: Bearer {key}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
            if "connection: close" not in head:
                on_failure.pop_all()
                self._idle.append((reader, writer))
        return head.split(" ", 2)[1]

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port)

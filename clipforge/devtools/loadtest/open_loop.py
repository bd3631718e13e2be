"""Requests at a constant rate, whatever the answers take.

Users who wait for an answer before they ask again ask a slow server less, and so hide its stalls.
Here each request has its time, and its latency counts from then on, also when it had to wait for
its turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# A request that took longer has failed. Seconds.
PATIENCE = 10.0


class PlannedRequest(NamedTuple):
    """One request; those of one name are alike."""

    name: str
    path: str
    key: str
    method: str = "GET"
    body: dict[str, Any] | None = None

    def to_bytes(self, host: str) -> bytes:
        body = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Bearer {self.key}",
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


def gets(path: str, keys: Iterable[str]) -> Iterator[PlannedRequest]:
    """The same path for ever, under the keys in turn."""
    return (PlannedRequest(path, path, key) for key in itertools.cycle(keys))


@dataclass
class OpenLoopResult:
    per_second: float
    planned: int
    # Milliseconds, of good answers by name.
    by_name: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def latencies(self) -> list[float]:
        return [ms for found in self.by_name.values() for ms in found]

    @property
    def failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status not in {"200", "429"})


@dataclass
class OpenLoop:
    """The given requests, one after the other, on as many connections as it takes."""

    url: str
    requests: Iterator[PlannedRequest]
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def run(self, per_second: float, seconds: float) -> OpenLoopResult:
        result = OpenLoopResult(per_second, planned=math.ceil(per_second * seconds))
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(itertools.islice(self.requests, result.planned)):
                intended = started + number / per_second
                await asyncio.sleep(max(0.0, intended - time.perf_counter()))
                group.create_task(self._one(request, intended, result))
        for _, writer in self._idle:
            writer.close()
        return result

    async def _one(self, request: PlannedRequest, intended: float, result: OpenLoopResult) -> None:
        try:
            status = await asyncio.wait_for(self._status_of(request), PATIENCE)
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            status = type(error).__name__
        result.statuses[status] += 1
        if status == "200":
            result.by_name[request.name].append((time.perf_counter() - intended) * 1000)

    async def _status_of(self, request: PlannedRequest) -> str:
        """A connection that fails is not used again."""
        reader, writer = await self._connection()
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(writer.close)
            writer.write(request.to_bytes(urlsplit(self.url).netloc))
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

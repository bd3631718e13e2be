"""A Redis of one test's own, to be killed, frozen and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from clipforge.common.cache.redis import Client, Pool, connect
from clipforge.devtools.testing.service import eventually
from clipforge.embedded.keeper import REDIS_SETTINGS
from clipforge.embedded.programs import find_redis

# How long a Redis of the tests may be silent, on a busy machine. Tests that are about one that is silent
# or dead have what is in service. Seconds.
PATIENCE = {"socket_connect_timeout": 60, "socket_timeout": 60}


def answers(client: Client) -> bool:
    """Whether Redis answers it now."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


class RedisServer:
    """Answers at `url` while it runs. It remembers nothing from one start to the next."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(
            [str(find_redis()), *words], cwd=self.socket.parent, stdout=subprocess.DEVNULL
        )
        eventually("Redis answers", lambda: answers(connect(self.url)))

    def patient_client(self, **options: Any) -> Client:
        """For what is not about time: however busy the machine is, it is answered."""
        return Client(connection_pool=Pool.from_url(self.url, **PATIENCE, **options))

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """It accepts connections and never answers."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def fill(self) -> None:
        """Have less memory than it uses, with the policy of every Redis of ours."""
        client = self.patient_client()
        for number in range(1_000):
            client.set(f"filling:{number}", "x" * 1_000, ex=3_600)
        client.config_set("maxmemory-policy", REDIS_SETTINGS["maxmemory-policy"])
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running one; it is gone at the end, whatever was done to it."""
    with tempfile.TemporaryDirectory(prefix="cf-redis-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()

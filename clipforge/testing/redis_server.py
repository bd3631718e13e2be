"""A Redis of one test's own, to be killed, frozen and started again."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis.exceptions import RedisError

from clipforge.common.redis import Client, connect
from clipforge.embedded.keeper import REDIS_SETTINGS
from clipforge.embedded.programs import find_redis
from clipforge.testing.service import eventually

# How long a Redis that is well may be silent, on a busy machine. Seconds.
PATIENCE = {"socket_connect_timeout": 10, "socket_timeout": 10}


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
        eventually("Redis answers", self._answers)

    def client(self) -> Client:
        """One for the test itself, which waits for an answer longer than the product does."""
        client = connect(self.url)
        client.connection_pool.connection_kwargs |= PATIENCE
        return client

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """It accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def fill(self) -> None:
        """Have less memory than it uses, with the policy of every Redis of ours."""
        client = self.client()
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

    def _answers(self) -> bool:
        try:
            return bool(connect(self.url).ping())
        except RedisError:
            return False


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

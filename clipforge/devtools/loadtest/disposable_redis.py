"""A Redis that can be killed, for `loadtest --chaos`, used by nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from clipforge.common import processes
from clipforge.embedded import find_redis


class DisposableRedis:
    """Answers on a socket in `folder` while it runs, and remembers nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return at once; it answers some milliseconds later, and the service finds it then."""
        arguments = ["--port", "0", "--save", "", "--unixsocket", str(self._socket)]
        self._process = processes.start(
            [str(find_redis()), *arguments],
            cwd=self._folder,
            env=dict(os.environ),
            log=self._folder / "redis.log",
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

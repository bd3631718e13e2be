"""locust as a child process, which makes the load over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from clipforge.common import processes
from clipforge.common.errors import BadRequest, Unavailable


@dataclass(frozen=True)
class LoadPlan:
    url: str
    users: list[int]
    stage_seconds: float
    out: Path
    keys: Path
    with_pricing: bool

    @property
    def seconds(self) -> float:
        return self.stage_seconds * len(self.users)


@dataclass
class Generator:
    """`with Generator(plan) as load:` makes the load; it ends by itself after `plan.seconds`."""

    plan: LoadPlan
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Generator:
        self._result.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        self._process = processes.start(
            self._command(), cwd=settings.BASE_DIR, env=self._environment(), log=self._log
        )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None:
            processes.stop(self._process)

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - asked for only inside the block
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """The figures of locust, and the thresholds that broke. Raises Unavailable if it did not run."""
        if not self._result.exists():
            log = self._log.read_text(errors="replace") if self._log.exists() else ""
            raise Unavailable("locust ended early:\n" + "\n".join(log.splitlines()[-15:]))
        found: dict[str, Any] = json.loads(self._result.read_text())
        return found

    @property
    def _result(self) -> Path:
        return self.plan.out / "locust.json"

    @property
    def _log(self) -> Path:
        return self.plan.out / "locust.log"

    def _command(self) -> list[str]:
        out = self.plan.out.absolute()
        command = [sys.executable, "-m", "locust", "-f", "locustfiles/front_end.py"]
        command += ["--headless", "--only-summary", "--host", self.plan.url, "--stop-timeout", "15"]
        return [*command, "--html", str(out / "locust.html"), "--csv", str(out / "locust")]

    def _environment(self) -> dict[str, str]:
        stages = [f"{users}:{self.plan.stage_seconds:g}" for users in self.plan.users]
        return {
            **os.environ,
            "LOAD_KEYS": str(self.plan.keys.absolute()),
            "LOAD_STAGES": ",".join(stages),
            "LOAD_RESULT": str(self._result.absolute()),
            "LOAD_PRICING": "yes" if self.plan.with_pricing else "no",
        }


def parse_users(text: str) -> list[int]:
    """`50,100,200`. Raises BadRequest."""
    try:
        users = [int(part) for part in text.split(",")]
    except ValueError:
        users = []
    if not users or min(users) < 1 or max(users) > 2000:
        raise BadRequest(f'"{text}" is no list of users like 50,100,200 (2000 at the most).')
    return users


def parse_seconds(text: str) -> float:
    """`60`, `60s` or `3m`. Raises BadRequest."""
    number, factor = text.removesuffix("s"), 1
    if text.endswith("m"):
        number, factor = text.removesuffix("m"), 60
    if not number.isdigit() or not 1 <= int(number) * factor <= 3600:
        raise BadRequest(f'"{text}" is no time like 60s or 3m (an hour at the most).')
    return float(int(number) * factor)

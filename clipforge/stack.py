"""The whole service on one machine: gunicorn and a worker, as children of one command.

PostgreSQL and Redis run already: `manage.py` starts the embedded ones, or the environment
names others. The children are configured through their environment alone, as in production.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import httpx
from django.conf import settings
from django.core.management import call_command

from clipforge.common import processes
from clipforge.common.errors import Unavailable

# Starting takes a few seconds on an idle machine, and much longer on a slow and busy one.
READY_SECONDS = 120.0


class Stack:
    """`with Stack(port=8000) as stack:` runs web and worker until the block ends.

    With `billing` it also runs a stand-in for Stripe, on whose page a button pays. A `concurrency`
    of 0 runs no worker. `environment` overrides the children's environment, `web` the command line
    of the web server. Raises Unavailable when the port is taken or the web server does not start.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        concurrency: int = 1,
        billing: bool = False,
        log: Path | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
        web: list[str] | None = None,
    ) -> None:
        self._ports = contextlib.ExitStack()
        self.port = self._ports.enter_context(reserved_port(port))
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._concurrency = concurrency
        self._more = environment
        self._web = web or web_command()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._billing_port = self._ports.enter_context(reserved_port()) if billing else None
        self._webhook_secret = f"whsec_{secrets.token_urlsafe(24)}"

    def start(self) -> Self:
        """Apply migrations, start both and wait until requests are answered."""
        call_command("migrate", interactive=False, verbosity=0)
        try:
            if self._billing_port:
                self._start("stand-in Stripe", self._stripe_command(self._billing_port))
            self._start("web", self._web)
            if self._concurrency:
                self._start("worker", worker_command(self._concurrency))
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __enter__(self) -> Self:
        return self if self._children else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Terminate all children at the same time, then wait for each."""
        for process in self._children.values():
            if process.poll() is None:
                process.terminate()
        for process in self._children.values():
            processes.stop(process)
        self._ports.close()

    def ended(self) -> str | None:
        """The name of a child that ended, None while all run."""
        return next((n for n, p in self._children.items() if p.poll() is not None), None)

    @property
    def web_pid(self) -> int:
        """The process id of the gunicorn master, the parent of its workers."""
        return self._children["web"].pid

    @property
    def worker_pid(self) -> int:
        return self._children["worker"].pid

    def _start(self, name: str, argv: list[str]) -> None:
        self._children[name] = processes.start(
            argv, cwd=settings.BASE_DIR, env=self._environment(), log=self.log
        )

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATABASE_URL": settings.DATABASE_URL,
            "REDIS_URL": settings.REDIS_URL,
            "SECRET_KEY": settings.SECRET_KEY,
            "API_KEY_PEPPER": settings.API_KEY_PEPPER,
            # The web server speaks plain HTTP on loopback, also where DATABASE_URL names a remote
            # server.
            "HTTPS": "false",
            # Passed on, since the children have DATABASE_URL and REDIS_URL and would take it for
            # production.
            "STAFF_SECOND_FACTOR": str(settings.STAFF_SECOND_FACTOR).lower(),
            # The children start in another directory.
            "CLIPFORGE_DATA": str(settings.DATA_DIR),
            "MEDIA_ROOT": str(settings.MEDIA_ROOT),
            "LOG_FORMAT": settings.LOG_FORMAT,
            "WEB_BIND": f"127.0.0.1:{self.port}",
            **self._billing_environment(),
            **self._more,
        }

    def _billing_environment(self) -> dict[str, str]:
        if not self._billing_port:
            return {}
        return {
            "STRIPE_SECRET_KEY": "sk_test_stand_in",
            "STRIPE_WEBHOOK_SECRET": self._webhook_secret,
            "STRIPE_API_BASE": f"http://127.0.0.1:{self._billing_port}",
            "BILLING_RETURN_URL": f"{self.url}/api/v1/docs",
        }

    def _stripe_command(self, port: int) -> list[str]:
        # Started by name, because production code imports no test code.
        program = [sys.executable, "-m", "clipforge.devtools.testing.stripe", "--port", str(port)]
        webhook = f"{self.url}/webhooks/stripe"
        return [*program, "--webhook", webhook, "--secret", self._webhook_secret]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with httpx.Client(
            timeout=2
        ) as client:  # one for all polls: making one costs more than a request
            while time.monotonic() < deadline:
                if name := self.ended():
                    raise Unavailable(
                        f"The {name} process ended at once; its log says why.{self._tail()}"
                    )
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health/ready").is_success:
                        return
                time.sleep(0.05)
        raise Unavailable(f"The web server was not ready after {READY_SECONDS:g} s.{self._tail()}")

    def _tail(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        return "\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


def web_command() -> list[str]:
    """The command line of the web server; the container runs the same."""
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "clipforge/deploy/gunicorn.conf.py",
        "clipforge.wsgi",
    ]


def worker_command(concurrency: int) -> list[str]:
    """The command line of a worker; the container runs the same."""
    return [sys.executable, "manage.py", "worker", "--concurrency", str(concurrency)]


@contextlib.contextmanager
def reserved_port(port: int = 0) -> Iterator[int]:
    """Reserve `port`, or any free one for 0, until the block ends. Raises Unavailable if it is in use.

    The port is bound here without listening. The system then assigns it to no other process and to
    no outgoing connection, and a server that sets SO_REUSEADDR, as all of ours do, can listen on it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", port))
        except OverflowError:
            raise Unavailable(f"{port} is no port. Choose one of 1 to 65535 with --port.") from None
        except OSError as error:
            raise Unavailable(
                f"Port {port} is in use ({error.strerror}). Choose another one with --port."
            ) from error
        number: int = holder.getsockname()[1]
        if sys.platform != "linux":  # elsewhere a bound socket keeps others from listening
            holder.close()
        yield number

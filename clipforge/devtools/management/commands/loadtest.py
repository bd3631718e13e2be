from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from clipforge.audit.actor import Actor
from clipforge.common.cache import metrics
from clipforge.common.cache.log import families_of
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import BadRequest
from clipforge.devtools.loadtest import against
from clipforge.devtools.loadtest.customers import Customer, customers, forget_requests, write_keys
from clipforge.devtools.loadtest.disposable_redis import DisposableRedis
from clipforge.devtools.loadtest.generator import Generator, LoadPlan, parse_seconds, parse_users
from clipforge.devtools.loadtest.monitor import LoadMonitor
from clipforge.devtools.loadtest.open_loop import OpenLoop, OpenLoopResult
from clipforge.devtools.loadtest.pages import load_times
from clipforge.devtools.loadtest.report import html
from clipforge.devtools.loadtest.request_mix import request_mix
from clipforge.devtools.loadtest.targets import Run, Target, targets
from clipforge.orgs.models import Organization
from clipforge.stack import Stack
from credits import reconciling
from locustfiles.recording import figures

# The open loop asks so much more often than the front ends of the last stage did.
OPEN_LOOP_FACTOR = 1.3
OPEN_LOOP_SECONDS = 20.0
# How long Redis is dead under --chaos.
DEAD_SECONDS = 20.0
# Requests without a key are limited by address, and here all come from the same.
NO_LIMIT_BY_ADDRESS = "1000000"


class Command(OperatorCommand):
    help = (
        "Put the service under load and judge it: 50, 100, 200 front ends, then requests at a constant "
        "rate. Seeds an empty database. Writes an HTML report; exits 1 when a target is missed."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--users", default="50,100,200", metavar="N,N", help="of each stage")
        parser.add_argument("--stage", default="60s", metavar="TIME", help="how long: 60s, 3m")
        parser.add_argument(
            "--host", metavar="URL", help="a running service with the database of this command"
        )
        parser.add_argument("--out", type=Path, help="where the report goes (.clipforge/loadtest)")
        parser.add_argument(
            "--chaos", action="store_true", help="kill Redis for 20 s in the middle"
        )
        parser.add_argument(
            "--against",
            metavar="REV",
            help="in turn with another revision, each with its own servers",
        )
        parser.add_argument(
            "--rounds",
            type=int,
            default=2,
            metavar="N",
            help="of --against: how often each runs (2)",
        )
        parser.add_argument(
            "--keep-going", action="store_true", help="exit 0 also when a target is missed"
        )

    def handle(self, **options: Any) -> None:
        super().handle(**options)
        if self.missed and not options["keep_going"]:
            raise CommandError(f"Missed: {'; '.join(target.what for target in self.missed)}.")

    def run(
        self, *, users: str, stage: str, host: str | None, out: Path | None, **options: Any
    ) -> dict[str, Any]:
        counts, seconds = parse_users(users), parse_seconds(stage)
        if host and options["chaos"]:
            raise BadRequest("--chaos kills the Redis of a service that it starts: without --host.")
        self.console = Console(quiet=self.as_json)
        self.missed: list[Target] = []
        if options["against"]:
            return self._beside(options["against"], users, stage, options["rounds"])
        self.out = out or settings.DATA_DIR / "loadtest"
        self.out.mkdir(parents=True, exist_ok=True)
        logging.getLogger("clipforge").setLevel(logging.WARNING)
        # So that a TERM, like a Ctrl-C, stops what we started on the way out.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with (
            self._service(host, chaos=options["chaos"]),
            customers(actor=Actor.of_command(self.command_name)) as found,
        ):
            keys = self.out / "keys.jsonl"
            write_keys(keys, found)
            plan = LoadPlan(self.url, counts, seconds, self.out, keys, self._warm_up(found))
            return self._judged(plan, found)

    def _beside(self, revision: str, users: str, stage: str, rounds: int) -> dict[str, Any]:
        sides = against.beside(revision, users=users, stage=stage, rounds=rounds)
        compared = against.ratios(sides)
        table = Table("", *sides, "now to then", title=f"{users} users, {rounds} rounds in turn")
        for name in sides[against.NOW]:
            table.add_row(
                name, *(f"{each[name]:g}" for each in sides.values()), f"{compared.get(name, '')}"
            )
        self.console.print(table)
        return {"ok": True, "sides": sides, "ratios": compared}

    # --- the service --------------------------------------------------------------------

    @contextlib.contextmanager
    def _service(self, host: str | None, *, chaos: bool) -> Iterator[None]:
        """Sets `url`, `web_pid` and `redis`."""
        self.redis: DisposableRedis | None = None
        self.killed_at: float | None = None  # seconds of the load
        self.web_pid: int | None = None
        call_command("migrate", interactive=False, verbosity=0)
        if not Organization.objects.exists():
            call_command("seed_load", **({"json": True} if self.as_json else {}))
        with contextlib.ExitStack() as running:
            if host:
                self.url = host.rstrip("/")
            else:
                environment = {"ANONYMOUS_REQUESTS_PER_MINUTE": NO_LIMIT_BY_ADDRESS}
                if chaos:
                    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="cf-")))
                    self.redis = running.enter_context(DisposableRedis(folder))
                    environment["REDIS_URL"] = self.redis.url
                log = self.out / "service.log"
                log.unlink(missing_ok=True)
                stack = Stack(concurrency=0, log=log, environment=environment)
                running.enter_context(stack)
                self.url, self.web_pid = stack.url, stack.web_pid
            self.console.print(f"The service answers at {self.url}")
            yield

    def _warm_up(self, found: list[Customer]) -> bool:
        """Send one request of each customer, so that caches are warm. Whether there are prices."""
        forget_requests(found)
        with (
            self.console.status("Warming up …"),
            httpx.Client(base_url=f"{self.url}/api/v1/", timeout=30) as client,
        ):
            for customer in found:
                headers = {"Authorization": f"Bearer {customer.key}"}
                for path in ("credits/balance", "projects?page_size=20"):
                    client.get(path, headers=headers).raise_for_status()
            self._settle()
            return client.get("pricing").is_success

    def _settle(self) -> None:
        """Let every process add what it counted until now: it does so after a request, once a second."""
        for _ in range(3):
            time.sleep(metrics.FLUSH_SECONDS / 2)
            for _ in range(2 * settings.WEB_PROCESSES):
                httpx.get(f"{self.url}/health/live")

    # --- the load -----------------------------------------------------------------------

    def _judged(self, plan: LoadPlan, found: list[Customer]) -> dict[str, Any]:
        load, monitor, pages = self._closed_loop(plan)
        chaos = self.redis is not None
        open_loop = {} if chaos else self._open_loop(load, found, with_pricing=plan.with_pricing)
        breaches = len(reconciling.breaches())
        came_back = self._is_undisturbed()
        verdicts = targets(Run(load, monitor.counted, pages, breaches, open_loop, chaos, came_back))
        self.missed = [target for target in verdicts if target.passed is False]
        result = {
            "ok": not self.missed,
            "targets": [vars(target) for target in verdicts],
            "stages": load["stages"],
            "breaches": load["breaches"],
            "open_loop": open_loop,
            "cache": families_of(monitor.counted),
            "pages": pages,
            "machine": monitor.figures(sum(stage["requests"] for stage in load["stages"])),
        }
        self._write(result, verdicts)
        return result

    def _closed_loop(self, plan: LoadPlan) -> tuple[dict[str, Any], LoadMonitor, dict[str, float]]:
        pages: dict[str, float] = {}
        with Generator(plan) as load:
            monitor = LoadMonitor(web=self.web_pid, generator=load.pid)
            for elapsed in self._while_running(load, plan):
                self._disturb(elapsed, plan)
                late = elapsed > plan.seconds * 0.95 - min(plan.stage_seconds, 30) / 2
                if late and self._is_undisturbed() and not pages:
                    pages = load_times(self.url)
                # Its CPU time has to be read before it has ended.
                if elapsed < plan.seconds:
                    monitor.stop()
        return load.result(), monitor, pages

    def _while_running(self, load: Generator, plan: LoadPlan) -> Iterator[float]:
        """The seconds since the start, four times a second; draws the progress."""
        started = time.monotonic()
        columns = TextColumn("{task.description:<12}"), BarColumn(), TimeRemainingColumn()
        # No thread that refreshes: Redis may have to be started meanwhile, by a fork.
        with Progress(*columns, console=self.console, auto_refresh=False) as progress:
            task = progress.add_task("", total=plan.seconds)
            while load.is_running:
                elapsed = time.monotonic() - started
                stage = min(int(elapsed / plan.stage_seconds), len(plan.users) - 1)
                text = f"{plan.users[stage]} users"
                progress.update(task, completed=elapsed, description=text, refresh=True)
                yield elapsed
                time.sleep(0.25)

    def _disturb(self, elapsed: float, plan: LoadPlan) -> None:
        """However late it is asked, Redis dies once, and for no less than its time."""
        if self.redis is None:
            return
        if self.killed_at is None and elapsed >= plan.seconds / 2:
            self.killed_at = elapsed
            self.redis.kill()
            self.console.print("Redis was killed.")
        if self.killed_at is None or self.redis.is_running:
            return
        if elapsed >= self.killed_at + min(DEAD_SECONDS, plan.seconds / 4):
            self.redis.start()
            self.console.print("Redis is back, and empty.")

    def _is_undisturbed(self) -> bool:
        return self.redis is None or (self.killed_at is not None and self.redis.is_running)

    def _open_loop(
        self, load: dict[str, Any], found: list[Customer], *, with_pricing: bool
    ) -> dict[str, Any]:
        last = load["stages"][-1]
        per_second = round(last["per_second"] * OPEN_LOOP_FACTOR, 1)
        seconds = min(OPEN_LOOP_SECONDS, last["seconds"])
        forget_requests(found)
        loop = OpenLoop(self.url, request_mix(found, with_pricing=with_pricing))
        with self.console.status(f"{per_second:g} requests a second, whatever the answers take …"):
            outcome: OpenLoopResult = asyncio.run(loop.run(per_second, seconds))
        return {
            "per_second": per_second,
            "planned": outcome.planned,
            "failed": outcome.failed,
            "statuses": dict(outcome.statuses),
            **figures(outcome.latencies),
            "endpoints": {name: figures(ms) for name, ms in sorted(outcome.by_name.items())},
        }

    # --- what is shown ------------------------------------------------------------------

    def _write(self, result: dict[str, Any], verdicts: list[Target]) -> None:
        title = f"Load test of {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC"
        report = self.out / "report.html"
        report.write_text(html(title, verdicts, result))
        (self.out / "result.json").write_text(json.dumps(result, indent=1))
        table = Table("target", "required", "measured", "", title=title)
        for target in verdicts:
            word = {True: "[green]passed", False: "[red]FAILED", None: "–"}[target.passed]
            table.add_row(target.what, target.required, target.measured, word)
        self.console.print(table)
        for line in result["breaches"]:
            self.console.print(f"  {line}", markup=False)
        cpu, other = (
            result["machine"][name] for name in ("web CPU, ms a request", "CPU: other processes")
        )
        self.console.print(f"Web: {cpu} ms CPU a request. Other processes took {other} of the CPU.")
        self.console.print(f"Everything, with locust's charts: {report}")
        if self.missed:
            self.console.print(
                "Where others took much of the CPU, run it again when they are quiet. Else begin with "
                "the slowest endpoint of the report, and with `manage.py check_indexes`."
            )

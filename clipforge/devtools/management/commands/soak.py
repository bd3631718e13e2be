from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser

from clipforge.audit.actor import Actor
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import BadRequest
from clipforge.devtools.loadtest import footprint
from clipforge.devtools.loadtest.customers import customers, write_keys
from clipforge.devtools.loadtest.footprint import Growth
from clipforge.devtools.loadtest.generator import Generator, LoadPlan
from clipforge.orgs.models import Organization
from clipforge.stack import Stack
from credits import reconciling

# Caches, pools and processes fill up meanwhile; a third of the time, ten minutes at the most.
WARM_UP_SHARE, WARM_UP_SECONDS = 1 / 3, 600
# Requests without a key are limited by address, and here all come from the same.
NO_LIMIT_BY_ADDRESS = "1000000"


class Command(OperatorCommand):
    help = (
        "Put the service under the same load for long, and print what it takes of memory, descriptors, "
        "connections, tables and Redis at the start, after warm-up and at the end. Seeds an empty database. "
        "Exits 1 when what has to stay as it is grew after warm-up, or a request failed."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--minutes", type=float, default=30, metavar="N", help="how long (30)")
        parser.add_argument("--users", type=int, default=200, metavar="N", help="front ends (200)")

    def run(self, *, minutes: float, users: int, **options: Any) -> dict[str, Any]:
        if minutes <= 0 or not 1 <= users <= 2000:
            raise BadRequest("--minutes must be more than 0, --users 1 to 2000.")
        logging.getLogger("clipforge").setLevel(logging.WARNING)
        out = settings.DATA_DIR / "soak"
        out.mkdir(parents=True, exist_ok=True)
        call_command("migrate", interactive=False, verbosity=0)
        if not Organization.objects.exists():
            call_command("seed_load", **({"json": True} if self.as_json else {}))
        log = out / "service.log"
        log.unlink(missing_ok=True)
        with (
            Stack(
                log=log, environment={"ANONYMOUS_REQUESTS_PER_MINUTE": NO_LIMIT_BY_ADDRESS}
            ) as stack,
            customers(actor=Actor.of_command(self.command_name)) as found,
        ):
            keys = out / "keys.jsonl"
            write_keys(keys, found)
            plan = LoadPlan(stack.url, [users], minutes * 60, out, keys, with_pricing=False)
            self.say(f"{users} front ends for {minutes:g} minutes at {stack.url}")
            grown, load = self._soak(plan, stack)
        failed = sum(stage["failed"] for stage in load["stages"])
        requests = sum(stage["requests"] for stage in load["stages"])
        breaches = len(reconciling.breaches())
        self._print(grown, requests=requests, failed=failed)
        wrong = [f"{each.what} grew" for each in grown if each.is_flat is False]
        wrong += [f"{failed} requests failed"] if failed else []
        wrong += [f"{breaches} breaches of the ledger"] if breaches else []
        self.failure = "; ".join(wrong)
        return {
            "ok": not wrong,
            "minutes": minutes,
            "users": users,
            "requests": requests,
            "failed": failed,
            "breaches": breaches,
            "figures": [each._asdict() for each in grown],
        }

    def _soak(self, plan: LoadPlan, stack: Stack) -> tuple[list[Growth], dict[str, Any]]:
        pids = {"web": stack.web_pid, "worker": stack.worker_pid}
        start = warm = end = footprint.footprint(**pids)
        warm_after = min(plan.seconds * WARM_UP_SHARE, WARM_UP_SECONDS)
        with Generator(plan) as load:
            begun = time.monotonic()
            while load.is_running:
                elapsed = time.monotonic() - begun
                if elapsed < plan.seconds:
                    end = footprint.footprint(**pids)
                if elapsed < warm_after:
                    warm = end
                time.sleep(min(5, plan.seconds / 20))
        return footprint.growths(start, warm, end), load.result()

    def _print(self, grown: list[Growth], *, requests: int, failed: int) -> None:
        self.say(f"{'':34} {'start':>10} {'warm':>10} {'end':>10}")
        for each in grown:
            verdict = {True: "flat", False: "GREW", None: ""}[each.is_flat]
            line = f"{each.what:34} {each.start:>10,g} {each.warm:>10,g} {each.end:>10,g} {verdict}"
            self.say(line.rstrip())
        self.say(f"{requests:,} requests, {failed} failed.")

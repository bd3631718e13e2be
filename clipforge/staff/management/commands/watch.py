from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clipforge.staff.watching import watcher


class Command(BaseCommand):
    help = (
        "Look at the service every 30 seconds, and tell people (ALARM_EMAILS, ALARM_WEBHOOK_URL) what "
        "needs one: the ledger does not add up, no worker lives, tasks were given up. Workers do the "
        "same once a minute; this notices that there are none. Run one, anywhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="look once; exit 1 when something needs a person"
        )

    def handle(self, *, once: bool, **options: Any) -> None:
        if once:
            if holding := watcher.Watcher().look():
                raise CommandError(f"These need a person: {', '.join(holding)}.")
            self.stdout.write("Nothing needs a person.")
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if settings.METRICS_BIND:
            from clipforge.staff.watching import figures  # with what it takes to serve them

            figures.serve(settings.METRICS_BIND)
        watcher.Watcher().run(stop)

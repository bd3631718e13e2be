from __future__ import annotations

import asyncio
import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clipforge.jobs import worker


class Command(BaseCommand):
    help = (
        "Take analyses and renders from the queue until SIGTERM or Ctrl-C. What is in hand then is "
        "handed back to the queue, at no cost to the customer. Run as many as you like, anywhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=max(1, (os.cpu_count() or 1) // 2),
            metavar="N",
            help="videos at once; a render keeps two cores and 450 MB busy (default: cores / 2)",
        )

    def handle(self, *, concurrency: int, **options: Any) -> None:
        if concurrency < 1:
            raise CommandError("--concurrency must be at least 1.")
        os.umask(0o077)  # customers' files are readable by this account alone
        asyncio.run(worker.run(concurrency=concurrency))

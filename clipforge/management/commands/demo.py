from __future__ import annotations

import logging
import secrets
import signal
import sys
import tempfile
from http import HTTPStatus
from pathlib import Path
from textwrap import shorten
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import CommandParser
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table

from clipforge.audit.actor import Actor
from clipforge.client import FINAL, ApiError, Client, Json
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import BadRequest, Conflict
from clipforge.media.sample import Highlight, make_sample
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Tier
from clipforge.stack import Stack
from credits import services as credit_services
from credits.models import GrantKind

FIRST_CREDITS = 500
ASPECTS = ["9:16", "1:1", "16:9", "source"]


class Command(OperatorCommand):
    help = (
        "Show the main job: upload a video, find its best moments, export them as clips, pay with "
        "credits. Runs the whole service on this machine and uses it as a client over HTTP."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "video", nargs="?", type=Path, help="default: a sample with planted highlights"
        )
        parser.add_argument("--top", type=int, default=3, metavar="N", help="clips to export (3)")
        parser.add_argument("--aspect", choices=ASPECTS, default="9:16")
        parser.add_argument(
            "--out", type=Path, default=Path("clips"), help="where clips go (clips/)"
        )

    def run(
        self, *, video: Path | None, top: int, aspect: str, out: Path, **options: Any
    ) -> dict[str, Any]:
        if top < 1:
            raise BadRequest("--top must be at least 1.")
        if video is not None and not video.is_file():
            raise BadRequest(f"There is no file {video}.")
        # Log lines of the services would interrupt the output of the demo.
        logging.getLogger("clipforge").setLevel(logging.WARNING)
        # A TERM then stops the child processes on the way out, as a Ctrl-C does.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        self.console = Console(quiet=self.as_json)
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            planted: list[Highlight] = []
            if video is None:
                video = Path(folder) / "sample.mp4"
                planted = self._make_sample(video)
            with self._started() as stack, Client(stack.url, self._customer()) as client:
                try:
                    return self._main_job(client, video, planted, top, aspect, out)
                except ApiError as error:
                    raise Conflict(f"The API refused: {error}") from error
                except (httpx.TransportError, TimeoutError) as error:
                    raise Conflict(f"The API does not answer: {error}. See {stack.log}") from error

    # --- set-up, on this machine ---

    def _make_sample(self, path: Path) -> list[Highlight]:
        with self.console.status("Making a two-minute sample with planted highlights …"):
            return make_sample(path, spoken=True)

    def _started(self) -> Stack:
        log = settings.DATA_DIR / "logs" / "demo.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with self.console.status("Starting the web server and a worker …"):
            stack = Stack(log=log).start()
        self.console.print(f"ClipForge runs at {stack.url} (log: {log})")
        return stack

    def _customer(self) -> str:
        """A new organization with credits; its API key."""
        actor = Actor.of_command("demo")
        organization = org_services.create_organization(
            name=f"Demo {secrets.token_hex(4)}",
            tier=Tier.PRO,
            reason="for a demonstration",
            actor=actor,
        )
        credit_services.grant(
            org=organization,
            amount=FIRST_CREDITS,
            kind=GrantKind.PROMO,
            reason="credits for a demonstration",
            actor=actor,
            idempotency_key="demo",
        )
        key = org_services.create_api_key(
            organization=organization, name="demo", reason="for a demonstration", actor=actor
        )
        self.console.print(
            f"Organization [b]{organization.name}[/b] with {FIRST_CREDITS} credits and an API key."
        )
        return key.secret

    # --- the demo, as a client over HTTP ---

    def _main_job(
        self,
        client: Client,
        video: Path,
        planted: list[Highlight],
        top: int,
        aspect: str,
        out: Path,
    ) -> dict[str, Any]:
        project = self._analyse(client, video)
        moments = list(client.pages(f"projects/{project['id']}/moments"))
        self._show_moments(project, moments)
        found = [name(plant) for plant in planted if overlaps(plant, moments)]
        if planted:
            self.console.print(
                f"Planted highlights found: {len(found)} of {len(planted)} ({', '.join(found)})"
            )
        has_words = self._show_words(client, project)
        exports = [
            self._export(client, rank, moment, aspect, out, captioned=has_words)
            for rank, moment in enumerate(moments[:top], 1)
        ]
        money = self._statement(client)
        if exports:
            self.console.print(f"\nDone: {len(exports)} clips in [b]{out}/[/b]")
        return {"project": project["id"], "moments": moments, "exports": exports, "credits": money}

    def _analyse(self, client: Client, video: Path) -> Json:
        with self.console.status(f"Uploading {video.name} ({video.stat().st_size:,} bytes) …"):
            project = client.upload(video)
        with Stages(self.console) as stages:
            stages.show(project)
            project = client.wait(f"projects/{project['id']}", seen=stages.show)
        self._require_success(project, "analysis")
        return project

    def _show_moments(self, project: Json, moments: list[Json]) -> None:
        if not moments:
            self.console.print(
                "Nothing in this video is worth clipping. The credits were given back."
            )
            return
        columns = ("rank", "start – end", "score", "title", "why")
        table = Table(*columns, title=f"Moments of {project['title']}")
        for rank, moment in enumerate(moments, 1):
            span = f"{clock(moment['start'])} – {clock(moment['end'])}"
            score, title = f"{moment['score']:.0f}", moment["title"] or "–"
            table.add_row(str(rank), span, score, title, moment["reason"])
        self.console.print(table)

    def _show_words(self, client: Client, project: Json) -> bool:
        """Show the transcript, where anything is said; False: nothing is."""
        try:
            transcript = client.get(f"projects/{project['id']}/transcript")
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        text = " ".join(sentence["text"] for sentence in transcript["sentences"])
        self.console.print(
            f"Words ({transcript['language']}): “{shorten(text, 300, placeholder=' …')}”"
        )
        return True

    def _export(
        self, client: Client, rank: int, moment: Json, aspect: str, out: Path, *, captioned: bool
    ) -> Json:
        wanted = {"moment": moment["id"], "aspect": aspect}
        if captioned and moment["kind"] == "talk":
            wanted["captions"] = "bold-word"
        export = client.post("exports", wanted)
        with Stages(self.console) as stages:
            export = client.wait(f"exports/{export['id']}", seen=stages.show)
        self._require_success(export, "export")
        target = out / f"clip-{rank}.mp4"
        client.download(export["id"], target)
        self.console.print(
            f"  [b]{target}[/b]  {export['width']}×{export['height']}, "
            f"{export['duration']:.1f} s, {export['size']:,} bytes"
        )
        return {
            "path": str(target),
            **{field: export[field] for field in ("start", "end", "duration", "width", "height")},
            "bytes": export["size"],
        }

    def _statement(self, client: Client) -> dict[str, int]:
        rows = list(client.pages("credits/transactions"))[::-1]
        balance = client.get("credits/balance")
        table = Table("type", "credits", "balance", "for", title="Ledger")
        for row in rows:
            table.add_row(
                row["type"], f"{row['amount']:+d}", str(row["balance_after"]), row["reason"]
            )
        self.console.print(table)
        return {
            "granted": sum(row["amount"] for row in rows if row["type"] == "GRANT"),
            "spent": -sum(row["amount"] for row in rows if row["type"] == "SPEND"),
            "held": balance["held"],
            "balance": balance["posted"],
        }

    def _require_success(self, item: Json, what: str) -> None:
        if error := item["error"]:
            raise Conflict(f"The {what} failed ({error['code']}): {error['message']}")


class Stages:
    """A progress bar that starts a new line for every stage of the work."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("  {task.description:<12}"),
            BarColumn(),
            TaskProgressColumn(),
            console=console,
            disable=console.quiet,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Stages:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def show(self, item: Json) -> None:
        if item["status"] in FINAL:
            self._finish()
            return
        stage = item["stage"] or "queued"
        if stage not in self._tasks:
            self._finish()
            self._tasks[stage] = self._progress.add_task(stage, total=1.0)
        self._progress.update(self._tasks[stage], completed=item["progress"])

    def _finish(self) -> None:
        for task in self._tasks.values():
            self._progress.update(task, completed=1.0)


def overlaps(plant: Highlight, moments: list[Json]) -> bool:
    """Whether a moment covers at least half of the planted highlight."""
    half = (plant.end - plant.start) / 2
    return any(
        min(plant.end, moment["end"]) - max(plant.start, moment["start"]) >= half
        for moment in moments
    )


def name(plant: Highlight) -> str:
    return f"{plant.kind} at {clock(plant.start)}"


def clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"

from __future__ import annotations

import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.common import storage
from clipforge.common.errors import Invalid
from clipforge.common.storage import checking, migrating
from clipforge.jobs import store_areas, store_audit, store_markers

PROGRESS_SECONDS = 5


def store_at(url: str | None) -> storage.Store:
    """The store at an address, that of this installation without one. Raises Invalid."""
    try:
        return storage.current() if url is None else storage.at(url)
    except ValueError as error:
        raise Invalid(f"{url} {error}.") from None


def front_at(origin: str | None, to: str | None) -> checking.Front | None:
    """The requests of clients at an address; None without one. Raises Invalid."""
    if origin is None:
        return None
    if to is not None:
        raise Invalid("--through is of the store of this installation: leave out --to.")
    parts = urlsplit(origin)
    is_origin = parts.netloc and "@" not in parts.netloc and not parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or not is_origin:
        raise Invalid(f"{origin} must be like https://clips.example.com.")
    return checking.Front(f"{parts.scheme}://{parts.netloc}", store_areas.link_to)


class Command(AuditedCommand):
    help = (
        "Compare rows and files both ways (audit), and exit 1 where they do not fit; accept the store after "
        "the database was restored to an older moment, so that sweeps go on; check that a store allows what "
        "is done with it; migrate files to another store."
    )
    default_reason = "The store is looked after"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["audit", "accept", "check", "migrate"])
        parser.add_argument(
            "--repair",
            action="store_true",
            help="with audit: take files that no row names out of their places, and remove those that "
            "were taken out a day ago",
        )
        parser.add_argument(
            "--to",
            metavar="URL",
            help="with check and migrate: the store, written as STORAGE_URL is",
        )
        parser.add_argument(
            "--through",
            metavar="ORIGIN",
            help="with check: where clients ask for files, as https://clips.example.com: whether they come",
        )
        parser.add_argument(
            "--from",
            dest="source",
            metavar="URL",
            help="with migrate: the store that has the files; that of this installation unless it is given",
        )
        parser.add_argument(
            "--remove",
            action="store_true",
            help="with migrate: remove each file where it was, once both stores were read and have the same "
            "bytes; never from the store of this installation",
        )

    def run(self, *, action: str, repair: bool, reason: str, **options: Any) -> dict[str, Any]:
        if action == "accept":
            return self._accept(reason)
        if action == "audit":
            return self._audit(repair=repair)
        target = store_at(options["to"])
        if action == "migrate":
            return self._migrate(target, **options)
        return self._check(target, front_at(options["through"], options["to"]))

    def _accept(self, reason: str) -> dict[str, Any]:
        marker = store_markers.accept(actor=self.actor, reason=reason)
        self.say("The store is accepted: sweeps go on within the hour.")
        return {"marker": marker.pk}

    def _check(self, store: storage.Store, front: checking.Front | None) -> dict[str, Any]:
        done = []
        for step in checking.check(store, front):
            self.say(
                f"{'no' if step.problem else 'ok'}  {step.name}{step.problem and f': {step.problem}'}"
            )
            done.append({"step": step.name, "problem": step.problem})
            if step.problem:
                self.failure = f"The store does not do what it has to: {step.name}."
        return {"steps": done}

    def _migrate(
        self, target: storage.Store, *, source: str | None, remove: bool, to: str | None, **_: Any
    ) -> dict[str, Any]:
        if to is None:
            raise Invalid("Say where to: --to URL.")
        origin = store_at(source)
        if migrating.are_one(target, origin):
            raise Invalid("Both addresses are of the same store.")
        if remove and migrating.are_one(storage.current(), origin):
            raise Invalid("The files of this installation are not removed: it reads them there.")
        totals, said_at = migrating.Totals(), time.monotonic()
        moving = migrating.migrate(origin, target, removes=remove, is_dry_run=self.is_dry_run)
        for moved in moving:
            totals.add(moved)
            if moved.problem:
                self.say(f"{moved.key}: {moved.problem}")
            if time.monotonic() - said_at > PROGRESS_SECONDS:
                self.say(str(totals))
                said_at = time.monotonic()
        self.say(str(totals))
        if totals.failed:
            self.failure = (
                f"{totals.failed} files failed. Run it again: it goes on with what is missing."
            )
        return totals.as_dict()

    def _audit(self, *, repair: bool) -> dict[str, Any]:
        now, counts = time.time(), Counter[str]()
        look = store_audit.repair if repair and not self.is_dry_run else store_audit.findings
        for finding in look(now=now):
            counts[finding.problem] += 1
            self.say(": ".join(part for part in finding if part))
        found = counts.total()
        if found:
            self.failure = f"{found} findings."
        self.say("Rows and files fit." if not found else "Nothing else was changed.")
        return {"findings": dict(counts), "repaired": repair and not self.is_dry_run}

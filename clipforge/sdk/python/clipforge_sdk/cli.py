"""The command `clipforge`: the API in five calls, and the balance."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from clipforge_sdk import errors
from clipforge_sdk.client import Client
from clipforge_sdk.version import VERSION

Answer = dict[str, Any] | list[Any]

# Exit codes, the kinds of errors that have them, and what to do.
USAGE = 2
INTERRUPTED = 130
ADVICE: list[tuple[type[Exception], int, str]] = [
    (errors.AuthenticationError, 3, "Set CLIPFORGE_API_KEY to a key that is good."),
    (errors.PermissionDenied, 3, "Use a key that may do this, or write to support."),
    (errors.NotFound, 4, "Check the id: it must be of your organization."),
    (errors.NotEnoughCredits, 5, "Buy credits, then run the same command again."),
    (errors.RateLimited, 6, "Wait, then run the same command again."),
    (errors.StillRunning, 7, "It goes on. Run `clipforge wait` with its id."),
    (errors.JobFailed, 8, "Nothing was charged. Try another file, or retry later."),
    (errors.NoAnswer, 9, "Check CLIPFORGE_URL and the network, then run the same command again."),
    (errors.ServiceError, 9, "Run the same command again later."),
    (errors.Conflict, 10, "Look at its status with `clipforge wait`."),
    (errors.APIError, 11, "Change what the error names."),
    (errors.ClipForgeError, USAGE, "Set CLIPFORGE_API_KEY and CLIPFORGE_URL."),
    (OSError, 12, "Check the file."),
]


class Progress:
    """One line on stderr: rewritten where a person looks, a line for each change in a log. None with --quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._last = ""
        self._is_live = sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self._quiet or text == self._last:
            return
        if self._is_live:
            padding = " " * max(0, len(self._last) - len(text))
            sys.stderr.write(f"\r{text}{padding}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
        self._last = text

    def end(self) -> None:
        if self._is_live and self._last:
            sys.stderr.write("\n")
        self._last = ""

    def bytes(self, verb: str) -> Callable[[int, int | None], None]:
        def told(done: int, total: int | None) -> None:
            # Each tenth: a log is read by people too.
            share = "" if not total else f" {10 * (10 * done // total)}%"
            self.say(f"{verb}{share}")

        return told

    def job(self, job: Any) -> None:
        if job["status"] == "QUEUED" and job.get("queue_position"):
            self.say(f"{job['id']} QUEUED, number {job['queue_position']}")
        else:
            stage = f" {job['stage']}" if job.get("stage") else ""
            self.say(f"{job['id']} {job['status']}{stage} {job['progress']:.0%}")


# --- the commands ----------------------------------------------------------------------------


def upload(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    fields = _given(options, "title", "language", "external_id", "count", "min_seconds")
    fields |= _given(options, "max_seconds")
    project: Any = client.upload(
        options.video, told=progress.bytes("uploading"), idempotency_key=options.key, **fields
    )
    progress.end()
    if options.wait:
        project = client.wait_for_project(project, seconds=options.timeout, seen=progress.job)
    return dict(project)


def wait(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    """Of a project or an export: their ids are told apart by asking."""
    try:
        client.get_project(options.id)
    except errors.NotFound:
        export = client.wait_for_export(options.id, seconds=options.timeout, seen=progress.job)
        return dict(export)
    project = client.wait_for_project(options.id, seconds=options.timeout, seen=progress.job)
    return dict(project)


def moments(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    return [
        dict(each) for each in client.list_moments(options.project, min_score=options.min_score)
    ]


def export(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    body = _given(options, "aspect", "resolution", "captions", "layout", "format", "tighten")
    made: Any = client.create_export(
        {"moment": options.moment, **body},  # type: ignore[typeddict-item] # the service checks the values
        idempotency_key=options.key,
    )
    if options.wait or options.output:
        made = client.wait_for_export(made, seconds=options.timeout, seen=progress.job)
        progress.end()
    if options.output:
        client.download(made, options.output, told=progress.bytes("downloading"))
    return dict(made)


def download(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    target = client.download(
        options.export,
        options.output or f"{options.export}.mp4",
        told=progress.bytes("downloading"),
    )
    return {"export": options.export, "file": str(target), "size": target.stat().st_size}


def balance(client: Client, options: argparse.Namespace, progress: Progress) -> Answer:
    return dict(client.get_balance())


COMMANDS = {each.__name__: each for each in (upload, wait, moments, export, download, balance)}


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


# --- what is printed -------------------------------------------------------------------------


def printed(command: str, answer: Answer) -> str:
    """The answer for people: the id first, for the next command."""
    match command, answer:
        case "moments", list():
            rows = [
                f"{each['id']}  {each['score']:5.1f}  {each['start']:8.1f}-{each['end']:.1f}  {each['reason']}"
                for each in answer
            ]
            return "\n".join(rows) or "No moments."
        case "balance", dict():
            return "\n".join(f"{name:<10}{value}" for name, value in answer.items())
        case "download", dict():
            return f"{answer['file']}  {answer['size']} bytes"
        case _, dict():
            return f"{answer['id']}  {answer['status']}"
    raise AssertionError(command)


# --- the command line ------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print the answer as JSON")
    shared.add_argument("--quiet", action="store_true", help="no progress")
    shared.add_argument("--url", help="of the service; otherwise CLIPFORGE_URL")
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument("--timeout", type=float, default=3600, help="wait so many seconds at most")
    costing = argparse.ArgumentParser(add_help=False)
    costing.add_argument("--wait", action="store_true", help="until it has ended")
    costing.add_argument("--key", help="the idempotency key: the same command again has no effect")

    top = argparse.ArgumentParser(
        prog="clipforge",
        description="Long videos in, short clips out.",
        epilog="CLIPFORGE_API_KEY is the key, CLIPFORGE_URL the address of the service.",
    )
    top.add_argument("--version", action="version", version=VERSION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser(
        "upload", parents=[shared, waiting, costing], help="a video; prints the project"
    )
    one.add_argument("video")
    one.add_argument("--title")
    one.add_argument("--language", help="that is spoken: en")
    one.add_argument("--external-id", help="an id of your own")
    one.add_argument("--count", type=int, help="so many moments at most")
    one.add_argument("--min-seconds", type=float, help="of each moment")
    one.add_argument("--max-seconds", type=float, help="of each moment")

    two = commands.add_parser(
        "wait", parents=[shared, waiting], help="until a project or an export has ended"
    )
    two.add_argument("id")

    three = commands.add_parser("moments", parents=[shared], help="of a project, best first")
    three.add_argument("project")
    three.add_argument("--min-score", type=float, help="leave out what is weaker")

    four = commands.add_parser(
        "export", parents=[shared, waiting, costing], help="a moment; prints the export"
    )
    four.add_argument("moment")
    four.add_argument("--aspect", help="9:16, 1:1, 16:9 or source")
    four.add_argument("--resolution", type=int, help="of the shorter side: 1080")
    four.add_argument("--captions", help="plain, bold-word or karaoke")
    four.add_argument("--layout", help="auto, crop, fit or split")
    four.add_argument("--format", help="mp4, mp4-hevc, mp4-av1 or webm")
    four.add_argument("--tighten", help="off, gentle or hard")
    four.add_argument("--output", help="wait, and write the file there")

    five = commands.add_parser("download", parents=[shared], help="the file of an export")
    five.add_argument("export")
    five.add_argument("--output", help="where to; otherwise the id with .mp4")

    commands.add_parser("balance", parents=[shared], help="the credits")
    return top


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    progress = Progress(quiet=options.quiet)
    try:
        with Client(url=options.url) as client:
            answer = COMMANDS[options.command](client, options, progress)
    except KeyboardInterrupt:
        progress.end()
        sys.stderr.write("Interrupted. What was ordered goes on.\n")
        return INTERRUPTED
    except (errors.ClipForgeError, OSError) as error:
        progress.end()
        return _failed(error, as_json=options.json)
    progress.end()
    text = (
        json.dumps(answer, ensure_ascii=False) if options.json else printed(options.command, answer)
    )
    sys.stdout.write(f"{text}\n")
    return 0


def _failed(error: Exception, *, as_json: bool) -> int:
    code, advice = next((code, said) for kind, code, said in ADVICE if isinstance(error, kind))
    if as_json:
        problem = {
            "error": getattr(error, "code", type(error).__name__),
            "detail": str(error),
            "request_id": getattr(error, "request_id", None),
        }
        sys.stdout.write(f"{json.dumps(problem, ensure_ascii=False)}\n")
    sys.stderr.write(f"clipforge: {error}\n")
    for each in getattr(error, "errors", ()):
        sys.stderr.write(f"  {each['pointer']}: {each['detail']}\n")
    sys.stderr.write(f"  {advice}\n")
    return code


def main() -> NoReturn:
    sys.exit(run())

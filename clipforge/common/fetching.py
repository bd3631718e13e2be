"""A file from an address that a customer chose, written to this disk piece by piece.

Where it may come from is for `outbound` to say, anew for each redirect: every name is resolved once and
judged, and the connection is made to what was judged. Only a plain file is taken: no page, no playlist,
nothing encoded. What broke off is asked for again from there on, with `If-Range`: of a file that is
another one by now everything is asked for, so that two are never joined. Without a strong validator
nothing is resumed.

A server that lies is bounded by what the caller allows: bytes in all, bytes so far (`allow`), seconds in
all, seconds without a byte, and a least rate.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO

import httpx

from clipforge.common.errors import Invalid
from clipforge.common.outbound import Outbound, Pinned, Unanswered, require_address, unconnected

# A signed address of a bucket has 1,500 characters; what is longer no server takes.
MAX_URL = 4096
USER_AGENT = "ClipForge-Import/1"
MAX_REDIRECTS = 5

# Stable codes of what can go wrong, and what each means.
CODES = {
    "address_refused": "The address, or one that it redirects to, is none of the public internet.",
    "unknown_host": "The name of the host cannot be resolved.",
    "unreachable": "The server takes no connection.",
    "tls_failed": "The certificate of the server could not be verified.",
    "too_many_redirects": f"More than {MAX_REDIRECTS} redirects follow one another.",
    "source_forbidden": "The server wants whoever asks to sign in.",
    "source_not_found": "The server has no such file.",
    "source_unavailable": "The server answered with an error, again and again.",
    "source_incomplete": "The connection broke before the end of the file, again and again.",
    "source_too_slow": "The file came too slowly, or not at all.",
    "not_a_file": "The address leads to a page, a playlist or something compressed.",
    "empty_file": "The file is empty.",
    "too_large": "The file is larger than what is accepted.",
}

_REDIRECTS = {301, 302, 303, 307, 308}
_LATER = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
# An ETag, and a date, that a header can be made of.
_STRONG = re.compile(r'"[!#-~]{0,198}"')
_DATE = re.compile("[ -~]{1,200}")
# A page, a playlist, a message: whatever plays it, it is no video.
_NO_FILE = re.compile(
    r"text/|multipart/|application/(.*\+)?(json|xml)\b|.*(mpegurl|dash\+xml)", re.I
)
_PLAYLISTS = (".m3u8", ".m3u", ".mpd")
# A date names a version only if a second could not have seen two.
_DATE_IS_STRONG = 60


@dataclass(frozen=True)
class Bounds:
    """Limits to the time that a server may take, and how often it is asked again without a byte more."""

    seconds: float = 3600.0
    idle_seconds: float = 30.0
    # Within each window so many bytes a second, on average.
    window_seconds: float = 60.0
    least_rate: int = 64 * 1024
    tries: int = 5
    pause: float = 1.0


class Broken(Unanswered):
    """It may go on if it is asked again."""


@dataclass
class Fetch:
    """One download, in a thread of its own, into an open `file`; what is in that is its beginning.

    `at_most` bounds its bytes, `require_fit` is asked of the first `head_bytes` and raises DomainError.
    `validator` is of the beginning; it changes with the file of the server, and what is there already is
    only good with it.
    """

    url: str
    file: IO[bytes]
    at_most: int
    validator: str = ""
    head_bytes: int = 0
    require_fit: Callable[[bytes], None] = lambda _head: None
    bounds: Bounds = field(default_factory=Bounds)
    client: Outbound = field(default_factory=Outbound)

    # Of the whole file; None until it is known.
    total: int | None = None
    received: int = 0
    # What it waits to be allowed.
    wanted: int = 0
    error: Exception | None = None

    def __post_init__(self) -> None:
        self._allowed = 0
        self._hash = hashlib.sha256()
        self._head = b""
        self._more = asyncio.Event()
        self._done = threading.Event()
        self._news = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def wait(self, seconds: float) -> bool:
        """Wait so long for its end, or until it wants more. Whether it has ended; then `error` says how."""
        self._news.wait(seconds)
        self._news.clear()
        return self._done.is_set()

    def allow(self, size: int) -> None:
        """Let it have so many bytes in all."""
        self._tell(lambda: self._allow(size))

    def stop(self) -> None:
        """End it, and wait until nothing is written any more."""
        self._tell(lambda: self._task and self._task.cancel())
        self._thread.join()

    # --- in its thread --------------------------------------------------------------------

    def _tell(self, call: Callable[[], object]) -> None:
        if self._loop is not None and not self._done.is_set():
            try:
                self._loop.call_soon_threadsafe(call)
            except RuntimeError:  # it has just ended
                return

    def _allow(self, size: int) -> None:
        self._allowed = max(self._allowed, size)
        self._more.set()

    def _run(self) -> None:
        try:
            asyncio.run(self._fetch())
        except asyncio.CancelledError:
            self.error = Broken("stopped", "It was stopped.")
        except Exception as error:
            self.error = error
        finally:
            self._done.set()
            self._started.set()
            self._news.set()

    async def _fetch(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        self._begin_with_what_is_there()
        try:
            async with asyncio.timeout(self.bounds.seconds):
                await self._try_until_whole()
                self.file.flush()
                os.fsync(self.file.fileno())
        except TimeoutError:
            raise Unanswered(
                "source_too_slow", f"It was not here within {self.bounds.seconds:g} s."
            ) from None

    def _begin_with_what_is_there(self) -> None:
        self.file.seek(0)
        while self.validator and (piece := self.file.read(1 << 20)):
            self._take(piece)
        self.file.truncate()

    async def _try_until_whole(self) -> None:
        failures = 0
        while True:
            before = self.received
            try:
                return await self._from_address()
            except Broken as error:
                failures = failures + 1 if self.received <= before else 1
                if failures >= self.bounds.tries:
                    raise Unanswered(error.code, error.message) from error
            await asyncio.sleep(self.bounds.pause * 2 ** (failures - 1))

    async def _from_address(self) -> None:
        """Follow redirects to the file and take it. Raises Broken where it may be asked again."""
        url = _judged(self.url)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                location = await self._ask(url)
            except httpx.ConnectError as error:
                cause = unconnected(error)
                if cause.code != "unreachable":
                    raise cause from error
                raise Broken(cause.code, cause.message) from error
            except (TimeoutError, httpx.TimeoutException) as error:
                raise Broken(
                    "source_too_slow", f"Not a byte came for {self.bounds.idle_seconds:g} s."
                ) from error
            except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                raise Broken(
                    "source_incomplete", "The connection broke before the end of the file."
                ) from error
            if location is None:
                return
            url = _judged(location)
        raise Unanswered("too_many_redirects", f"More than {MAX_REDIRECTS} redirects.")

    async def _ask(self, url: str) -> str | None:
        """Take the file from there, or the address that it names instead."""
        transport = Pinned(self.client.resolve, self.client.authorities())
        idle = self.bounds.idle_seconds
        async with httpx.AsyncClient(
            transport=transport, timeout=idle, trust_env=False, follow_redirects=False
        ) as client:
            request = client.build_request("GET", url, headers=self._headers())
            async with asyncio.timeout(idle):
                response = await client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS and "Location" in response.headers:
                    return _joined(url, response.headers["Location"])
                self._look_at(response)
                await self._read(response)
            finally:
                await response.aclose()
        return None

    def _headers(self) -> dict[str, str]:
        # Not compressed: a kilobyte of it may stand for a gigabyte.
        headers = {
            "User-Agent": USER_AGENT,
            "Accept": "video/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        }
        if self.received and self.validator:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.validator}
        return headers

    def _look_at(self, response: httpx.Response) -> None:
        """Whether this is the file, or the rest of it. Raises Unanswered."""
        status, headers = response.status_code, response.headers
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._begin_again()
            raise Broken("source_incomplete", "The file is shorter than it was said to be.")
        if status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise _refusal(status)
        kind = headers.get("Content-Type", "").strip()
        if _NO_FILE.match(kind) or httpx.URL(str(response.url)).path.lower().endswith(_PLAYLISTS):
            raise _no_file(f"It is {kind.partition(';')[0][:100] or 'a playlist'}.")
        if headers.get("Content-Encoding", "identity").strip().lower() not in {"identity", ""}:
            raise _no_file("It is sent compressed.")
        length = headers.get("Content-Length", "")
        rest = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        if status == HTTPStatus.PARTIAL_CONTENT:
            found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
            if not self.received or found is None or int(found[1]) != self.received:
                self._begin_again()
                raise Broken(
                    "source_incomplete", "The server sent another part than was asked for."
                )
            sent = headers.get("ETag", self.validator).strip()
            if self.validator.startswith('"') and sent != self.validator:
                self._begin_again()
                raise Broken("source_incomplete", "The file changed while it was fetched.")
            self.total = int(found[2])
        else:
            self._begin_again()
            self.total, self.validator = rest, _validator(headers)
        if self.total is not None and self.total > self.at_most:
            raise self._too_large()

    async def _read(self, response: httpx.Response) -> None:
        clock = asyncio.get_running_loop().time
        began, at_least = clock(), self.received
        async for piece in response.aiter_raw():
            if self.received + len(piece) > self.at_most:
                raise self._too_large()
            # Room is made for the total alone: it would be asked for again and again.
            if self.total is not None and self.received + len(piece) > self.total:
                self._begin_again()
                raise Broken("source_incomplete", "The server sent more than it said there is.")
            waited = await self._wait_for_room(self.received + len(piece))
            self.file.write(piece)
            self._take(piece)
            began += waited
            if (now := clock()) - began >= self.bounds.window_seconds:
                if self.received - at_least < self.bounds.least_rate * self.bounds.window_seconds:
                    raise Unanswered(
                        "source_too_slow",
                        f"It came with less than {self.bounds.least_rate} bytes a second.",
                    )
                began, at_least = now, self.received
        if self.total is not None and self.received < self.total:
            raise Broken("source_incomplete", "The connection broke before the end of the file.")
        if not self.received:
            raise Unanswered("empty_file", "The file is empty.")
        if len(self._head) < self.head_bytes:
            self.require_fit(self._head)
        self.total = self.received

    async def _wait_for_room(self, size: int) -> float:
        """Wait until the caller allows so many bytes. Returns for how long."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while size > self._allowed:
            self.wanted = size
            self._news.set()
            self._more.clear()
            await self._more.wait()
        return clock() - began

    def _take(self, piece: bytes) -> None:
        self.received += len(piece)
        self._hash.update(piece)
        if len(self._head) < self.head_bytes:
            self._head += piece[: self.head_bytes - len(self._head)]
            if len(self._head) == self.head_bytes:
                self.require_fit(self._head)

    def _begin_again(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.received, self.total, self.validator = 0, None, ""
        self._hash, self._head = hashlib.sha256(), b""

    def _too_large(self) -> Unanswered:
        return Unanswered(
            "too_large", f"It is larger than the {self.at_most} bytes that are accepted."
        )


def _judged(url: str) -> str:
    """The address as it is asked. Raises Unanswered for one that is never asked."""
    try:
        return require_address(url, most=MAX_URL)
    except Invalid as error:
        raise Unanswered(error.error_code, error.message) from None


def _joined(url: str, location: str) -> str:
    try:
        return str(httpx.URL(url).join(location).copy_with(fragment=None))
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Unanswered("address_refused", "It leads to what is no address.") from None


def _refusal(status: int) -> Unanswered:
    said = f"The server answered with status {status}."
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Unanswered(
            "source_forbidden", f"{said} The address must be readable without signing in."
        )
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return Unanswered("source_not_found", said)
    return (Broken if status in _LATER else Unanswered)("source_unavailable", said)


def _no_file(why: str) -> Unanswered:
    return Unanswered(
        "not_a_file",
        f"The address does not lead to a video file. {why} Pages of video sites and playlists are not "
        "fetched: give the address of the file itself, or upload it.",
    )


def _validator(headers: httpx.Headers) -> str:
    """The validator that `If-Range` may name: a strong ETag, or a date that names one version. Empty without one."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if _STRONG.fullmatch(etag) else ""
    try:
        date = headers["Last-Modified"].strip()
        changed = email.utils.parsedate_to_datetime(date)
        sent = email.utils.parsedate_to_datetime(headers["Date"])
        age = (sent - changed).total_seconds()
    except (KeyError, ValueError, TypeError):
        return ""
    return date if age >= _DATE_IS_STRONG and _DATE.fullmatch(date) else ""

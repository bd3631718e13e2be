"""One call: sent, sent again where that is safe, and its answer or its error."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import httpx

from clipforge_sdk.errors import APIError, ClipForgeError, NoAnswer
from clipforge_sdk.version import VERSION

# A file to upload: its path, or an open file that can be read again from its place.
Source = str | os.PathLike[str] | IO[bytes]

# Methods whose repetition changes nothing.
SAFE_TO_REPEAT = {"GET", "PUT", "DELETE"}
# Answers after which the same request may succeed. 429 was refused before it had any effect; of the
# others nobody knows, so that only what is safe to repeat is.
REFUSED = {httpx.codes.TOO_MANY_REQUESTS}
UNKNOWN = {408, 500, 502, 503, 504}
# While the same request, under the same key, still runs.
RUNNING = "request_in_progress"
CHUNK = 1 << 16


@dataclass(frozen=True)
class Retries:
    """How a call is repeated: so many attempts in all, none after a pause of more than `longest_pause` seconds.

    A pause is what `Retry-After` says, or else grows from half a second, with chance in it.
    """

    attempts: int = 5
    longest_pause: float = 60

    def pause(self, attempt: int, retry_after: float | None) -> float:
        if retry_after is not None:
            return retry_after
        backoff: float = min(8.0, 0.5 * 2 ** (attempt - 1))
        return backoff * random.uniform(0.5, 1)  # noqa: S311 - no secret


# Is told of progress: the bytes that are done, and of how many; None where nobody knows.
Told = Callable[[int, int | None], None]


def tell_nobody(done: int, total: int | None) -> None:
    pass


class Download:
    """A file that is coming. `save` writes it; or read `chunks()` inside `with`."""

    def __init__(self, opened: contextlib.AbstractContextManager[httpx.Response]) -> None:
        self._opened = opened

    def __enter__(self) -> httpx.Response:
        return self._opened.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self._opened.__exit__(*exc)

    def save(self, target: str | os.PathLike[str], *, told: Told = tell_nobody) -> Path:
        """Write the file; it appears whole, or not at all. Raises NoAnswer when the connection breaks."""
        target = Path(target)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with self as response, part.open("wb") as file:
                length = response.headers.get("Content-Length")
                done = 0
                for chunk in response.iter_bytes(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    told(done, int(length) if length else None)
            part.replace(target)
        except httpx.RequestError as error:
            raise NoAnswer(f"The connection broke: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return target


class Calls:
    """The base of the generated operations."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        retries: Retries,
        timeout: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retries = retries
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={
                "Authorization": f"Bearer {key}",
                "User-Agent": f"clipforge-sdk-python/{VERSION}",
            },
            timeout=timeout,
        )
        # For links that are a permission of their own, at hosts that must not see the key.
        self._links = httpx.Client(timeout=timeout, follow_redirects=True)

    def close(self) -> None:
        self._http.close()
        self._links.close()

    # --- what the operations use ---------------------------------------------------------

    def _json(self, method: str, address: str, **options: Any) -> Any:
        response = self._call(method, address, **options)
        return read_json(response) if response.content else None

    def _text(self, method: str, address: str, **options: Any) -> str:
        return self._call(method, address, **options).text

    def _file(self, method: str, address: str, **options: Any) -> Download:
        return Download(self._opened(method, address, **options))

    @staticmethod
    def _joined(values: Sequence[str] | None) -> str | None:
        return None if values is None else ",".join(values)

    # --- one call ------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self, method: str, address: str, **options: Any) -> Iterator[httpx.Response]:
        """The answer with its body still to be read; a redirect is followed, without the key."""
        response = self._call(method, address, stream=True, **options)
        try:
            if response.has_redirect_location:
                response.close()
                location = response.headers["Location"]
                request = self._links.build_request("GET", response.url.join(location))
                response = self._repeated(
                    lambda: self._links.send(request, stream=True), is_safe=True
                )
            yield response
        finally:
            response.close()

    def _call(
        self,
        method: str,
        address: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: bytes | None = None,
        content_type: str | None = None,
        file: Source | None = None,
        told: Told = tell_nobody,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """The answer. Raises APIError for 4xx and 5xx, NoAnswer where there is none."""
        sent = dict(headers or {})
        if idempotent:
            sent["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        names = {name: quote(value, safe="") for name, value in (path or {}).items()}
        url = address.format(**names)
        params = _parameters(query or {})
        is_safe = idempotent or method in SAFE_TO_REPEAT
        extra: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        if content is not None and content_type is not None:
            sent["Content-Type"] = content_type
        plain = _plain_body(body, content)

        with _form(file, body, told) if file is not None else plain as sendable:

            def send() -> httpx.Response:
                request = self._http.build_request(
                    method, url, params=params, headers=sent, **sendable(), **extra
                )
                return self._http.send(request, stream=stream)

            response = self._repeated(send, is_safe=is_safe)
        if response.has_redirect_location and not stream:
            raise ClipForgeError(
                f"The service is at another address: {response.headers['Location']}"
            )
        return response

    def _repeated(self, send: Callable[[], httpx.Response], *, is_safe: bool) -> httpx.Response:
        """The first answer that is no error; see `Retries`."""
        for attempt in itertools.count(1):
            is_last = attempt >= self._retries.attempts
            try:
                response = send()
                if not response.is_error:
                    return response
                response.read()
                response.close()
                error = APIError.of(response)
            except httpx.TransportError as broken:
                if is_last or not is_safe:
                    raise NoAnswer(f"{type(broken).__name__}: {broken}") from broken
                self._sleep(self._retries.pause(attempt, None))
                continue
            except httpx.RequestError as broken:  # redirects without end, a body that is none
                raise ClipForgeError(f"{type(broken).__name__}: {broken}") from broken
            pause = self._retries.pause(attempt, error.retry_after)
            is_worth = _is_worth_repeating(error, is_safe=is_safe)
            if is_last or not is_worth or pause > self._retries.longest_pause:
                raise error
            self._sleep(pause)
        raise AssertionError("unreachable")


def read_json(response: httpx.Response) -> Any:
    """The document that the answer is. Raises ClipForgeError."""
    try:
        return response.json()
    except ValueError as error:
        raise ClipForgeError("The answer is no JSON: it came from something in between.") from error


def _is_worth_repeating(error: APIError, *, is_safe: bool) -> bool:
    if error.status in REFUSED:
        # Without a time, the request alone is over the limit.
        return error.retry_after is not None
    return is_safe and (error.status in UNKNOWN or error.code == RUNNING)


def _parameters(query: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in query.items()
        if value is not None
    }


Content = Callable[[], dict[str, Any]]


@contextlib.contextmanager
def _plain_body(body: Any, content: bytes | None) -> Iterator[Content]:
    """A body that is sent as it is, or else as JSON."""
    if content is not None:
        yield lambda: {"content": content}
    else:
        yield lambda: {} if body is None else {"json": body}


@contextlib.contextmanager
def _form(source: Source, fields: Mapping[str, Any] | None, told: Told) -> Iterator[Content]:
    """A form with a file, which is read from the disk as it is sent, and again for each attempt."""
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            name = Path(source).name
            file: IO[bytes] = stack.enter_context(Path(source).open("rb"))
        else:
            name, file = Path(str(getattr(source, "name", "video"))).name, source
        start = file.tell()
        data = {
            key: json.dumps(value) if isinstance(value, dict) else value
            for key, value in (fields or {}).items()
            if value is not None
        }

        def content() -> dict[str, Any]:
            file.seek(start)
            return {"data": data, "files": {"file": (name, _Watched(file, told))}}

        yield content


class _Watched:
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], told: Told) -> None:
        self._file = file
        self._told = told
        self._start = file.tell()
        self._total = file.seek(0, os.SEEK_END) - self._start
        file.seek(self._start)

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._told(self.tell(), self._total)
        return chunk

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET:
            offset += self._start
        return self._file.seek(offset, whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

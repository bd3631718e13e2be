"""A client of the API, as a customer would write it: HTTP and JSON, without code of the service.

`manage.py demo` and the end-to-end tests use it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]

# Statuses that a project or an export does not leave by itself.
FINAL = {"READY", "EMPTY", "FAILED", "CANCELLED", "EXPIRED"}
# The pause between polls grows from the first to the second, so that a long job does not use up a
# limit.
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.2, 1.0
# Idle connections are closed after this, which is before a server would close them during a
# request.
KEEPALIVE_SECONDS = 2.0
# How often a request is sent in all while the answer is 429; each answer says how long to wait.
MAX_ATTEMPTS = 10


class ApiError(Exception):
    """An answer of 4xx or 5xx, with its problem document."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        try:
            self.problem: Json = response.json()
        except ValueError:
            self.problem = {"code": "unknown", "detail": response.text[:200]}
        super().__init__(f"{self.status} {self.problem.get('code')}: {self.problem.get('detail')}")


class Client:
    """`Client("http://127.0.0.1:8000", key)`. Every method raises ApiError."""

    def __init__(self, url: str, key: str, *, timeout: float = 60) -> None:
        self._http = httpx.Client(
            base_url=f"{url}/api/v1/",
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Json:
        return self._json(self._retrying_429(lambda: self._http.get(path, params=params)))

    def post(self, path: str, body: Json | None = None, *, key: str | None = None) -> Json:
        """POST under an Idempotency-Key; a fresh one unless given."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._json(
            self._retrying_429(lambda: self._http.post(path, json=body or {}, headers=headers))
        )

    def upload(self, video: Path, *, title: str = "", key: str | None = None) -> Json:
        """Create a project from a file, streamed from disk."""
        with video.open("rb") as file:
            response = self._http.post(
                "projects",
                files={"file": (video.name, file, "video/mp4")},
                data={"title": title} if title else {},
                headers={"Idempotency-Key": key or str(uuid.uuid4())},
            )
        return self._json(response)

    def wait(
        self,
        path: str,
        *,
        seconds: float = 3600,
        seen: Callable[[Json], None] = lambda _: None,
    ) -> Json:
        """Poll until the status is final. `seen` gets every answer. Raises TimeoutError."""
        deadline, pause = time.monotonic() + seconds, POLL_SECONDS
        while time.monotonic() < deadline:
            item = self.get(path)
            seen(item)
            if item["status"] in FINAL:
                return item
            time.sleep(pause)
            pause = min(pause * 1.1, LONGEST_POLL_SECONDS)
        raise TimeoutError(f"{path} was not finished after {seconds:g} s")

    def pages(self, path: str, **params: Any) -> Iterator[Json]:
        """Every row of a list, page by page."""
        while True:
            page = self.get(path, **params)
            yield from page["results"]
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    def download(self, export_id: str, target: Path) -> None:
        """Fetch a finished export through its signed URL; the file appears whole."""
        redirect = self._http.get(f"exports/{export_id}/download")
        if redirect.status_code != httpx.codes.FOUND:
            raise ApiError(redirect)
        part = target.with_name(f"{target.name}.part")
        # A client without our API key: the link alone is the permission.
        with httpx.stream("GET", redirect.headers["Location"], timeout=60) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise ApiError(response)
            with part.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
        part.replace(target)

    @staticmethod
    def _retrying_429(send: Callable[[], httpx.Response]) -> httpx.Response:
        """The first answer that is not 429, or the last of MAX_ATTEMPTS."""
        for _ in range(MAX_ATTEMPTS):
            response = send()
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(float(response.headers.get("Retry-After", POLL_SECONDS)))
        return response

    @staticmethod
    def _json(response: httpx.Response) -> Json:
        if not response.is_success:
            raise ApiError(response)
        body: Json = response.json()
        return body

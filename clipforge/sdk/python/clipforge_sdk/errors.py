"""The ways in which a call can fail. All of them are a ClipForgeError."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx


class ClipForgeError(Exception):
    """The base of all errors of this package."""


class NoAnswer(ClipForgeError):
    """The service did not answer, as often as it was asked: not reached, or the connection broke.

    Of a call under an idempotency key, the same key later has the same effect, once.
    """


class JobFailed(ClipForgeError):
    """A project or an export ended without a result. `job` is it; nothing was charged for it."""

    def __init__(self, job: Any) -> None:
        failure = job.get("error") or {}
        self.job = job
        self.code: str = failure.get("code") or job["status"].lower()
        super().__init__(failure.get("message") or f"It ended as {job['status']}.")


class StillRunning(ClipForgeError, TimeoutError):
    """A project or an export was not finished in time. It goes on; wait for it again."""


class APIError(ClipForgeError):
    """An answer of 4xx or 5xx: a problem document of RFC 9457.

    `code` is stable and meant for programs; `detail` is for people. Quote `request_id` to support.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.problem = _problem(response)
        self.code: str = self.problem.get("code") or "unknown"
        self.detail: str = self.problem.get("detail") or response.reason_phrase
        self.request_id: str | None = response.headers.get("X-Request-ID")
        self.retry_after = seconds_of(response.headers.get("Retry-After"))
        super().__init__(f"{self.detail} ({self.status} {self.code}, request {self.request_id})")

    @classmethod
    def of(cls, response: httpx.Response) -> APIError:
        """The error of this answer, in the class of its status."""
        is_theirs = response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
        kind = ServiceError if is_theirs else BY_STATUS.get(response.status_code, cls)
        return kind(response)


class AuthenticationError(APIError):
    """401: no API key, or one that is unknown, expired or revoked."""


class NotEnoughCredits(APIError):
    """402: `needed` and `available` are in credits."""

    @property
    def needed(self) -> int | None:
        return self.problem.get("needed")

    @property
    def available(self) -> int | None:
        return self.problem.get("available")


class PermissionDenied(APIError):
    """403: the organization is suspended, or the key may not do this."""


class NotFound(APIError):
    """404: not there, or another organization's."""


class Conflict(APIError):
    """409: the state does not allow it, or the same request is still running."""


class TooLarge(APIError):
    """413: a file or a body is too large."""


class UnsupportedMedia(APIError):
    """415: not a video that is accepted; `code` says why."""


class InvalidRequest(APIError):
    """422: a name or a value is wrong. `errors` points at members of the body."""

    @property
    def errors(self) -> list[dict[str, str]]:
        return self.problem.get("errors") or []


class RateLimited(APIError):
    """429: over a limit; `limit` names which, `retry_after` is in seconds."""

    @property
    def limit(self) -> str | None:
        return self.problem.get("limit")


class ServiceError(APIError):
    """5xx: the service, or something that it depends on, is down."""


BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    402: NotEnoughCredits,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedMedia,
    422: InvalidRequest,
    429: RateLimited,
}


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:  # a proxy in between
        found = None
    return found if isinstance(found, dict) else {}


def seconds_of(header: str | None) -> float | None:
    """`Retry-After` in seconds from now: a number, or a date, which proxies send. None for none."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = until.timestamp() - time.time()
    return max(0.0, seconds) if math.isfinite(seconds) else None

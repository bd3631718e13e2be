"""The ways in which a request can be refused, as the business sees them.

`status` is the HTTP status that the API answers with; `code` is stable and read by
programs; the message is for people and says how to put it right. Nothing here knows
about HTTP libraries: `clipforge.common.api.problems` does the translation.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal with a stable code. Keyword arguments become members of the problem document.

    `retry_after`, in seconds, says when the same request may succeed; None when only another will.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "Bad request"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: int | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code
        self.retry_after = retry_after
        self.extra = extra


class BadRequest(DomainError):
    """The request cannot be read: what it is made of is not HTTP, JSON, a form or text."""


class Forbidden(DomainError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(DomainError):
    """No such object, or one of another organization: the client is not told which."""

    status, code, title = 404, "not_found", "Not found"

    def __init__(self, message: str = "There is no such object in this organization.") -> None:
        super().__init__(message)


class RequestTimeout(DomainError):
    status, code, title = 408, "request_timeout", "Too slow"


class Conflict(DomainError):
    """The object is in a state in which this makes no sense, or the same request still runs."""

    status, code, title = 409, "wrong_state", "Wrong state"


class Gone(DomainError):
    status, code, title = 410, "gone", "Not there any more"


class TooLarge(DomainError):
    status, code, title = 413, "too_large", "Too large"


class UnsupportedMedia(DomainError):
    status, code, title = 415, "not_a_video", "Not a video that we accept"


class UnsupportedCoding(UnsupportedMedia):
    """The body is compressed. Bodies are read as they come: a small one could grow without a bound."""

    code, title = "unsupported_content_encoding", "Unsupported content coding"


class Invalid(DomainError):
    """The request can be read, and a name or a value in it is wrong, wherever it stands."""

    status, code, title = 422, "invalid", "Invalid value"


class RateLimited(DomainError):
    """Too much in too short a time, or at once. `limit` names which limit."""

    status, code, title = 429, "rate_limited", "Too many requests"


class Unavailable(DomainError):
    """Something that we depend on is down."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after: int = 5) -> None:
        super().__init__(message, code=code, retry_after=retry_after)


class StorageUnavailable(Unavailable):
    """The store cannot be reached, or does not answer as it should."""

    code, title = "storage_unavailable", "The storage is temporarily unavailable"


class StorageFull(Unavailable):
    status, code, title = 507, "storage_full", "Storage is full"


class StorageLimitReached(DomainError):
    """The tier allows no more. `limit` says how many bytes it allows."""

    status, code, title = 507, "storage_limit_reached", "The storage of the tier is used up"


class ClientTooSlow(ConnectionResetError):
    """The client kept us waiting. To gunicorn it went away; the API answers RequestTimeout."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the client is too slow")

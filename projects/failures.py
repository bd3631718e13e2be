"""How the work on a video fails, in an analysis and in an export alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clipforge.common.errors import NotFound
from clipforge.jobs.failures import INTERRUPTED, Failure
from clipforge.media import ErrorCode, MediaError, WarningCode
from clipforge.media.contracts import WARNINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE_MISSING = Failure(
    "source_missing",
    "The uploaded file is not there any more. You were not charged; upload it again.",
)

ERROR_CODES = frozenset({SOURCE_MISSING.code, *(code.value for code in ErrorCode)})


class NoTranscript(NotFound):
    code, title = "no_transcript", "No transcript"

    def __init__(self) -> None:
        super().__init__(
            "There is no transcript: the project is not analysed yet, nothing is spoken in it, or "
            "nothing in a language that is understood."
        )


def failure_of(error: Exception) -> Failure | None:
    """The failure that an error of the media code stands for; None for any other error."""
    if not isinstance(error, MediaError):
        return None
    if error.code is ErrorCode.CANCELLED:
        return INTERRUPTED
    return Failure(error.code.value, error.message)


def warnings_of(codes: Iterable[WarningCode]) -> list[dict[str, str]]:
    """Warnings of the media code as they are stored and shown."""
    return [{"code": code.value, "message": WARNINGS[code]} for code in codes]

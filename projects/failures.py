"""How the work on a video fails, in an analysis and in an export alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clipforge.common import fetching
from clipforge.common.errors import DomainError, NotFound
from clipforge.common.outbound import Unanswered
from clipforge.jobs.failures import INTERRUPTED, Failure
from clipforge.media import ErrorCode, MediaError, WarningCode
from clipforge.media.contracts import WARNINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

SOURCE_MISSING = Failure(
    "source_missing",
    "The uploaded file is not there any more. You were not charged; upload it again.",
)

# Of an import: what its server did, and what the file turned out to need. What is wrong with the video
# itself has the codes of the media code.
IMPORT_CODES = {
    **fetching.CODES,
    "bad_range": "The range that was wished for does not lie inside the source.",
    "insufficient_credits": "The analysis costs more credits than are available.",
    "key_cap_reached": "The analysis costs more than the key has left of its monthly cap.",
    "max_credits_exceeded": "The analysis costs more than the order allows.",
    "storage_limit_reached": "The tier stores no file of this size any more.",
}

ERROR_CODES = frozenset({SOURCE_MISSING.code, *IMPORT_CODES, *(code.value for code in ErrorCode)})

# What is wrong with the file or the order itself: a run of the same again ends in the same way. None of
# a limit, which may be raised, nor of the machine.
LASTING = frozenset(
    code.value
    for code in (
        ErrorCode.EMPTY_FILE,
        ErrorCode.NOT_A_VIDEO,
        ErrorCode.NO_VIDEO_STREAM,
        ErrorCode.UNSUPPORTED_CODEC,
        ErrorCode.BAD_DIMENSIONS,
        ErrorCode.TOO_SHORT,
        ErrorCode.TRUNCATED,
        ErrorCode.BAD_CAPTIONS,
        ErrorCode.NO_SUCH_TRACK,
        ErrorCode.BAD_RANGE,
    )
)


class NoTranscript(NotFound):
    code, title = "no_transcript", "No transcript"

    def __init__(self) -> None:
        super().__init__(
            "There is no transcript: the project is not analysed yet, nothing is spoken in it, or "
            "nothing in a language that is understood."
        )


def failure_of(error: Exception) -> Failure | None:
    """The failure that an error of the media code or of an import stands for; None for any other error."""
    match error:
        case MediaError(code=ErrorCode.CANCELLED):
            return INTERRUPTED
        case MediaError():
            if error.code is ErrorCode.DECODER_CRASHED:
                # Most such files are damaged; one may show a fault of ours.
                logger.error("the decoder crashed", exc_info=error)
            return Failure(error.code.value, error.message)
        case Unanswered():
            return Failure(error.code, f"{error.message} You were not charged.")
        case DomainError() if error.error_code in ERROR_CODES:
            return Failure(error.error_code, error.message)
    return None


def warnings_of(codes: Iterable[WarningCode]) -> list[dict[str, str]]:
    """Warnings of the media code as they are stored and shown."""
    return [{"code": code.value, "message": WARNINGS[code]} for code in codes]

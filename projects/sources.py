"""Looking at a source before anything is paid for it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from clipforge.common.api.files import UNFIT
from clipforge.common.errors import DomainError, Invalid, UnsupportedMedia
from clipforge.common.fetching import MAX_URL
from clipforge.common.outbound import require_address
from clipforge.media import ErrorCode, Limits, MediaError, SourceInfo, probe
from clipforge.media.contracts import not_a_video
from clipforge.media.signatures import may_be_video
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization

# A probe reads headers; a file that keeps it busy for longer is not one that we accept. Seconds.
PROBE_WALL_SECONDS = 20
PROBE_CPU_SECONDS = 15
# Bytes. Probes run beside one another, one a request; the largest picture that we accept needs less than half.
PROBE_MEMORY = 1 << 30

# Files that are no video at all, against videos with something wrong about them.
_NOT_A_VIDEO = {
    ErrorCode.EMPTY_FILE,
    ErrorCode.NOT_A_VIDEO,
    ErrorCode.NO_VIDEO_STREAM,
    ErrorCode.UNSUPPORTED_CODEC,
}


# Sites that show videos in pages: what their addresses lead to is never the file.
_PORTALS = frozenset(
    [
        "youtube.com",
        "youtu.be",
        "vimeo.com",
        "tiktok.com",
        "twitch.tv",
        "facebook.com",
        "fb.watch",
        "instagram.com",
        "x.com",
        "twitter.com",
        "dailymotion.com",
    ]
)


def require_importable(url: str) -> str:
    """The address of a file as it will be asked. Raises Invalid for one that never is."""
    address = require_address(url, most=MAX_URL)
    host = urlsplit(address).hostname or ""
    labels = host.rstrip(".").split(".")
    if any(".".join(labels[at:]) in _PORTALS for at in range(len(labels))):
        raise Invalid(
            f"{host} shows videos in pages; files are not fetched from there. Download the video where "
            "you may, and upload it.",
            code="not_a_file",
        )
    return address


def name_in(url: str) -> str:
    """The name of the file that an address ends with, as people write it. Empty without one."""
    return shown_name(unquote(urlsplit(url).path.rsplit("/", 1)[-1], errors="replace"))


def shown_name(name: str) -> str:
    """The name of a file without folders, and without what is not seen or turns a text."""
    return UNFIT.sub("", name).replace("\\", "/").rsplit("/", 1)[-1].strip()[:255]


def inspect_source(*, org: Organization, path: Path, audio_track: int | None = None) -> SourceInfo:
    """Probe an uploaded file in a child process. `audio_track` names the sound track to use.

    Raises UnsupportedMedia (415) for what is no video that we accept, and Invalid (422) for a
    video that is too long for the tier, too short, of impossible dimensions, or without the track that
    was named. The code is the probe's.
    """
    longest = org_selectors.limits_of(org).max_source_seconds
    limits = Limits(
        wall_seconds=PROBE_WALL_SECONDS,
        cpu_seconds=PROBE_CPU_SECONDS,
        memory_bytes=PROBE_MEMORY,
        max_duration=longest,
    )
    try:
        return probe(path, audio_track=audio_track, limits=limits)
    except MediaError as error:
        raise _refusal(error) from error


def require_video(head: bytes) -> None:
    """Raises UnsupportedMedia for the first HEAD_BYTES of a file that is certainly no video."""
    if not may_be_video(head):
        raise _refusal(not_a_video())


def _refusal(error: MediaError) -> DomainError:
    kind = UnsupportedMedia if error.code in _NOT_A_VIDEO else Invalid
    return kind(error.message, code=error.code.value)

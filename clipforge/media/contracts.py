"""Inputs, results and errors of the media code.

Plain data: JSON in, JSON out, because the work is done in a child process
(`clipforge.media.sandbox`). Times are seconds as floats, sizes are bytes, picture
sizes are pixels as shown (rotation already applied).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from clipforge.media.words.transcript import Transcript


class ErrorCode(StrEnum):
    """Stable codes of a refusal or failure. Clients see them; never rename one."""

    EMPTY_FILE = "empty_file"
    NOT_A_VIDEO = "not_a_video"  # not a container that we accept, or nothing in it decodes
    NO_VIDEO_STREAM = "no_video_stream"  # audio only, or only an attached picture
    UNSUPPORTED_CODEC = "unsupported_codec"
    BAD_DIMENSIONS = "bad_dimensions"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TRUNCATED = "truncated"  # the file ends before its declared duration
    BAD_CAPTIONS = "captions_not_drawable"  # letters that no font has, or too many words
    NOT_AN_IMAGE = "not_an_image"  # a watermark that is no picture, or too large a one
    NO_SUCH_TRACK = "no_such_audio_track"
    BAD_RANGE = "bad_range"  # start and end do not lie inside the source
    TIMED_OUT = "timed_out"  # wall clock or CPU limit
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_TOO_LARGE = "output_too_large"
    STORAGE_FULL = "storage_full"
    VERIFY_FAILED = "verify_failed"  # what was rendered is not what was asked for
    DECODER_CRASHED = "decoder_crashed"
    CANCELLED = "cancelled"  # `should_stop` returned true


class WarningCode(StrEnum):
    """Stable codes of what is missing in a result that was made all the same."""

    PICTURE_DAMAGED = "picture_damaged"
    SOUND_NOT_SUPPORTED = "sound_not_supported"


WARNINGS: Final[Mapping[WarningCode, str]] = {
    WarningCode.PICTURE_DAMAGED: (
        "Parts of the picture are damaged and were filled in from the pictures around them. "
        "Upload the file again if it plays well where it comes from."
    ),
    WarningCode.SOUND_NOT_SUPPORTED: (
        "The format of the sound is not supported, so there are only pictures. Convert the file to "
        "MP4 (H.264 and AAC) and upload it again."
    ),
}


# The pictures of a clip or a source: posters, and a sprite with its WebVTT.
POSTERS: Final = ("poster.jpg", "poster.webp")
PICTURES: Final = (*POSTERS, "strip.jpg", "strip.vtt")


class MediaError(Exception):
    """A media operation was refused or failed. `code` is stable, `message` is for people."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


ADVICE = "Convert it to MP4 (H.264 and AAC) and upload it again."


def not_a_video() -> MediaError:
    """The refusal of a file that is in no container that we accept."""
    return MediaError(
        ErrorCode.NOT_A_VIDEO, f"This file is not a video, or it is damaged. {ADVICE}"
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one child process. The defaults suit two-core machines."""

    wall_seconds: float = 3600
    cpu_seconds: int = 7200
    memory_bytes: int = 3 << 30
    output_bytes: int = 2 << 30
    max_duration: float = 4 * 3600
    max_pixels: int = 4096 * 2304


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """The properties of a source that a probe found."""

    container: str
    duration: float
    size: int
    width: int
    height: int
    fps: float
    video_codec: str
    audio_codec: str | None
    # The track that is heard, counted among the sound tracks; without meaning where there is none.
    audio_track: int = 0
    warnings: list[WarningCode] = field(default_factory=list)

    @property
    def has_audio(self) -> bool:
        return self.audio_codec is not None


class MomentKind(StrEnum):
    TALK = "talk"
    ACTION = "action"
    MUSIC = "music"


@dataclass(frozen=True, slots=True)
class ScoredMoment:
    """A stretch worth clipping. `score` and each of `subscores` lie in 0..100."""

    start: float
    end: float
    score: float
    subscores: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    kind: str = ""  # one of MomentKind
    title: str = ""  # in its own words, as is the line to quote; "" where nothing is said
    hook: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The wishes for a choice of moments; the defaults leave all of it to the selection.

    With a `count` the moments may cover all of the source, without one at most half. `start` and
    `end` bound the stretch in which they lie, `taken` are stretches that they stay out of.
    """

    count: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    start: float = 0.0
    end: float | None = None
    keywords: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # of MomentKind; none: all
    taken: tuple[tuple[float, float], ...] = ()


class Snap(StrEnum):
    """The places to which an edge of a moment may move."""

    WORD = "word"
    SENTENCE = "sentence"
    CUT = "cut"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Moments, best first. `others`: there are none, but without the wishes there would be."""

    moments: list[ScoredMoment]
    scorer_version: str
    others: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of `analyse`. No moments means: decoded well, nothing worth clipping.

    `features` is what choosing again needs, in base64; `others` is meant as in Chosen. `pictures` are the
    names of the files that were made besides.
    """

    source: SourceInfo
    moments: list[ScoredMoment]
    scorer_version: str
    # None where nothing is spoken, or nothing in a language that the model speaks.
    transcript: Transcript | None = None
    others: bool = False
    features: str = ""
    warnings: list[WarningCode] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Curves:
    """The score and the sub-scores over time, by name, 0..100: at half a step, one and a half, and so on.

    Each value rates `window` seconds around its time.
    """

    step: float
    window: float
    scorer_version: str
    values: dict[str, list[float]]


class Aspect(StrEnum):
    VERTICAL = "9:16"
    SQUARE = "1:1"
    WIDE = "16:9"
    SOURCE = "source"


class Format(StrEnum):
    """The container and codecs of a clip."""

    MP4 = "mp4"  # H.264 and AAC, which every phone plays
    HEVC = "mp4-hevc"
    AV1 = "mp4-av1"
    WEBM = "webm"  # VP9 and Opus


class Layout(StrEnum):
    """The ways to bring a picture into another shape."""

    AUTO = "auto"  # one of those below, by what is seen
    CROP = "crop"  # a part of the picture, which follows the subject
    FIT = "fit"  # the whole picture, with itself blurred above and below
    SPLIT = "split"  # two people, one above the other


class Tighten(StrEnum):
    """How much of the pauses is left out."""

    OFF = "off"
    GENTLE = "gentle"
    HARD = "hard"  # short pauses and filler words too


class CaptionMode(StrEnum):
    """The ways to draw captions into the pictures."""

    PLAIN = "plain"
    BOLD_WORD = "bold-word"  # the word that is spoken stands out
    KARAOKE = "karaoke"  # words change their colour when they are spoken, and keep it


class CaptionPosition(StrEnum):
    TOP = "top"
    MIDDLE = "middle"
    BOTTOM = "bottom"


class CaptionSize(StrEnum):
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class Captions:
    """Captions to draw: the words with their times in the source, and their look.

    Colours are `#rrggbb`; ValueError for any other.
    """

    transcript: Transcript
    mode: CaptionMode
    position: CaptionPosition = CaptionPosition.BOTTOM
    size: CaptionSize = CaptionSize.MEDIUM
    color: str = "#ffffff"
    highlight: str = "#ffd60a"

    def __post_init__(self) -> None:
        for color in (self.color, self.highlight):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
                raise ValueError(f"not a colour: {color!r}")

    def as_json(self) -> dict[str, Any]:
        return {
            "transcript": self.transcript.as_json(),
            "mode": self.mode,
            "position": self.position,
            "size": self.size,
            "color": self.color,
            "highlight": self.highlight,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Captions:
        return cls(
            transcript=Transcript.from_json(document["transcript"]),
            mode=CaptionMode(document["mode"]),
            position=CaptionPosition(document["position"]),
            size=CaptionSize(document["size"]),
            color=document["color"],
            highlight=document["highlight"],
        )


class WatermarkPosition(StrEnum):
    TOP_LEFT = "top-left"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM_RIGHT = "bottom-right"


@dataclass(frozen=True, slots=True)
class Mark:
    """An image to lay over a clip: a PNG that `operations.redraw` has written.

    `size` is its longer side, as a share of the clip's shorter one.
    """

    path: Path
    position: WatermarkPosition = WatermarkPosition.TOP_RIGHT
    opacity: float = 0.8
    size: float = 0.15

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Mark:
        position = WatermarkPosition(document["position"])
        return cls(**{**document, "path": Path(document["path"]), "position": position})


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face in a clip from `start` to `end` (seconds), as shares of the picture's height."""

    start: float
    end: float
    top: float
    bottom: float


@dataclass(frozen=True, slots=True)
class RenderSpec:
    """A clip to render: [start, end) of the source, reframed.

    `resolution` is the length of the shorter side in pixels (720 gives 720x1280 for
    9:16, 720x720 for 1:1, 1280x720 for 16:9). With `Aspect.SOURCE` the shape of the
    source is kept, and it is never enlarged. `fps` is the highest rate of pictures; it
    never raises the source's. Where `kept` has ranges of the source, in order and inside
    the clip's, only these are in the clip.
    """

    start: float
    end: float
    aspect: Aspect
    resolution: int
    fps: int | None = None
    format: Format = Format.MP4
    captions: Captions | None = None
    watermark: Mark | None = None
    layout: Layout = Layout.AUTO
    kept: tuple[tuple[float, float], ...] = ()
    # The sound track to use, counted among the sound tracks; None: the one that people hear.
    audio_track: int | None = None
    # Whether it is marked as one that was made for a test.
    is_test: bool = False

    def as_json(self) -> dict[str, Any]:
        captions = self.captions and self.captions.as_json()
        watermark = self.watermark and self.watermark.as_json()
        plain = asdict(replace(self, captions=None, watermark=None))
        return {**plain, "captions": captions, "watermark": watermark}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RenderSpec:
        captions, watermark = document["captions"], document["watermark"]
        return cls(
            **{
                **document,
                "aspect": Aspect(document["aspect"]),
                "layout": Layout(document["layout"]),
                "kept": tuple((first, last) for first, last in document["kept"]),
                "format": Format(document["format"]),
                "captions": captions and Captions.from_json(captions),
                "watermark": watermark and Mark.from_json(watermark),
            }
        )


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished, verified file."""

    duration: float
    width: int
    height: int
    size: int
    sha256: str
    # The layout that was chosen; None where the clip has the shape of its source.
    layout: str | None = None
    warnings: list[WarningCode] = field(default_factory=list)

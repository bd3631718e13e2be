"""Watermarks: an image of a customer's, written anew so that it is safe, and laid over clips. Runs in the child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clipforge.media import encoding, ffmpeg
from clipforge.media.captions.ass import Frame
from clipforge.media.contracts import (
    CaptionPosition,
    ErrorCode,
    Limits,
    Mark,
    MediaError,
    WatermarkPosition,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clipforge.media.contracts import RenderSpec

MAX_SIDE: Final = 2048  # pixels of an image that is accepted...
KEPT_SIDE: Final = 1024  # ...and of what is kept of it, which fills a third of a clip of 2160
MIN_SIDE: Final = 8
PNG: Final = b"\x89PNG\r\n\x1a\n"
# By how they begin: nothing is left to guess, and no other decoder ever sees the bytes.
FORMATS: Final = {"png": "png_pipe", "webp": "webp_pipe"}
# Where captions are, the watermark is on the other side.
OPPOSITE: Final = {
    WatermarkPosition.TOP_LEFT: WatermarkPosition.BOTTOM_LEFT,
    WatermarkPosition.TOP_RIGHT: WatermarkPosition.BOTTOM_RIGHT,
    WatermarkPosition.BOTTOM_LEFT: WatermarkPosition.TOP_LEFT,
    WatermarkPosition.BOTTOM_RIGHT: WatermarkPosition.TOP_RIGHT,
}
TOP: Final = frozenset({WatermarkPosition.TOP_LEFT, WatermarkPosition.TOP_RIGHT})
LEFT: Final = frozenset({WatermarkPosition.TOP_LEFT, WatermarkPosition.BOTTOM_LEFT})


def redraw(image: Path, target: Path, limits: Limits) -> tuple[int, int]:
    """Write the image as a plain PNG; its width and height. Raises MediaError for what is none."""
    with image.open("rb") as file:
        kind = _kind(file.read(16))
    within = f"scale=w='min(iw,{KEPT_SIDE})':h='min(ih,{KEPT_SIDE})'"
    filters = f"{within}:force_original_aspect_ratio=decrease:flags=area,format=rgba"
    command = [
        *("-v", "error", *_input(image, kind)),
        *("-map", "0:v:0", "-vf", filters, "-frames:v", "1", "-map_metadata", "-1"),
        *("-c:v", "png", "-f", "image2", "-update", "1", ffmpeg.url(target)),
    ]
    try:
        encoding.run(command, limits)
        with target.open("rb") as file:
            header = file.read(24)
    except (MediaError, OSError) as error:
        if isinstance(error, MediaError) and error.code is not ErrorCode.VERIFY_FAILED:
            raise
        raise _not_an_image() from error
    width, height = (int.from_bytes(header[at : at + 4]) for at in (16, 20))
    if not header.startswith(PNG) or min(width, height) < MIN_SIDE:
        raise _not_an_image()
    return width, height


def placed(spec: RenderSpec) -> Mark | None:
    """The watermark of a clip, out of the way of its captions."""
    mark, captions = spec.watermark, spec.captions
    if mark is None or captions is None:
        return mark
    taken = CaptionPosition.TOP if mark.position in TOP else CaptionPosition.BOTTOM
    position = OPPOSITE[mark.position] if captions.position == taken else mark.position
    return Mark(mark.path, position, mark.opacity, mark.size)


def input_arguments(mark: Mark) -> list[str]:
    """The input that its image is."""
    return _input(mark.path, "png")


def graph(
    mark: Mark,
    number: int,
    size: tuple[int, int],
    below: str,
    above: Sequence[str],
) -> str:
    """The filters of a clip with the image, which is the input of this `number`, ending in `[out]`.

    The pictures come from `below`; the filters `above` draw over it: it never covers captions.
    """
    width, height = size
    margins = Frame(width, height).margins
    side = round(mark.size * min(size))
    x = round(margins.side * width / 2)  # in from where platforms have buttons, not text
    left = str(x) if mark.position in LEFT else f"W-w-{x}"
    top = (
        str(round(margins.top * height))
        if mark.position in TOP
        else f"H-h-{round(margins.bottom * height)}"
    )
    return ";".join(
        (
            f"[0:V:0]{below}[clip]",
            f"[{number}:v:0]scale=w={side}:h={side}:force_original_aspect_ratio=decrease:flags=area,"
            f"format=rgba,colorchannelmixer=aa={mark.opacity:.3f}[mark]",
            f"[clip][mark]overlay=x={left}:y={top}:eof_action=repeat[marked]",
            f"[marked]{','.join(above) or 'null'}[out]",
        )
    )


def _kind(beginning: bytes) -> str:
    if beginning.startswith(PNG):
        return "png"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "webp"
    raise _not_an_image()


def _input(image: Path, kind: str) -> list[str]:
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", FORMATS[kind]),
        *("-codec_whitelist", kind, "-max_pixels", str(MAX_SIDE**2)),
        *("-threads", "1", "-f", FORMATS[kind], "-i", ffmpeg.url(image)),
    ]


def _not_an_image() -> MediaError:
    return MediaError(
        ErrorCode.NOT_AN_IMAGE,
        f"This is no PNG or WebP picture of {MIN_SIDE} to {MAX_SIDE} pixels a side. Choose another file.",
    )

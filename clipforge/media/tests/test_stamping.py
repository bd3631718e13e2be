"""Watermarks: what is accepted as an image, and where it is in a clip."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clipforge.media import Aspect, ErrorCode, MediaError, RenderSpec, operations
from clipforge.media.captions.tests.spoken import at
from clipforge.media.contracts import (
    CaptionMode,
    CaptionPosition,
    Captions,
    Format,
    Mark,
    WatermarkPosition,
)
from clipforge.media.tests.samples import make_video, run_ffmpeg

GREY = "geq=lum=128:cb=128:cr=128"


def image(path: Path, size: str = "200x100", color: str = "white", *options: str) -> Path:
    source = ("-f", "lavfi", "-i", f"color={color}:s={size},format=rgba")
    run_ffmpeg(*source, "-frames:v", "1", *options, path)
    return path


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stamping") / "grey.mp4"
    return make_video(path, seconds=2, picture="color", picture_filter=GREY, size="640x360")


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's [a]; mark, 100%")  # what a filter would take for syntax
    operations.redraw(image(folder / "given.png"), folder / "kept.png")
    return folder / "kept.png"


def refusal(path: Path, target: Path) -> ErrorCode:
    with pytest.raises(MediaError) as caught:
        operations.redraw(path, target)
    assert not target.exists() or target.stat().st_size == 0
    return caught.value.code


# --- what is accepted -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["v.png", "v.webp"])
def test_an_image_is_written_anew_as_a_png(tmp_path: Path, name: str):
    given = image(tmp_path / name)
    given.write_bytes(given.read_bytes() + b"<?php and what else may follow?>")
    assert operations.redraw(given, tmp_path / "kept.png") == (200, 100)
    content = (tmp_path / "kept.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"php" not in content


def test_a_large_one_is_made_smaller_in_its_shape(tmp_path: Path):
    given = image(tmp_path / "v.png", "2048x1024")
    assert operations.redraw(given, tmp_path / "kept.png") == (1024, 512)


def test_one_beyond_the_limit_of_pixels_is_refused(tmp_path: Path):
    given = image(tmp_path / "v.png", "2064x2064")
    assert refusal(given, tmp_path / "kept.png") is ErrorCode.NOT_AN_IMAGE


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is that large, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no image " * 100,
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 500,
        b"RIFF\x10\0\0\0WEBPVP8 " + b"\xff" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"GIF89a\x01\0\x01\0\0\0\0;",
        bomb(60_000, 60_000),
        bomb(1 << 30, 1),
        bomb(4, 4),
    ],
    ids=[
        "empty",
        "text",
        "no head",
        "noise",
        "webp noise",
        "svg",
        "list",
        "gif",
        "bomb",
        "line",
        "dot",
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes):
    given = tmp_path / "given.png"
    given.write_bytes(content)
    with pytest.raises(MediaError) as caught:
        operations.redraw(given, tmp_path / "kept.png")
    assert caught.value.code is ErrorCode.NOT_AN_IMAGE


# --- where it is in a clip ------------------------------------------------------------


def picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(frames) == 30
    assert (frames[0] > 180).sum() == pytest.approx((frames[-1] > 180).sum(), rel=0.1)
    return frames[-1].astype(int)


def render(grey: Path, folder: Path, mark: Mark | None, **changes: Any) -> np.ndarray:
    spec = replace(RenderSpec(0.5, 1.5, Aspect.VERTICAL, 360, watermark=mark), **changes)
    operations.render(grey, folder / "clip.mp4", spec)
    return picture(folder / "clip.mp4")


def box(shown: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is white."""
    rows, columns = np.nonzero(shown > 180)
    return (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + 1,
        int(rows.max()) + 1,
    )


# The clip is 360 x 640: in by 6 % at the sides, 14 % at the top, 24 % at the bottom. 20 % of 360 are 72.
@pytest.mark.parametrize(
    ("position", "left", "top"),
    [
        (WatermarkPosition.TOP_LEFT, 22, 90),
        (WatermarkPosition.TOP_RIGHT, 360 - 22 - 72, 90),
        (WatermarkPosition.BOTTOM_LEFT, 22, 640 - 154 - 36),
        (WatermarkPosition.BOTTOM_RIGHT, 360 - 22 - 72, 640 - 154 - 36),
    ],
)
def test_it_is_in_its_corner_at_its_size(
    grey: Path, mark: Path, tmp_path: Path, position: WatermarkPosition, left: int, top: int
):
    shown = render(grey, tmp_path, Mark(mark, position, opacity=1.0, size=0.2))
    assert box(shown) == pytest.approx((left, top, left + 72, top + 36), abs=2)


def test_half_of_it_lets_half_through(grey: Path, mark: Path, tmp_path: Path):
    shown = render(grey, tmp_path, Mark(mark, WatermarkPosition.TOP_LEFT, 0.5, 0.2))
    assert shown[100:115, 40:80].mean() == pytest.approx((130 + 255) / 2, abs=8)
    assert shown[300:340, 40:80].mean() == pytest.approx(130, abs=4)


@pytest.mark.parametrize("form", [Format.WEBM, Format.AV1])
def test_it_is_in_clips_of_every_format(grey: Path, mark: Path, tmp_path: Path, form: Format):
    target = tmp_path / "clip.mp4"
    wanted = Mark(mark, WatermarkPosition.TOP_LEFT, 1.0, 0.2)
    spec = RenderSpec(0.5, 1.5, Aspect.VERTICAL, 360, watermark=wanted, format=form)
    operations.render(grey, target, spec)
    assert box(picture(target)) == pytest.approx((22, 90, 94, 126), abs=3)


def test_it_is_in_tightened_clips(grey: Path, mark: Path, tmp_path: Path):
    wanted = Mark(mark, WatermarkPosition.TOP_LEFT, 1.0, 0.2)
    shown = render(grey, tmp_path, wanted, start=0.0, end=2.0, kept=((0.0, 0.5), (1.5, 2.0)))
    assert box(shown) == pytest.approx((22, 90, 94, 126), abs=2)


@pytest.mark.parametrize(
    ("captions", "position", "expected"),
    [
        (CaptionPosition.TOP, WatermarkPosition.TOP_LEFT, "bottom"),
        (CaptionPosition.BOTTOM, WatermarkPosition.BOTTOM_LEFT, "top"),
        (CaptionPosition.MIDDLE, WatermarkPosition.TOP_LEFT, "top"),
        (CaptionPosition.BOTTOM, WatermarkPosition.TOP_LEFT, "top"),
    ],
)
def test_it_makes_way_for_captions(
    grey: Path,
    mark: Path,
    tmp_path: Path,
    captions: CaptionPosition,
    position: WatermarkPosition,
    expected: str,
):
    words = Captions(at(("HHHHHHHHHHHH", 0.4, 1.6)), CaptionMode.PLAIN, captions)
    bare = render(grey, tmp_path, None, captions=words)
    shown = render(grey, tmp_path, Mark(mark, position, 1.0, 0.3), captions=words)
    spoken = np.nonzero((abs(bare - np.median(bare)) > 60).any(axis=1))[0]
    marked = np.nonzero((abs(shown - bare) > 60).any(axis=1))[0]
    assert not set(spoken) & set(marked)
    assert (marked.max() < 320) == (expected == "top")


def test_captions_are_drawn_over_it() -> None:
    from clipforge.media.stamping import graph

    wanted = Mark(Path("/mark.png"))
    said = graph(wanted, 2, (360, 640), "scale=360:640", ("ass=captions.ass",))
    assert said.endswith("[marked]ass=captions.ass[out]")


def test_a_spec_with_a_watermark_survives_json() -> None:
    spec = RenderSpec(0, 1, Aspect.SQUARE, 360, watermark=Mark(Path("/a/b.png"), size=0.3))
    assert RenderSpec.from_json(spec.as_json()) == spec

"""Clips with captions, other formats and lower frame rates, rendered in the sandbox."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clipforge.media import Aspect, ErrorCode, MediaError, RenderSpec, operations, rendering
from clipforge.media.captions.tests.spoken import at, spoken
from clipforge.media.contracts import CaptionMode, CaptionPosition, Captions, Format
from clipforge.media.tests.samples import AAC, H264, counted, make_counter, make_video, run_ffmpeg

GREY = "geq=lum=128:cb=128:cr=128"


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("options") / "grey.mp4"
    return make_video(path, seconds=4, picture="color", picture_filter=GREY, size="640x360")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    folder = tmp_path / "clips, it's [one]; 100%"  # what a filter would take for syntax
    folder.mkdir()
    return folder / "clip.mp4"


def wanted(**changes: Any) -> RenderSpec:
    return replace(RenderSpec(0.5, 3.5, Aspect.VERTICAL, 360), **changes)


def ink(path: Path) -> list[bool]:
    """For each frame, whether something white is drawn in it."""
    with av.open(str(path)) as container:
        return [bool((f.to_ndarray(format="gray") > 230).any()) for f in container.decode(video=0)]


# --- captions ----------------------------------------------------------------------


def test_captions_are_in_exactly_the_frames_of_their_time(grey: Path, clip: Path) -> None:
    """The word is spoken from 1.5 to 2.5 s of the source: from 1.0 to 2.0 s of the clip, and lingers."""
    captions = Captions(at(("Now", 1.5, 2.5)), CaptionMode.PLAIN)
    operations.render(grey, clip, wanted(captions=captions))
    shown = [number / 30 for number, has in enumerate(ink(clip)) if has]
    assert shown[0] == pytest.approx(1.0, abs=1 / 30)
    assert shown[-1] == pytest.approx(2.5 - 1 / 30, abs=1 / 30)
    assert len(shown) == 45


def test_frames_without_words_are_those_of_a_clip_without_captions(grey: Path, clip: Path) -> None:
    captions = Captions(at(("Now", 2.5, 3.5)), CaptionMode.KARAOKE)
    operations.render(grey, clip, wanted(captions=captions))
    bare = clip.with_name("bare.mp4")
    operations.render(grey, bare, wanted())
    with av.open(str(clip)) as one, av.open(str(bare)) as other:
        pairs = list(zip(one.decode(video=0), other.decode(video=0), strict=True))
    differences = [
        int(np.abs(a.to_ndarray().astype(int) - b.to_ndarray().astype(int)).max()) for a, b in pairs
    ]
    assert max(differences[:55]) <= 3  # the encoder, which knows what comes
    assert min(differences[65:]) > 50


def test_nothing_but_the_clip_is_left(grey: Path, clip: Path) -> None:
    captions = Captions(spoken("one two"), CaptionMode.PLAIN, CaptionPosition.TOP)
    operations.render(grey, clip, wanted(captions=captions))
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mp4"]


def test_captions_of_a_transport_stream_are_in_time(grey: Path, clip: Path) -> None:
    """Reading begins early there, and what comes before the clip is dropped."""
    source = clip.with_name("source.ts")
    run_ffmpeg("-i", grey, *H264, *AAC, source)
    captions = Captions(at(("Now", 1.5, 2.5)), CaptionMode.PLAIN)
    operations.render(source, clip, wanted(captions=captions))
    shown = [number / 30 for number, has in enumerate(ink(clip)) if has]
    assert shown[0] == pytest.approx(1.0, abs=1 / 30)
    assert len(shown) == 45


def test_captions_that_cannot_be_drawn_are_refused_and_nothing_is_left(
    grey: Path, clip: Path
) -> None:
    captions = Captions(spoken("ᚠᚢᚦ", start=1), CaptionMode.PLAIN)
    with pytest.raises(MediaError) as refused:
        operations.render(grey, clip, wanted(captions=captions))
    assert refused.value.code is ErrorCode.BAD_CAPTIONS
    assert list(clip.parent.iterdir()) == []


def test_words_full_of_syntax_are_drawn(grey: Path, clip: Path) -> None:
    words = "{\\an8}';[a]:%{n} \\N"  # control characters are in no transcript
    captions = Captions(at((words, 0.5, 3.5)), CaptionMode.PLAIN)
    operations.render(grey, clip, wanted(captions=captions))
    assert all(ink(clip)[3:60])


def test_a_spec_survives_json() -> None:
    captions = Captions(spoken("one two", language="he"), CaptionMode.KARAOKE, color="#010203")
    spec = wanted(captions=captions, fps=25, format=Format.WEBM, kept=((0.5, 1.5), (2.0, 3.0)))
    assert RenderSpec.from_json(json.loads(json.dumps(spec.as_json()))) == spec
    assert RenderSpec.from_json(json.loads(json.dumps(wanted().as_json()))) == wanted()


# --- formats and frame rates --------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "container", "video", "audio"),
    [
        (Format.MP4, "mov,mp4,m4a,3gp,3g2,mj2", "h264", "aac"),
        (Format.HEVC, "mov,mp4,m4a,3gp,3g2,mj2", "hevc", "aac"),
        (Format.AV1, "mov,mp4,m4a,3gp,3g2,mj2", "av1", "aac"),
        (Format.WEBM, "matroska,webm", "vp9", "opus"),
    ],
)
def test_a_clip_has_the_format_that_was_asked_for(
    grey: Path, clip: Path, chosen: Format, container: str, video: str, audio: str
) -> None:
    rendered = operations.render(grey, clip, wanted(format=chosen))
    found = operations.probe(clip)
    assert (found.container, found.video_codec, found.audio_codec) == (container, video, audio)
    assert (found.width, found.height, found.fps) == (360, 640, 30)
    assert rendered.duration == pytest.approx(3.0, abs=1 / 30)


def test_phones_find_hevc_by_its_tag(grey: Path, clip: Path) -> None:
    operations.render(grey, clip, wanted(format=Format.HEVC))
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize(
    ("fps", "at_most", "rate"),
    [
        (60, 30, Fraction(30)),
        (60, 24, Fraction(24)),
        (30, 60, Fraction(30)),
        (29.97, 30, Fraction(30000, 1001)),
        (25, None, Fraction(25)),
        (12.5, 50, Fraction(25)),
        (50, 50, Fraction(50)),
    ],
)
def test_the_rate_of_a_clip_is_never_above_the_sources(
    fps: float, at_most: int | None, rate: Fraction
) -> None:
    assert rendering.output_rate(fps, at_most) == rate


def test_half_the_rate_keeps_every_other_frame(tmp_path: Path) -> None:
    source = make_counter(tmp_path / "s.mp4", seconds=3, rate="50", options=(*H264, *AAC))
    clip = tmp_path / "clip.mp4"
    spec = RenderSpec(1.0, 2.0, Aspect.SOURCE, 90, fps=25)
    operations.render(source, clip, spec)
    assert counted(clip) == list(range(50, 100, 2))


def test_a_clip_of_four_times_the_pixels_may_have_four_times_the_bits() -> None:
    from clipforge.media import formats

    full = formats.pictures(Format.MP4, Fraction(30), 1080 * 1920)
    ultra = formats.pictures(Format.MP4, Fraction(30), 2160 * 3840)
    small = formats.pictures(Format.HEVC, Fraction(30), 480 * 854)
    newest = formats.pictures(Format.AV1, Fraction(30), 2160 * 3840)
    assert [found[found.index("-maxrate") + 1] for found in (full, ultra, small, newest)] == [
        "8000000",
        "32000000",
        "8000000",
        "32000000",
    ]


# --- tightening ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds whose frame N shows N, and whose second S has a tone of 300 + 100 S Hz."""
    folder = tmp_path_factory.mktemp("steps")
    counter = make_counter(folder / "c.mp4", seconds=6, rate="30", options=(*H264, *AAC))
    tone = "aevalsrc='sin(2*PI*(300+100*floor(t))*t)':s=48000:d=6"
    path = folder / "steps.mp4"
    run_ffmpeg(
        "-i", counter, "-f", "lavfi", "-i", tone, *("-map", "0:v", "-map", "1:a"), *H264, *AAC, path
    )
    return path


def pitches(path: Path) -> list[int]:
    """The pitch of each tenth of a second, in hundreds of Hz."""
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    tenth = 4800
    found = []
    for begin in range(0, len(sound) - tenth + 1, tenth):
        spectrum = np.abs(np.fft.rfft(sound[begin : begin + tenth] * np.hanning(tenth)))
        found.append(round(int(spectrum.argmax()) * 48000 / tenth / 100))
    return found


def test_only_what_is_kept_is_in_the_clip_and_sound_and_picture_stay_together(
    steps: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "clip.mp4"
    kept = ((1.0, 2.0), (3.0, 3.5), (5.0, 5.5))
    spec = RenderSpec(0.5, 5.5, Aspect.SOURCE, 90, kept=kept)
    rendered = operations.render(steps, clip, spec)
    assert rendered.duration == pytest.approx(2.0, abs=1 / 30)
    assert counted(clip) == [*range(30, 60), *range(90, 105), *range(150, 165)]
    heard = pitches(clip)
    # A tenth that a cut touches has both tones.
    assert heard[:9] == [4] * 9
    assert heard[11:14] == [6] * 3
    assert heard[16:19] == [8] * 3


def test_a_transport_stream_is_tightened_alike(steps: Path, tmp_path: Path) -> None:
    source, clip = tmp_path / "steps.ts", tmp_path / "clip.mp4"
    run_ffmpeg("-i", steps, *H264, *AAC, source)
    operations.render(
        source, clip, RenderSpec(0.5, 5.5, Aspect.SOURCE, 90, kept=((1.0, 2.0), (3.0, 3.5)))
    )
    shown = counted(clip)
    late = 30 - shown[0]  # the clock of a transport stream may begin within a frame
    assert late in {0, 1}
    assert shown == [*range(30 - late, 60 - late), *range(90 - late, 105 - late)]
    assert pitches(clip)[11:14] == [6] * 3


def test_a_cut_makes_no_click(tmp_path: Path) -> None:
    """A steady tone, cut where its wave does not fit: nothing is louder or rougher than the tone."""
    source = make_video(tmp_path / "s.mp4", seconds=4, sound="aevalsrc='0.5*sin(2*PI*311*t)'")
    clip = tmp_path / "clip.mp4"
    operations.render(
        source, clip, RenderSpec(0, 4, Aspect.SOURCE, 90, kept=((0.0, 1.2), (2.1, 3.0)))
    )
    with av.open(str(clip)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    jumps = np.abs(np.diff(sound))
    assert jumps[int(1.1 * 48000) : int(1.3 * 48000)].max() < 1.5 * jumps[4800:43200].max()


def test_captions_follow_the_shortened_time(grey: Path, clip: Path) -> None:
    """The word is spoken at 2.5 s of the source, a second and a half of which are left out before."""
    captions = Captions(at(("Now", 2.5, 3.0)), CaptionMode.PLAIN)
    spec = wanted(captions=captions, kept=((0.5, 1.0), (2.5, 3.5)))
    operations.render(grey, clip, spec)
    shown = [number / 30 for number, has in enumerate(ink(clip)) if has]
    assert shown[0] == pytest.approx(0.5, abs=1 / 30)
    assert len(shown) == 30


def test_a_range_of_which_nothing_is_kept_is_refused(grey: Path, clip: Path) -> None:
    with pytest.raises(MediaError) as refused:
        operations.render(grey, clip, wanted(kept=((1.0, 1.001),)))
    assert refused.value.code is ErrorCode.BAD_RANGE


# --- tests --------------------------------------------------------------------------


def test_a_clip_that_was_made_for_a_test_says_so_in_every_frame(grey: Path, clip: Path) -> None:
    operations.render(grey, clip, wanted(is_test=True, end=1.5))
    assert all(ink(clip))
    assert len(ink(clip)) == 30

"""Decoding real files: what arrives, how far, and what a damaged file leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipforge.media import Limits, decoding, probing
from clipforge.media.decoding import FRAME_BYTES, FRAME_RATE, SAMPLE_BYTES, SAMPLE_RATE
from clipforge.media.tests.samples import AAC, H264, make_video, run_ffmpeg

LIMITS = Limits()


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data += data


class Decoded:
    """The sound and pictures decoded from a file. `declared` overrides the duration (seconds) in its header."""

    def __init__(self, path: Path, *, limits: Limits = LIMITS, declared: float | None = None):
        source = probing.probe(path, LIMITS)
        if declared is not None:
            source = replace(source, duration=declared)
        audio, video = Kept(), Kept()
        self.progress: list[float] = []
        decoding.decode(
            path,
            source,
            limits=limits,
            audio=audio,
            video=video,
            on_progress=self.progress.append,
        )
        self.samples = np.frombuffer(audio.data, "<i2")
        self.frames = np.frombuffer(video.data, np.uint8).reshape(-1, FRAME_BYTES)

    @property
    def sound_seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    @property
    def picture_seconds(self) -> float:
        return len(self.frames) / FRAME_RATE


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("decoding") / "video.mp4", seconds=8)


def test_sound_and_pictures_come_at_the_promised_rates(video):
    decoded = Decoded(video)
    assert decoded.sound_seconds == pytest.approx(8, abs=0.1)
    assert len(decoded.frames) == 8 * FRAME_RATE


def test_progress_rises_to_one(video):
    progress = Decoded(video).progress
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert len(progress) >= 2


def test_the_same_file_gives_the_same_bytes(video):
    first, second = Decoded(video), Decoded(video)
    assert (first.samples == second.samples).all()
    assert (first.frames == second.frames).all()


def test_a_video_without_sound_gives_pictures_only(tmp_path):
    decoded = Decoded(make_video(tmp_path / "v.mp4", sound=None, options=H264))
    assert decoded.sound_seconds == 0
    assert decoded.picture_seconds == 3


def test_a_picture_that_starts_late_is_held_from_the_beginning(tmp_path):
    """Without that, everything seen would be placed a second too early."""
    path = tmp_path / "late.mkv"
    picture = ("-itsoffset", "2", "-f", "lavfi", "-i", "testsrc2=s=160x90:d=3")
    tone = ("-f", "lavfi", "-i", "sine=d=5")
    run_ffmpeg(*picture, *tone, *H264, *AAC, path)
    decoded = Decoded(path)
    assert decoded.picture_seconds == pytest.approx(5, abs=0.25)
    assert (decoded.frames[0] == decoded.frames[7]).all()
    assert (decoded.frames[8] != decoded.frames[12]).any()


def test_sound_that_starts_late_is_preceded_by_silence(tmp_path):
    path = tmp_path / "late.mkv"
    tone = ("-itsoffset", "2", "-f", "lavfi", "-i", "sine=d=3")
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:d=5")
    run_ffmpeg(*tone, *picture, *H264, *AAC, path)
    decoded = Decoded(path)
    assert decoded.sound_seconds == pytest.approx(5, abs=0.1)
    assert np.abs(decoded.samples[: int(1.9 * SAMPLE_RATE)]).max() < 10
    assert np.abs(decoded.samples[int(2.1 * SAMPLE_RATE) :]).max() > 1000


def test_a_cover_picture_is_not_the_video(tmp_path):
    cover, path = tmp_path / "cover.png", tmp_path / "v.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "color=white:s=64x64", "-frames:v", "1", cover)
    film = make_video(tmp_path / "film.mp4")
    maps = ("-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic")
    run_ffmpeg("-i", film, "-i", cover, *maps, path)
    assert Decoded(path).picture_seconds == 3


def test_a_gap_in_the_timestamps_is_filled_no_further_than_declared(tmp_path):
    path = tmp_path / "gap.mkv"
    jump = "setpts=PTS+gte(N\\,30)*3000/TB"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=2")
    run_ffmpeg(*picture, "-vf", jump, "-fps_mode", "passthrough", *H264, path)
    assert Decoded(path, declared=5).picture_seconds == 5 + decoding.OVERRUN
    limits = replace(LIMITS, max_duration=4)
    assert Decoded(path, limits=limits).picture_seconds == 4


def test_half_a_file_gives_half_the_pictures_and_no_error(video, tmp_path):
    whole, half = tmp_path / "whole.mp4", tmp_path / "half.mp4"
    run_ffmpeg("-i", video, "-c", "copy", "-movflags", "+faststart", whole)
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert 2 < Decoded(half).picture_seconds < 6


def test_damage_in_the_middle_does_not_end_the_decoding(video, tmp_path):
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(video.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    damaged.write_bytes(content)
    assert Decoded(damaged).picture_seconds == pytest.approx(8, abs=0.5)


def test_only_very_long_sources_are_judged_by_keyframes(video):
    source = probing.probe(video, LIMITS)
    hour, longer = replace(source, duration=3600.0), replace(source, duration=3601.0)
    assert not decoding.use_keyframes_only(hour)
    assert decoding.use_keyframes_only(longer)
    assert "nokey" not in decoding.input_arguments(video, hour, LIMITS)
    assert "nokey" in decoding.input_arguments(video, longer, LIMITS)


def test_keyframes_repeat_until_the_next_one(tmp_path):
    path = make_video(tmp_path / "v.mp4", seconds=8, options=(*H264, *AAC, "-g", "60"))
    frames = Decoded(path, declared=3601).frames  # a keyframe every two seconds
    changes = [i for i in range(1, len(frames)) if (frames[i] != frames[i - 1]).any()]
    assert changes == [8, 16, 24]


def test_a_sink_that_fails_leaves_no_decoder_behind(video):
    class Broken:
        def feed(self, _: bytes) -> None:
            raise MemoryError

    source = probing.probe(video, LIMITS)
    with pytest.raises(MemoryError):
        decoding.decode(
            video,
            source,
            limits=LIMITS,
            audio=Broken(),
            video=Broken(),
            on_progress=lambda _: None,
        )
    children = Path("/proc/thread-self/children").read_text().split()
    assert not [pid for pid in children if "ffmpeg" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_bytes_a_second_are_what_the_pipes_carry():
    assert SAMPLE_BYTES * SAMPLE_RATE + FRAME_BYTES * FRAME_RATE == 52_736


class TestOutputs:
    """Two graphs on one decoder can wait for each other for ever."""

    def test_several_of_pictures_share_one_graph(self):
        outputs = [
            ("fps=4", ["one"]),
            ("", ["-map", "0:a:0", "sound"]),
            ("fps=1,scale=2:2", ["two"]),
        ]
        assert decoding.written(outputs) == [
            "-filter_complex",
            "[0:V:0]split=2[copy0][copy1];[copy0]fps=4[shown0];[copy1]fps=1,scale=2:2[shown1]",
            *("-map", "[shown0]", "one"),
            *("-map", "0:a:0", "sound"),
            *("-map", "[shown1]", "two"),
        ]

    def test_a_single_one_has_its_filters_itself(self):
        outputs = [("fps=4", ["one"]), ("", ["-map", "0:a:0", "sound"])]
        assert decoding.written(outputs) == [
            *("-map", "0:V:0", "-vf", "fps=4", "one"),
            *("-map", "0:a:0", "sound"),
        ]

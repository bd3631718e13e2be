"""Analysing real files, from path to moments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clipforge.media import decoding, probing
from clipforge.media.analysis import analyse, check_complete
from clipforge.media.choosing import KEYFRAMES_SUFFIX
from clipforge.media.contracts import Analysis, ErrorCode, Limits, MediaError
from clipforge.media.sample import make_still
from clipforge.media.scoring import SCORER_VERSION
from clipforge.media.tests import tracks
from clipforge.media.tests.samples import AAC, H264, make_video, run_ffmpeg

LIMITS = Limits()
# Drums and blips: lively sound for a few lines of expression.
DRUMS = "aevalsrc='0.6*(random(0)-0.5)*exp(-18*mod(t,0.25))+0.3*sin(2*PI*60*t)*exp(-9*mod(t,0.5))'"
WHIRL = "scroll=horizontal=0.02:vertical=0.01"


def found(path: Path, limits: Limits = LIMITS) -> Analysis:
    return analyse(path, limits, lambda *_: None)


def refusal(path: Path) -> ErrorCode:
    with pytest.raises(MediaError) as caught:
        found(path)
    assert caught.value.message.endswith(".")
    assert str(path) not in caught.value.message
    return caught.value.code


@pytest.fixture(scope="module")
def lively(tmp_path_factory) -> Path:
    """Twenty seconds in which everything moves and sounds."""
    path = tmp_path_factory.mktemp("analysis") / "lively.mp4"
    options = (*H264, *AAC, "-movflags", "+faststart")
    return make_video(path, seconds=20, picture_filter=WHIRL, sound=DRUMS, options=options)


def test_a_lively_video_has_a_moment(lively):
    analysis = found(lively)
    (moment,) = analysis.moments
    assert analysis.scorer_version == SCORER_VERSION
    assert analysis.source.duration == pytest.approx(20)
    assert 0 <= moment.start < moment.end <= 20
    assert moment.score > 40
    assert set(moment.subscores) == {"speech", "energy", "motion", "pace", "opening"}
    assert moment.reason.endswith(".")


def test_the_stages_are_reported_in_order(lively):
    seen: list[tuple[str, float]] = []
    analyse(lively, LIMITS, lambda stage, share: seen.append((stage, share)))
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["probing", "decoding", "scoring"]
    assert seen[0] == ("probing", 0.0)
    assert seen[-1] == ("scoring", 1.0)


def test_the_same_file_gives_the_same_analysis(lively):
    assert found(lively) == found(lively)


def test_silence_over_a_still_picture_has_no_moments(tmp_path):
    path = tmp_path / "still.mp4"
    make_still(path, 30)
    assert found(path).moments == []


@pytest.mark.parametrize(
    "sound", ["sine=f=1000", "anoisesrc=c=pink:a=0.4", "anoisesrc=c=white:a=0.1", None]
)
def test_a_test_card_has_no_moments_whatever_steady_sound_it_has(tmp_path, sound):
    path = make_video(
        tmp_path / "card.mp4", seconds=20, size="160x90", picture="smptebars", sound=sound
    )
    assert found(path).moments == []


def test_a_video_without_sound_is_judged_by_its_pictures(lively, tmp_path):
    mute = tmp_path / "mute.mp4"
    run_ffmpeg("-i", lively, "-c", "copy", "-an", mute)
    (moment,) = found(mute).moments
    assert set(moment.subscores) == {"motion", "pace", "opening"}


def test_a_silent_track_counts_as_no_sound(lively, tmp_path):
    silent = tmp_path / "silent.mp4"
    run_ffmpeg("-i", lively, "-c:v", "copy", "-af", "volume=0", silent)
    (moment,) = found(silent).moments
    assert set(moment.subscores) == {"motion", "pace", "opening"}


def test_moments_end_where_the_pictures_end(tmp_path):
    """The sound goes on for twenty lively seconds more; they belong to no clip."""
    path = tmp_path / "long.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=15:d=20")
    drums = ("-f", "lavfi", "-i", f"{DRUMS}:d=40")
    run_ffmpeg(*picture, *drums, "-vf", WHIRL, *H264, *AAC, path)
    moments = found(path).moments
    assert moments
    assert all(moment.end <= 20 for moment in moments)


def test_a_picture_that_goes_on_after_the_sound_is_analysed_to_its_end(tmp_path):
    path = tmp_path / "long.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=15:d=40")
    drums = ("-f", "lavfi", "-i", f"{DRUMS}:d=15")
    run_ffmpeg(*picture, *drums, "-vf", WHIRL, *H264, *AAC, path)
    analysis = found(path)
    assert analysis.source.duration == pytest.approx(40, abs=0.1)
    assert analysis.moments


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_file_that_breaks_off_is_refused(lively, tmp_path, share):
    cut_off = tmp_path / "cut-off.mp4"
    content = lively.read_bytes()
    cut_off.write_bytes(content[: int(share * len(content))])
    assert refusal(cut_off) == ErrorCode.TRUNCATED


def test_a_file_whose_last_packets_are_missing_is_analysed(lively, tmp_path):
    nearly = tmp_path / "nearly.mp4"
    nearly.write_bytes(lively.read_bytes()[:-20_000])
    assert found(nearly).moments


def test_noise_is_not_a_video(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 400)
    assert refusal(path) == ErrorCode.NOT_A_VIDEO


def test_without_a_single_picture_it_is_not_a_video(lively):
    """The probe saw one picture, and then none came: refused, not EMPTY."""
    source = probing.probe(lively, LIMITS)
    with pytest.raises(MediaError) as caught:
        check_complete(source, tracks.sound(20), tracks.picture(0))
    assert caught.value.code == ErrorCode.NOT_A_VIDEO


@pytest.mark.parametrize(("missing", "complete"), [(1.9, True), (2.1, False)])
def test_two_seconds_may_be_missing(lively, missing, complete):
    source = probing.probe(lively, LIMITS)
    came = tracks.sound(20 - missing), tracks.picture(17.5)
    if complete:
        check_complete(source, *came)
    else:
        with pytest.raises(MediaError):
            check_complete(source, *came)


def test_a_single_picture_under_music_has_no_moments(tmp_path):
    path = tmp_path / "cover.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=30:d=0.03")
    run_ffmpeg(*picture, "-f", "lavfi", "-i", f"{DRUMS}:d=20", *H264, *AAC, path)
    assert found(path).moments == []


def test_a_source_over_the_limit_is_refused_before_it_is_decoded(lively):
    stages: list[str] = []
    with pytest.raises(MediaError) as caught:
        analyse(lively, replace(LIMITS, max_duration=10), lambda stage, _: stages.append(stage))
    assert caught.value.code == ErrorCode.TOO_LONG
    assert set(stages) == {"probing"}


def test_over_an_hour_keyframes_are_enough_and_the_version_says_so(lively, monkeypatch):
    monkeypatch.setattr(decoding, "KEYFRAMES_ONLY_ABOVE", 10.0)
    analysis = found(lively)
    assert analysis.scorer_version == SCORER_VERSION + KEYFRAMES_SUFFIX
    (moment,) = analysis.moments
    assert moment.end - moment.start >= 12

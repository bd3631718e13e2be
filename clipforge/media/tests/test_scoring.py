"""Scores of made-up seconds: exact numbers, bounds, and what a dull file gets."""

from __future__ import annotations

import numpy as np
import pytest

from clipforge.media.reasons import explain
from clipforge.media.scoring import SILENT_WEIGHTS, WEIGHTS, Ratings, Scorer
from clipforge.media.tests.tracks import seconds

FULL = {"speech": 1.0, "level": -10, "swing": 5, "flux": 5, "motion": 30, "cuts": 1}


def rate(scorer: Scorer, start: float, end: float) -> tuple[float, dict[str, float]]:
    return rated(scorer, (start, end)).of(0)


def rated(scorer: Scorer, *stretches: tuple[float, float]) -> Ratings:
    starts, ends = np.array(stretches, np.float64).T
    return scorer.rate(starts, ends)


def half(before: float, after: float) -> list[float]:
    """Sixty seconds: thirty of one value, thirty of another."""
    return [before] * 30 + [after] * 30


class TestNumbers:
    def test_nothing_scores_nothing(self):
        total, aspects = rate(Scorer(seconds(60)), 10, 25)
        assert total == 0
        assert aspects == {"speech": 0, "energy": 0, "motion": 0, "pace": 0, "opening": 0}

    def test_everything_that_stands_out_scores_full_marks(self):
        scorer = Scorer(seconds(60, **{name: half(0, value) for name, value in FULL.items()}))
        total, aspects = rate(scorer, 30, 60)
        assert total == 100
        assert (aspects["speech"], aspects["motion"]) == (100, 100)

    def test_what_is_the_same_all_through_loses_fifteen_percent(self):
        scorer = Scorer(seconds(60, speech=1))
        assert rate(scorer, 10, 25)[1]["speech"] == 85

    def test_what_is_far_below_the_rest_of_its_file_loses_thirty(self):
        scorer = Scorer(seconds(60, motion=[12.0] * 45 + [6.5] * 15))
        assert rate(scorer, 45, 60)[1]["motion"] == 35  # half way on the scale, less 30 %

    def test_a_talk_over_a_still_picture(self):
        talk = seconds(60, speech=0.7, level=-25, swing=2.5, flux=2.0)
        total, aspects = rate(Scorer(talk), 20, 40)
        assert aspects["speech"] == 85
        assert (
            aspects["energy"] == 68
        )  # four fifths of the way from -45 to -20 dBFS, as lively as can be
        assert total == pytest.approx(82, abs=1)

    def test_a_silent_film_is_judged_by_its_pictures(self):
        film = seconds(60, motion=half(0, 12), quiet=1, audible=False)
        total, aspects = rate(Scorer(film), 30, 60)
        assert set(aspects) == set(SILENT_WEIGHTS)
        assert aspects["motion"] == 100
        assert total == 72.4

    def test_fractions_of_a_second_count(self):
        scorer = Scorer(seconds(60, speech=half(0, 1)))
        assert rate(scorer, 29.5, 30.5)[1]["speech"] == pytest.approx(43, abs=8)
        assert rate(scorer, 20, 30)[1]["speech"] == 0

    def test_a_strong_aspect_counts_for_more_than_two_weak_ones(self):
        strong = Scorer(seconds(60, speech=half(0, 0.7)))
        weak = Scorer(seconds(60, speech=half(0, 0.2), motion=half(0, 4)))
        assert rate(strong, 30, 60)[0] > 2 * rate(weak, 30, 60)[0]

    def test_black_and_quiet_stretches_lose(self):
        plain, dark, quiet = (
            rate(Scorer(seconds(60, speech=1, **more)), 10, 25)[0]
            for more in ({}, {"dark": 1.0}, {"quiet": 1.0})
        )
        assert dark == pytest.approx(0.5 * plain, abs=0.1)
        assert quiet == pytest.approx(0.7 * plain, abs=0.1)


class TestMeaning:
    def test_a_loud_hum_has_no_energy(self):
        assert rate(Scorer(seconds(60, level=-10, swing=0.1, flux=0.2)), 0, 15)[1]["energy"] == 0

    def test_steady_noise_has_no_energy(self):
        assert rate(Scorer(seconds(60, level=-10, swing=0.2, flux=1.2)), 0, 15)[0] == 0

    def test_an_opening_counts_more_after_calm_than_amid_noise(self):
        scorer = Scorer(seconds(60, speech=half(0, 1)))
        after_calm, amid = rated(scorer, (30, 45), (40, 55)).aspects["opening"]
        assert after_calm > amid > 0

    def test_an_opening_is_its_first_three_seconds(self):
        scorer = Scorer(seconds(60, speech=half(0, 1)))
        assert rate(scorer, 26, 50)[1]["opening"] == 0

    def test_cuts_set_the_pace(self):
        cuts = [0.0] * 30 + [1.0, 0.0] * 15
        aspects = rate(Scorer(seconds(60, cuts=cuts)), 33, 57)[1]
        assert aspects["pace"] == 100
        assert aspects["motion"] == 0

    def test_each_cut_counts_in_the_shots_on_both_sides_of_it(self):
        """Two cuts in a minute: half of one in 40 s, two halves in 10 s, half of one in 10 s."""
        cuts = [0.0] * 40 + [1.0] + [0.0] * 9 + [1.0] + [0.0] * 9
        measured = Scorer(seconds(60, cuts=cuts))._sums["pace"]
        shots = [
            measured[40] / 40,
            (measured[50] - measured[40]) / 10,
            (measured[60] - measured[50]) / 10,
        ]
        assert shots == pytest.approx([0.5 / 40 / 0.4, 1 / 10 / 0.4, 0.5 / 10 / 0.4])

    def test_several_cuts_in_a_second_are_full_pace_in_it_alone(self):
        cuts = [0.0] * 30 + [2.0] + [0.0] * 29
        before, there, after = rated(
            Scorer(seconds(60, cuts=cuts)), (20, 30), (30, 31), (31, 41)
        ).aspects["pace"]
        assert there == 100
        assert max(before, after) < 10

    def test_a_cut_from_a_calm_scene_to_a_lively_one_leaves_the_calm_as_it_was(self):
        """Sounds that go on beyond the edges of a passage would else speak for a part of it."""
        lively, cut = half(0, 12), [0.0] * 30 + [1.0] + [0.0] * 29
        scorer = Scorer(seconds(60, motion=lively, cuts=cut))
        assert scorer.going_on(np.array([30.0]), np.array([54.0]))[0] == pytest.approx(
            0.52, abs=0.01
        )

    def test_the_best_of_a_dull_file_scores_low(self):
        """A moderate stir in an hour of nothing is not a highlight."""
        stir = [0.0] * 300 + [2.5] * 20 + [0.0] * 280
        best = max(
            rated(Scorer(seconds(600, motion=stir)), *[(s, s + 20.0) for s in range(580)]).total
        )
        assert best < 20

    def test_the_same_stretch_scores_higher_in_a_dull_file_than_in_a_lively_one(self):
        alone = Scorer(seconds(60, speech=half(0, 0.5)))
        among = Scorer(seconds(60, speech=half(0.7, 0.5)))
        assert rate(alone, 30, 60)[0] > rate(among, 30, 60)[0]


def test_scores_stay_within_bounds_whatever_comes_in():
    random = np.random.default_rng(0)
    for rows in (1, 2, 3, 7, 40, 200):
        given = {
            "speech": random.uniform(0, 1, rows),
            "level": random.uniform(-90, 6, rows),
            "swing": random.uniform(0, 40, rows),
            "flux": random.uniform(0, 40, rows),
            "quiet": random.uniform(0, 1, rows),
            "motion": random.uniform(0, 255, rows),
            "cuts": random.integers(0, 5, rows),
            "dark": random.uniform(0, 1, rows),
        }
        starts = random.uniform(0, rows, 100)
        ratings = Scorer(seconds(rows, **given)).rate(starts, starts + random.uniform(0, 90, 100))
        for values in (ratings.total, *ratings.aspects.values()):
            assert np.isfinite(values).all()
            assert values.min() >= 0
            assert values.max() <= 100


def test_weights_are_whole_with_sound_and_less_without():
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert sum(SILENT_WEIGHTS.values()) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("aspects", "sentence"),
    [
        ({"speech": 90, "energy": 20, "opening": 70}, "Dense speech and a strong opening."),
        ({"motion": 40, "pace": 80, "energy": 50}, "A fast pace, lively sound and movement."),
        ({"motion": 80, "pace": 10}, "A lot of movement."),
        ({"motion": 30, "pace": 20}, "Livelier than the rest of the video."),
        (
            {"speech": 90, "energy": 80, "motion": 70, "pace": 66, "opening": 65},
            "Dense speech, energetic sound and a lot of movement.",
        ),
    ],
)
def test_the_reason_names_the_strongest_aspects(aspects, sentence):
    assert explain(aspects) == sentence

"""Which stretches are chosen from made-up tracks, and where they are cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from clipforge.media.boundaries import LEAD, TAIL, Boundaries, Boundary, runs, speech_runs
from clipforge.media.contracts import ScoredMoment
from clipforge.media.features import HOP_RATE, Picture, Sound, per_second
from clipforge.media.scoring import Scorer
from clipforge.media.selection import LONGEST, MIN_SCORE, SHORTEST, lengths, select
from clipforge.media.tests import tracks


def chosen(sound: Sound, picture: Picture, duration: float) -> list[ScoredMoment]:
    boundaries = Boundaries(sound, picture, duration, exact_cuts=True)
    return select(Scorer(per_second(sound, picture, duration)), boundaries)


def spans(moments: list[ScoredMoment]) -> list[tuple[float, float]]:
    return sorted((moment.start, moment.end) for moment in moments)


def phrases(seconds: float, seed: int) -> list[tuple[float, float]]:
    """Talk: phrases of one to six seconds with pauses of 0.3 to 1.2."""
    random = np.random.default_rng(seed)
    found, time = [], 0.5
    while time < seconds - 7:
        length = float(random.uniform(1, 6))
        found.append((round(time, 2), round(time + length, 2)))
        time += length + float(random.uniform(0.3, 1.2))
    return found


class TestWhatIsChosen:
    def test_one_lively_stretch_is_one_moment(self):
        sound = tracks.sound(120, (40, 60))
        (moment,) = chosen(sound, tracks.picture(120), 120)
        assert moment.start == pytest.approx(40 - LEAD)
        assert moment.end == pytest.approx(60 + TAIL)
        assert moment.score > 60
        assert moment.subscores["speech"] == pytest.approx(98, abs=3)
        assert moment.reason.startswith("Dense speech")

    @pytest.mark.parametrize("duration", [8 + 4 / 15, 9.9996, 10.0004])
    def test_no_moment_ends_past_the_source_by_a_rounding_error(self, duration):
        (moment,) = chosen(tracks.sound(11, (0, 11)), tracks.picture(11), duration)
        assert duration - 0.02 < moment.end <= duration

    def test_nothing_is_chosen_where_nothing_happens(self):
        assert chosen(tracks.sound(120), tracks.picture(120), 120) == []

    def test_the_best_comes_first(self):
        sound = tracks.sound(200, (40, 50), (120, 140))
        moments = chosen(sound, tracks.picture(200), 200)
        scores = [moment.score for moment in moments]
        assert len(moments) == 2
        assert scores == sorted(scores, reverse=True)
        assert moments[0].start > 100

    @pytest.mark.parametrize(
        ("seconds", "least", "most"),
        [(30, 1, 1), (60, 2, 2), (120, 3, 5), (250, 7, 10), (1200, 10, 10)],
    )
    def test_the_number_of_moments_grows_with_the_source(self, seconds, least, most):
        sound = tracks.sound(seconds, *phrases(seconds, 0))
        assert least <= len(chosen(sound, tracks.picture(seconds), seconds)) <= most

    @pytest.mark.parametrize("seconds", [3, 6, 8.27, 12, 15, 20, 27.9])
    def test_a_short_source_gives_one_moment_of_most_of_it(self, seconds):
        sound = tracks.sound(seconds, lively=True)
        (moment,) = chosen(sound, tracks.picture(seconds, motion=9), seconds)
        assert 0 <= moment.start < moment.end <= seconds
        assert moment.end - moment.start >= 0.5 * seconds

    @pytest.mark.parametrize("seconds", [0.25, 1, 2.9])
    def test_under_three_seconds_there_is_nothing_to_clip(self, seconds):
        sound = tracks.sound(seconds, lively=True)
        assert chosen(sound, tracks.picture(seconds, motion=9), seconds) == []

    def test_windows_of_long_sources_are_15_to_60_seconds(self):
        assert lengths(600) == [15, 18, 22, 26, 32, 40, 50, 60]
        assert lengths(40) == [15, 18, 22, 26, 32, 40]
        assert lengths(12) == [9, 12]
        assert lengths(0.6) == [1]

    def test_the_same_tracks_give_the_same_moments(self):
        sound, picture = tracks.sound(300, *phrases(300, 3)), tracks.picture(300, motion=3)
        assert chosen(sound, picture, 300) == chosen(sound, picture, 300)


@pytest.mark.parametrize("seed", range(8))
def test_talk_is_cut_only_in_pauses_and_never_twice(seed):
    """Speech whole, no overlap, lengths and scores in bounds, on four minutes of talk."""
    spoken = phrases(240, seed)
    random = np.random.default_rng(seed)
    cuts = tuple(sorted(random.uniform(1, 239, 60).tolist()))
    sound, picture = tracks.sound(240, *spoken), tracks.picture(240, motion=4, cuts=cuts)
    moments = chosen(sound, picture, 240)
    assert len(moments) >= 5
    for edge in itertools.chain.from_iterable(spans(moments)):
        assert not any(start < edge < end for start, end in spoken)
    for (_, end), (start, _) in itertools.pairwise(spans(moments)):
        assert start >= end
    for moment in moments:
        assert SHORTEST <= moment.end - moment.start <= LONGEST
        assert MIN_SCORE <= moment.score <= 100
        assert all(0 <= value <= 100 for value in moment.subscores.values())


class TestEdges:
    def boundaries(self, sound: Sound, *cuts: float, exact_cuts: bool = True) -> Boundaries:
        picture = tracks.picture(sound.seconds, cuts=cuts)
        return Boundaries(sound, picture, sound.seconds, exact_cuts=exact_cuts)

    def best(self, places: list[Boundary]) -> float:
        return min(places, key=lambda place: place.cost).time

    def test_a_start_moves_to_just_before_a_phrase(self):
        boundaries = self.boundaries(tracks.sound(60, (20, 30), (31, 40)))
        assert self.best(boundaries.starts(21)) == pytest.approx(20 - LEAD)

    def test_an_end_moves_to_just_after_a_phrase(self):
        boundaries = self.boundaries(tracks.sound(60, (20, 30), (31, 40)))
        assert self.best(boundaries.ends(39)) == pytest.approx(40 + TAIL)

    def test_a_long_pause_is_worth_going_further_than_a_breath(self):
        boundaries = self.boundaries(tracks.sound(60, (10, 20), (20.3, 22), (22.8, 30)))
        assert self.best(boundaries.ends(20.9)) == pytest.approx(22 + TAIL)

    def test_the_margins_do_not_reach_the_next_phrase(self):
        boundaries = self.boundaries(tracks.sound(60, (10, 20), (20.3, 30)))
        assert self.best(boundaries.ends(20)) == pytest.approx(20.15)
        assert self.best(boundaries.starts(20.3)) == pytest.approx(20.15)

    def test_a_cut_is_kept_clear_of_by_an_eighth_of_a_second(self):
        boundaries = self.boundaries(tracks.sound(60, lively=True), 20)
        assert self.best(boundaries.starts(21)) == pytest.approx(20.125)
        assert self.best(boundaries.ends(21)) == pytest.approx(19.875)

    def test_a_cut_within_speech_is_not_used(self):
        boundaries = self.boundaries(tracks.sound(60, (10, 30)), 20)
        assert all(place.cost > 50 for place in boundaries.starts(20.5))

    def test_cuts_between_keyframes_are_not_used(self):
        boundaries = self.boundaries(tracks.sound(60, lively=True), 20, exact_cuts=False)
        assert self.best(boundaries.starts(21)) == 21

    def test_without_a_pause_in_reach_the_quietest_point_is_taken(self):
        sound = tracks.sound(60, (5, 55))
        sound.level[29 * HOP_RATE : 29 * HOP_RATE + 4] = -34
        (place,) = self.boundaries(sound).starts(30)
        assert place.time == pytest.approx(29.1, abs=0.06)

    def test_without_sound_every_second_will_do(self):
        boundaries = self.boundaries(tracks.sound(0.0))
        assert boundaries.starts(0.0)

    def test_clicks_are_no_speech_and_short_gaps_no_pauses(self):
        speech = tracks.sound(10, (1, 2), (2.2, 3), (5, 5.05)).speech
        assert speech_runs(speech).tolist() == [[1, 3]]

    def test_runs_are_start_and_end_in_seconds(self):
        mask = np.array([1, 1, 0, 0, 1, 0, 1, 1], np.bool_)
        assert runs(mask, 4).tolist() == [[0, 0.5], [1, 1.25], [1.5, 2]]

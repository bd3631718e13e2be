"""Which stretches are chosen from made-up tracks, and where they are cut."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from clipforge.media.boundaries import LEAD, TAIL, Boundaries, Boundary, runs, speech_runs
from clipforge.media.contracts import Choice, ScoredMoment
from clipforge.media.features import FLOOR_DB, Picture, Sound, per_second
from clipforge.media.kept_format import HOP_RATE
from clipforge.media.repeats import Repeats
from clipforge.media.scoring import Scorer
from clipforge.media.selection import LONGEST, MIN_SCORE, SHORTEST, lengths, select
from clipforge.media.tests import tracks


def chosen(sound: Sound, picture: Picture, duration: float, **wishes: Any) -> list[ScoredMoment]:
    boundaries = Boundaries(sound, picture, duration, exact_cuts=True)
    seconds = per_second(sound, picture, duration)
    repeats = Repeats(sound, picture, audible=seconds.audible)
    return select(Scorer(seconds), boundaries, Choice(**wishes), repeats)


def covered(moments: list[ScoredMoment]) -> float:
    return sum(moment.end - moment.start for moment in moments)


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


def shifted(spoken: list[tuple[float, float]], by: float) -> list[tuple[float, float]]:
    return [(start + by, end + by) for start, end in spoken]


def four_times(seconds: int) -> tuple[Sound, Picture]:
    """The same passage of talk, four times over."""
    random = np.random.default_rng(11)
    one = tracks.sound(seconds, *phrases(seconds, 9))
    one.level[:] += random.normal(0, 5, len(one.level)) * (one.level > FLOOR_DB + 20)
    luma = np.repeat(random.uniform(60, 140, seconds), 4)
    sound = Sound(
        level=np.tile(one.level, 4),
        voice=np.tile(one.voice, 4),
        flux=np.tile(one.flux, 4),
        speech=np.tile(one.speech, 4),
    )
    picture = tracks.picture(4 * seconds, motion=4)
    picture.luma[:] = np.tile(luma, 4)
    return sound, picture


def calm_camera(seconds: int) -> Picture:
    """Noise of the sensor, leaves, and a light that changes: what a camera sees all night."""
    random = np.random.default_rng(3)
    picture = tracks.picture(seconds)
    picture.motion[:] = 0.8 + random.exponential(0.4, len(picture.motion))
    return picture


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
        [(30, 1, 1), (60, 1, 1), (120, 2, 3), (250, 4, 5), (1200, 10, 10)],
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

    def test_windows_of_long_sources_are_15_to_90_seconds(self):
        assert lengths(600) == [15, 18, 22, 26, 30, 35, 40, 46, 53, 60, 68, 78, 90]
        assert lengths(40) == [15, 18, 22, 26, 30, 35, 40]
        assert lengths(12) == [9, 12]
        assert lengths(0.6) == [1]

    def test_the_same_tracks_give_the_same_moments(self):
        sound, picture = tracks.sound(300, *phrases(300, 3)), tracks.picture(300, motion=3)
        assert chosen(sound, picture, 300) == chosen(sound, picture, 300)


class TestPlanted:
    """Calm recordings with something in them, of which everything is known."""

    @pytest.mark.parametrize("length", [25, 40, 55, 85])
    def test_a_passage_is_one_moment_from_its_beginning_to_its_end(self, length):
        sound = tracks.sound(300, *shifted(phrases(length, 1), 100))
        (moment,) = chosen(sound, tracks.picture(300), 300)
        spoken = shifted(phrases(length, 1), 100)
        assert moment.start == pytest.approx(spoken[0][0] - LEAD, abs=0.03)
        assert moment.end == pytest.approx(spoken[-1][1] + TAIL, abs=0.03)

    def test_a_crowd_18_db_over_the_ambience_comes_before_a_dull_talk(self):
        sound = tracks.sound(300, *[(start, start + 0.5) for start in range(200, 230, 2)])
        sound.level[sound.level < -50] = -40
        surge = slice(100 * HOP_RATE, 120 * HOP_RATE)
        sound.level[surge] = sound.voice[surge] = -22
        first, *rest = chosen(sound, tracks.picture(300), 300)
        assert [first.start, first.end] == pytest.approx([100, 120], abs=3)
        assert first.subscores["energy"] > 75
        assert "16 dB above the rest" in first.reason
        assert all(moment.score < first.score for moment in rest)

    def test_of_the_same_passage_four_times_one_is_chosen(self):
        moments = chosen(*four_times(50), 200)
        assert moments
        places = [(moment.start % 50, moment.end % 50) for moment in moments]
        for (start, end), (other_start, other_end) in itertools.combinations(places, 2):
            shared = min(end, other_end) - max(start, other_start)
            assert shared <= 0.4 * min(end - start, other_end - other_start)

    def test_the_same_song_under_other_pictures_is_another_passage(self):
        sound, _ = four_times(50)
        random = np.random.default_rng(5)
        films = tracks.picture(200, motion=4)
        films.luma[:] = np.repeat(random.uniform(20, 230, 200), 4)
        other = Repeats(sound, films, audible=True)
        same = Repeats(*four_times(50), audible=True)
        assert same.of(10, 40, 200).sum() >= 3 * 28
        assert other.of(10, 40, 200).sum() == 0

    def test_a_passage_that_comes_again_softer_and_a_fraction_later_is_known(self):
        sound, picture = four_times(50)
        late = np.roll(sound.level, 1)
        late[100 * HOP_RATE : 150 * HOP_RATE] -= 8
        again = Repeats(
            Sound(late, sound.voice, sound.flux, sound.speech), picture, audible=True
        ).of(10, 40, 200)
        assert again[112:138].all()

    def test_a_calm_camera_without_sound_has_nothing(self):
        assert chosen(tracks.sound(0), calm_camera(600), 600) == []

    def test_of_a_calm_camera_only_the_action_is_chosen(self):
        picture = calm_camera(600)
        picture.motion[300 * 4 : 325 * 4] = 14
        (moment,) = chosen(tracks.sound(0), picture, 600)
        assert [moment.start, moment.end] == pytest.approx([300, 325], abs=3)
        assert moment.reason.startswith("A lot of movement")

    def test_an_opening_alone_is_no_reason_to_clip(self):
        """Ten seconds of a little stir, again and again: each is a rise after calm."""
        picture = calm_camera(600)
        for start in range(60, 600, 60):
            picture.motion[start * 4 : (start + 10) * 4] = 4.5
        assert chosen(tracks.sound(0), picture, 600) == []

    def test_a_talk_is_covered_to_half_at_most_unless_more_is_asked_for(self):
        for seed in range(4):
            sound = tracks.sound(330, *phrases(330, seed))
            assert covered(chosen(sound, tracks.picture(330), 330)) <= 165
        assert covered(chosen(sound, tracks.picture(330), 330, count=12)) > 200

    def test_an_hour_is_chosen_from_all_over(self):
        sound = tracks.sound(3600, *phrases(3600, 4))
        starts = sorted(m.start for m in chosen(sound, tracks.picture(3600), 3600))
        assert len(starts) == 10
        assert max(later - start for start, later in itertools.pairwise([0, *starts, 3600])) < 900

    def test_no_two_reasons_are_the_same(self):
        random = np.random.default_rng(2)
        cuts = tuple(sorted(random.uniform(1, 599, 90).tolist()))
        sound = tracks.sound(600, *phrases(600, 2))
        moments = chosen(sound, tracks.picture(600, motion=3, cuts=cuts), 600)
        assert len({moment.reason for moment in moments}) == len(moments) == 10


class TestWishes:
    def talk(self, **wishes: Any) -> list[ScoredMoment]:
        return chosen(tracks.sound(600, *phrases(600, 7)), tracks.picture(600), 600, **wishes)

    @pytest.mark.parametrize("count", [1, 2, 12, 30])
    def test_so_many_moments_as_are_asked_for(self, count):
        assert len(self.talk(count=count, max_seconds=18, min_seconds=5)) == count

    @pytest.mark.parametrize(("least", "most"), [(3, 6), (10, 20), (60, 75), (100, 180)])
    def test_lengths_lie_in_the_bounds_that_are_asked_for(self, least, most):
        moments = self.talk(min_seconds=least, max_seconds=most)
        assert moments
        assert all(least <= moment.end - moment.start <= most for moment in moments)

    def test_moments_lie_in_the_range_that_is_asked_for(self):
        moments = self.talk(start=120, end=300)
        assert moments
        assert all(moment.start >= 120 and moment.end <= 300 for moment in moments)
        assert covered(moments) <= 90

    def test_moments_stay_out_of_what_is_taken(self):
        whole = spans(self.talk())
        rest = spans(self.talk(taken=tuple(whole)))
        assert rest
        for start, end in rest:
            assert all(end <= taken_start or start >= taken_end for taken_start, taken_end in whole)

    def test_kinds_that_are_not_asked_for_are_left_out(self):
        sound = tracks.sound(300, (40, 60))
        picture = tracks.picture(300)
        picture.motion[200 * 4 : 220 * 4] = 30
        drums = slice(120 * HOP_RATE, 145 * HOP_RATE)
        sound.level[drums] = -18
        sound.flux[drums] = np.where(np.arange(25 * HOP_RATE) % 10 == 0, 12, 0.5)
        kinds = {m.kind: m.start for m in chosen(sound, picture, 300)}
        assert set(kinds) == {"talk", "action", "music"}
        assert kinds["music"] == pytest.approx(120, abs=3)
        for kind in kinds:
            (moment,) = chosen(sound, picture, 300, kinds=(kind,))
            assert moment.kind == kind
            assert moment.start == pytest.approx(kinds[kind], abs=3)

    @pytest.mark.parametrize(
        "wishes",
        [
            {"start": 599.5},
            {"start": 300, "end": 302},
            {"start": 700},
            {"min_seconds": 170, "end": 100},
            {"taken": ((0.0, 600.0),)},
        ],
    )
    def test_wishes_that_leave_no_room_get_nothing(self, wishes):
        assert self.talk(**wishes) == []


@pytest.mark.parametrize("seed", range(8))
def test_talk_is_cut_only_in_pauses_and_never_twice(seed):
    """Speech whole, no overlap, lengths and scores in bounds, on four minutes of talk."""
    spoken = phrases(240, seed)
    random = np.random.default_rng(seed)
    cuts = tuple(sorted(random.uniform(1, 239, 60).tolist()))
    sound, picture = tracks.sound(240, *spoken), tracks.picture(240, motion=4, cuts=cuts)
    moments = chosen(sound, picture, 240, count=8)
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

"""Ranges that tightening keeps, and the places of the words afterwards."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from clipforge.media import kept_format, tightening
from clipforge.media.captions.tests.spoken import at, spoken
from clipforge.media.contracts import Tighten
from clipforge.media.kept import keep
from clipforge.media.sample import ADDRESS
from clipforge.media.speech.tests import speakers
from clipforge.media.tests import tracks
from clipforge.media.words.transcript import Transcript, Word

PAUSE = at(("one", 1.0, 1.5), ("two", 3.5, 4.0), ("three", 4.6, 5.0))
RATE = Fraction(30)


def kept(
    transcript: Transcript, how: str, start: float = 0, end: float = 6
) -> list[tuple[float, float]]:
    found = tightening.kept(transcript, start, end, Tighten(how))
    return [(round(first, 3), round(last, 3)) for first, last in found]


def test_off_keeps_everything() -> None:
    assert kept(PAUSE, "off") == [(0, 6)]


def test_gentle_leaves_half_a_second_of_each_pause_of_more_than_one() -> None:
    """At the ends a quarter: there is a word on one side only."""
    assert kept(PAUSE, "gentle", 0.5, 5.5) == [(0.5, 1.75), (3.25, 5.5)]


def test_hard_leaves_a_fifth_of_a_second_of_each_pause_of_more_than_045() -> None:
    assert kept(PAUSE, "hard") == [(0.9, 1.6), (3.4, 4.1), (4.5, 5.1)]


def test_a_pause_is_left_out_when_it_is_longer_than_the_rule_says_and_not_at_it() -> None:
    just = at(("one", 0.0, 1.0), ("two", 2.0, 3.0))
    longer = at(("one", 0.0, 1.0), ("two", 2.001, 3.0))
    assert kept(just, "gentle", 0, 3) == [(0, 3)]
    assert kept(longer, "gentle", 0, 3.0) == [(0, 1.25), (1.751, 3.0)]


def test_fillers_go_whole_however_near_the_words_are() -> None:
    said = at(("So", 0.0, 0.5), ("um,", 0.55, 0.9), ("yes.", 0.95, 1.5))
    assert kept(said, "hard", 0, 1.5) == [(0, 0.55), (0.9, 1.5)]
    assert kept(said, "gentle", 0, 1.5) == [(0, 1.5)]


def test_without_words_pauses_between_phrases_are_left_out() -> None:
    """A margin of 0.15 s is speech too, breaths part no phrase, and a click is none."""
    said = [(1.0, 2.0), (2.3, 3.0), (4.0, 4.15), (5.0, 6.0)]
    found = tightening.kept_phrases(said, 0, 8, Tighten.GENTLE)
    assert [(round(first, 3), round(last, 3)) for first, last in found] == [(0, 3.4), (4.6, 6.4)]
    assert tightening.kept_phrases(said, 0, 8, Tighten.OFF) == [(0, 8)]
    assert tightening.kept_phrases([], 0, 8, Tighten.HARD) == [(0, 8)]


def test_silence_between_two_people_goes_and_what_they_say_stays() -> None:
    """Recordings of people, heard by the detector of speech alone."""
    address = speakers.sound_of(ADDRESS)
    spool, sound = speakers.spooled(address + speakers.silence(4) + address)
    spool.close()
    features = keep(sound, tracks.picture(sound.seconds), sound.seconds, exact_cuts=True)
    spoken = kept_format.phrases(features, 0, sound.seconds)
    found = tightening.kept_phrases(spoken, 0, sound.seconds, Tighten.HARD)
    assert not any(first < 13 < last for first, last in found)
    assert tightening.seconds(found) < sound.seconds - 4
    for hop in np.flatnonzero(sound.speech):
        assert any(first <= hop / 20 and (hop + 1) / 20 <= last for first, last in found)


@pytest.mark.parametrize(
    ("text", "filler"), [("Um,", True), ("uh...", True), ("umbrella", False), ("I", False)]
)
def test_a_filler_is_a_word_of_its_own(text: str, filler: bool) -> None:
    assert tightening.is_filler(Word(text, 0, 1, 1)) is filler


def test_where_nothing_is_said_nothing_is_left_out() -> None:
    assert kept(spoken("Later.", start=30), "hard") == [(0, 6)]


def test_at_most_a_hundred_pauses_are_left_out_the_longest_first() -> None:
    words = [(f"w{n}", n * 2.0, n * 2.0 + (0.5 if n % 2 else 0.9)) for n in range(300)]
    found = tightening.kept(at(*words), 0, 598.6, Tighten.HARD)
    assert len(found) == 101
    assert tightening.seconds(found) == pytest.approx(598.6 - 100 * (1.5 - 0.2))


def test_words_that_overlap_or_have_no_length_leave_ranges_in_order() -> None:
    said = at(("a", 1.0, 4.0), ("b", 2.0, 2.0), ("c", 1.5, 1.6), ("d", 5.0, 5.0))
    found = tightening.kept(said, 0, 9, Tighten.HARD)
    assert all(first < last for first, last in found)
    assert found == sorted(found)


def test_words_move_to_where_they_are_heard() -> None:
    ranges = tightening.kept(PAUSE, 0, 6, Tighten.HARD)
    moved = tightening.retimed(PAUSE, ranges)
    assert [(w.text, round(w.start, 3), round(w.end, 3)) for w in moved.words] == [
        ("one", 0.1, 0.6),
        ("two", 0.8, 1.3),
        ("three", 1.5, 1.9),
    ]


def test_a_word_that_was_left_out_is_not_among_the_words() -> None:
    said = at(("So", 0.0, 0.5), ("um,", 0.55, 0.9), ("yes.", 0.95, 1.5))
    ranges = tightening.kept(said, 0, 1.5, Tighten.HARD)
    assert tightening.retimed(said, ranges).text == "So yes."


def test_ranges_become_whole_frames() -> None:
    frames = tightening.in_frames([(10.9, 11.6), (13.4, 13.41), (14, 15)], 10.0, RATE)
    assert frames == [(27, 48), (120, 150)]

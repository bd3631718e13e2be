"""Edges of moments on real speech: at sentences, never within a word."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from clipforge.media.boundaries import LEAD, TAIL, Boundaries, Boundary
from clipforge.media.choosing import choose
from clipforge.media.contracts import Choice
from clipforge.media.features import Sound
from clipforge.media.kept import Kept
from clipforge.media.kept_format import HOP_RATE
from clipforge.media.speech.listening import listen
from clipforge.media.speech.tests import speakers
from clipforge.media.tests import tracks
from clipforge.media.words.transcript import Sentence, Transcript, Word

RECORDINGS = ("two_cities", "endgame_nagg_nell", "beckett")
GAP = 0.6  # s between two recordings


@pytest.fixture(scope="module")
def recordings() -> dict[str, tuple[bytes, Transcript]]:
    """The sound and the words of each recording."""
    found = {}
    for name in RECORDINGS:
        data = speakers.sound_of(speakers.recording(name))
        spool, sound = speakers.spooled(data)
        with spool:
            transcript = listen(spool, sound.speech, speakers.MODEL, lambda _: None)
        assert transcript is not None
        found[name] = (data, transcript)
    return found


def talk(recordings, names: tuple[str, ...]) -> tuple[Kept, Transcript]:
    """The recordings one after the other, as one source, before a picture that hardly moves."""
    data, sentences = b"", []
    for name in names:
        sound, transcript = recordings[name]
        at = len(data) / 32_000
        sentences += [shifted(sentence, at) for sentence in transcript.sentences]
        data += sound + speakers.silence(GAP)
    spool, sound = speakers.spooled(data)
    spool.close()
    seconds = sound.seconds
    kept = Kept(sound, tracks.picture(seconds, motion=2), seconds, exact_cuts=True)
    return kept, Transcript("en", tuple(sentences), "test")


def shifted(sentence: Sentence, at: float) -> Sentence:
    return Sentence(
        tuple(replace(word, start=word.start + at, end=word.end + at) for word in sentence.words)
    )


def quiet(sound: Sound, time: float) -> bool:
    """Whether a tenth of a second around `time` is 12 dB below the usual speech, by its sound alone."""
    spoken = float(np.median(sound.level[sound.speech]))
    hop = int(time * HOP_RATE)
    return float(sound.level[max(hop - 1, 0) : hop + 1].mean()) < spoken - 12


def test_moments_of_a_talk_begin_and_end_with_sentences(recordings):
    """All orders of three recordings; every length of clip that is usual."""
    edges: list[bool] = []
    silent: list[bool] = []
    for names, seconds in itertools.product(itertools.permutations(RECORDINGS), (8, 15, 25)):
        kept, transcript = talk(recordings, names)
        wishes = Choice(count=6, min_seconds=seconds - 4, max_seconds=seconds + 8)
        for moment in choose(kept, transcript, wishes).moments:
            for time in (moment.start, moment.end):
                assert not any(
                    word.start + 0.001 < time < word.end - 0.001 for word in transcript.words
                )
                within = any(s.start + 0.001 < time < s.end - 0.001 for s in transcript.sentences)
                edges.append(not within)
                silent.append(quiet(kept.sound, time))
    assert len(edges) >= 100
    assert sum(edges) / len(edges) >= 0.95
    assert sum(silent) / len(silent) >= 0.9


# --- by hand --------------------------------------------------------------------------


def words(start: float, end: float, *, gap: float = 0.1) -> Sentence:
    """A sentence of words of 0.4 s, with a gap after each."""
    times = np.arange(start, end - 0.39, 0.4 + gap).tolist()
    return Sentence(tuple(Word("word", at, at + 0.4, 0.9) for at in times))


def boundaries(*sentences: Sentence, speech: tuple[float, float], cuts=()) -> Boundaries:
    sound = tracks.sound(60, speech)
    picture = tracks.picture(60, cuts=cuts)
    spoken = Transcript("en", sentences, "test")
    return Boundaries(sound, picture, 60.0, exact_cuts=True, transcript=spoken)


def best(places: list[Boundary]) -> float:
    return min(places, key=lambda place: place.cost).time


def test_an_edge_goes_far_for_a_sentence_and_stays_out_of_the_next():
    """Speech without a pause that the detector would see: only the words tell."""
    spoken = boundaries(words(5, 20), words(20.1, 50), speech=(5, 50))
    assert best(spoken.starts(30)) == pytest.approx(20.05, abs=0.06)
    assert best(spoken.ends(30)) == pytest.approx(20.05, abs=0.06)


def test_beside_a_long_pause_an_edge_keeps_its_margin():
    spoken = boundaries(words(20, 30), words(40, 50), speech=(20, 50))
    first, last = words(40, 50).start, words(20, 30).end
    assert best(spoken.starts(41)) == pytest.approx(first - LEAD)
    assert best(spoken.ends(29)) == pytest.approx(last + TAIL)


def test_a_cut_within_a_sentence_is_not_used_and_one_between_two_is():
    spoken = boundaries(words(5, 20), words(24, 50), speech=(5, 50), cuts=(22.0, 30.0))
    assert best(spoken.starts(22.2)) == pytest.approx(22.125)
    assert best(spoken.starts(30)) == pytest.approx(23.8)


def test_a_sentence_that_never_ends_is_parted_between_two_words():
    long = words(1, 59)
    for time in (29.9, 30.0, 30.1, 30.2, 30.3, 30.4):
        at = best(boundaries(long, speech=(1, 59)).starts(time))
        assert not any(word.start < at < word.end for word in long.words)
        assert abs(at - time) < 0.3


def test_speech_that_nobody_wrote_down_is_not_cut_either():
    spoken = boundaries(words(1, 4), speech=(20, 40))
    assert best(spoken.starts(21)) == pytest.approx(20 - LEAD)
    assert all(not 20 < place.time < 40 for place in spoken.starts(22))

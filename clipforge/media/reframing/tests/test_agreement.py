"""Whose mouth moves with the sound, in plain numbers: one value for each quarter of a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clipforge.media.features import Sound
from clipforge.media.reframing.agreement import energy, movements

# Two seconds of silence and two of speech, three times.
SPEECH = np.tile([0.0] * 8 + [0.3, 0.6, 0.5, 0.2, 0.7, 0.4, 0.1, 0.5], 3)
CHEWS = np.tile([9.0, 11.0, 10.0, 9.0, 12.0, 10.0], 8)
SPEAKS = 8 * SPEECH + np.tile([0.3, 0.1], 24)


def told(mouths: list[Any], speech: Any) -> Any:
    return movements(mouths, speech)


def test_the_mouth_of_the_speaker_moves_with_the_sound_and_one_that_chews_does_not():
    assert told([CHEWS, SPEAKS], SPEECH) == [0.0, pytest.approx(8, abs=0.3)]


@pytest.mark.parametrize("lag", [-1, 1])
def test_sound_may_be_a_quarter_of_a_second_beside_the_pictures_and_no_more(lag):
    shifted = np.roll(SPEAKS, lag)
    assert told([shifted], SPEECH) == [pytest.approx(8, abs=0.3)]
    further = told([np.roll(SPEAKS, 8 * lag)], SPEECH)
    assert further is None


def test_a_voice_of_none_of_them_tells_nothing():
    assert told([CHEWS, CHEWS[::-1]], SPEECH) is None


@pytest.mark.parametrize("speech", [np.zeros(48), np.full(48, 0.6), np.zeros(1)])
def test_neither_silence_nor_speech_that_never_stops_tells_anything(speech):
    assert told([CHEWS, SPEAKS], speech) is None


def test_three_seconds_tell_and_less_do_not():
    assert told([SPEAKS[4:16]], SPEECH[4:16]) is not None
    assert told([SPEAKS[4:15]], SPEECH[4:15]) is None


def test_where_a_face_was_not_found_nothing_is_compared():
    hidden = SPEAKS.copy()
    hidden[10:30] = np.nan
    assert told([hidden], SPEECH) == [pytest.approx(8, abs=0.5)]
    assert told([np.full(48, np.nan)], SPEECH) is None


def test_the_energy_is_that_of_speech_alone_beside_the_loudest():
    """Half a second of noise, of loud speech, of speech 15 dB softer, of silence."""
    voice = np.repeat([-10.0, -20.0, -35.0, -70.0], 10).astype(np.float32)
    speech = np.repeat([False, True, True, False], 10)
    sound = Sound(voice, voice, voice, speech)
    assert list(energy(sound)) == pytest.approx([0, 0, 0, 1, 1, 0.5, 0.5, 0, 0])
    assert list(energy(Sound(voice, voice, voice, ~(speech | True)))) == [0]

from __future__ import annotations

import json

import pytest

from clipforge.media.words.transcript import Sentence, Transcript, Word

SPOKEN = Transcript(
    "en",
    (
        Sentence((Word("Ask", 1.0, 1.2, 0.9), Word("not.", 1.25, 1.8, 0.8))),
        Sentence((Word("Why?", 2.0, 2.5, 1.0),)),
    ),
    "a model",
)


def test_a_transcript_survives_json() -> None:
    assert Transcript.from_json(json.loads(json.dumps(SPOKEN.as_json()))) == SPOKEN


def test_a_range_has_the_words_whose_middle_is_in_it() -> None:
    assert [word.text for word in SPOKEN.between(1.1, 2.25).words] == ["Ask", "not."]
    assert [word.text for word in SPOKEN.between(1.11, 2.26).words] == ["not.", "Why?"]


def test_a_sentence_without_a_word_in_the_range_is_left_out() -> None:
    assert len(SPOKEN.between(2.0, 3.0).sentences) == 1
    assert SPOKEN.between(5.0, 6.0).text == ""


def test_the_text_and_the_times_of_a_sentence_are_those_of_its_words() -> None:
    first = SPOKEN.sentences[0]
    assert (first.text, first.start, first.end) == ("Ask not.", 1.0, 1.8)


@pytest.mark.parametrize(
    "word",
    [
        ["a\0b", 0, 1, 0.5],
        ["a\nb", 0, 1, 0.5],
        ["\ud800", 0, 1, 0.5],
        ["a", 2, 1, 0.5],
        ["a", -1, 1, 0.5],
        ["a", 0, float("inf"), 0.5],
        ["a", 0, float("nan"), 0.5],
        ["a", 0, 1, 1.5],
        ["a", 0, 1],
        ["a", "0", 1, 0.5],
        [None, 0, 1, 0.5],
    ],
)
def test_what_a_child_that_was_attacked_may_say_is_no_transcript(word):
    with pytest.raises((TypeError, ValueError)):
        Transcript.from_json({"language": "en", "model": "m", "sentences": [[word]]})


def test_a_corrected_word_keeps_its_time_and_the_others_stay():
    first, second = Word("Helo", 0, 1, 0.2), Word("world.", 1, 2, 0.9)
    transcript = Transcript("en", (Sentence((first,)), Sentence((second,))), "m")
    corrected = transcript.corrected({0: "Hello"})
    assert corrected.words == (Word("Hello", 0, 1, 1.0), second)
    assert transcript.corrected({}) == transcript

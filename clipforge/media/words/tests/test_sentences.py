"""Sentences from words."""

from __future__ import annotations

import pytest

from clipforge.media.words.sentences import ends_sentence, sentences
from clipforge.media.words.transcript import Word


def said(text: str, *, each: float = 0.3, pauses: dict[int, float] | None = None) -> list[Word]:
    """Words of `each` seconds, with a pause before those that `pauses` numbers."""
    words, at = [], 0.0
    for number, word in enumerate(text.split()):
        at += (pauses or {}).get(number, 0.0)
        words.append(Word(word, at, at + each, 0.9))
        at += each
    return words


def texts(words: list[Word]) -> list[str]:
    return [sentence.text for sentence in sentences(words)]


def test_sentences_end_at_full_stops_questions_and_exclamations():
    assert texts(said("Why? Because I can. Look! And so on")) == [
        "Why?",
        "Because I can.",
        "Look!",
        "And so on",
    ]


@pytest.mark.parametrize("word", ["end.", 'end."', "end.)", "何。", "really?!", "wait…", "so."])
def test_these_end_a_sentence(word):
    assert ends_sentence(word)


@pytest.mark.parametrize(
    "word", ["Mr.", "Dr.", "U.S.", "J.", "e.g.", "3.", "3.5", "end,", "end", '"Mrs.']
)
def test_these_do_not(word):
    assert not ends_sentence(word)


def test_nobody_pauses_two_seconds_within_a_sentence():
    words = said("one two three four", pauses={1: 2.0, 3: 2.1})
    assert texts(words) == ["one two three", "four"]


def test_speech_without_punctuation_is_parted_at_its_longest_pauses():
    words = said(" ".join(["word"] * 200), pauses={50: 0.5, 100: 0.9, 150: 0.4})
    assert [len(sentence.words) for sentence in sentences(words)] == [50, 50, 50, 50]


def test_speech_without_any_pause_stays_whole():
    (sentence,) = sentences(said(" ".join(["word"] * 200)))
    assert len(sentence.words) == 200


def test_words_that_overlap_are_set_right():
    words = [Word("a", 1.0, 2.0, 1), Word("b", 1.5, 1.8, 1), Word("c", 2.5, 3.0, 1)]
    (sentence,) = sentences(words)
    assert [(word.start, word.end) for word in sentence.words] == [(1, 2), (2, 2), (2.5, 3)]


def test_no_words_no_sentences():
    assert sentences([]) == ()

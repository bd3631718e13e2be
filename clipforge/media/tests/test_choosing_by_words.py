"""Moments chosen by what is said: hand-written talk over made-up sound, in which the rest is equal."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from clipforge.media.choosing import choose, place
from clipforge.media.contracts import Choice, Chosen, ScoredMoment, Snap
from clipforge.media.kept import Kept
from clipforge.media.kept_format import HOP_RATE
from clipforge.media.tests import tracks
from clipforge.media.words.transcript import Sentence, Transcript, Word

SECONDS = 400
PLAIN = [
    "The morning train leaves from the northern platform at dawn.",
    "Yellow boats carried fish along the harbour wall until evening.",
    "A baker opened her shop beside the old stone bridge.",
    "Green hills rise behind the village where sheep graze quietly.",
    "The carpenter measured every plank before cutting the long beams.",
    "Heavy rain filled the barrels standing under the tin roof.",
    "Our teacher kept maps of distant islands above the desk.",
    "Farmers brought apples to the market in wooden carts.",
]


def passage(start: float, *sentences: str) -> list[Sentence]:
    """Sentences of words of 0.4 s, with half a second between them."""
    found, time = [], start
    for text in sentences:
        words = []
        for word in text.split():
            words.append(Word(word, round(time, 2), round(time + 0.35, 2), 0.9))
            time += 0.4
        found.append(Sentence(tuple(words)))
        time += 0.5
    return found


def kept_of(transcript: Transcript, *applause: tuple[float, float]) -> Kept:
    """Sound with talk where the sentences are, and a still picture."""
    spoken = [(sentence.start, sentence.end) for sentence in transcript.sentences]
    sound = tracks.sound(SECONDS, *spoken)
    # No two voices rise and fall alike; else the passages would be the same to the ear.
    sound.level[:] += np.random.default_rng(0).normal(0, 6, len(sound.level)) * sound.speech
    for start, end in applause:
        hops = slice(round(start * HOP_RATE), round(end * HOP_RATE))
        sound.level[hops] = sound.voice[hops] = -22
    return Kept(sound, tracks.picture(SECONDS), SECONDS, exact_cuts=True)


def passages(*texts: list[str]) -> Transcript:
    """One passage of talk every eighty seconds, calm between them."""
    sentences = [
        sentence
        for number, text in enumerate(texts)
        for sentence in passage(20 + 80 * number, *text)
    ]
    return Transcript("en", tuple(sentences), "hand-written")


def chosen(transcript: Transcript, *applause: tuple[float, float], **wishes: Any) -> Chosen:
    return choose(kept_of(transcript, *applause), transcript, Choice(**wishes))


def at(moment: ScoredMoment) -> int:
    """The number of the passage in which a moment lies."""
    return int(moment.start // 80)


HOOKED = [
    "Why did nobody ever cross this bridge again?",
    "Soldiers had guarded both towers through nine winters of war.",
    "Their captain trusted neither ropes nor rotten timber below him.",
    "Every spring the flood tore another pillar from its bed.",
    "In the end, we burned it.",
]
BACK = [
    "And then he went there with them again afterwards.",
    "Grey clouds hung over the empty road to town.",
    "Nuts and berries grew along the hedge near their house.",
    "It went on in this way for another long summer.",
]


def test_a_hook_and_a_payoff_come_before_plain_talk_and_that_before_loose_ends():
    found = chosen(passages(BACK, PLAIN[3:8], HOOKED)).moments
    assert at(found[0]) == 2
    scores = {at(moment): moment.score for moment in found}
    assert scores[2] > scores[1] > scores[0]


def test_the_reason_quotes_the_words_and_the_title_is_made_of_them():
    moment = next(m for m in chosen(passages(PLAIN[:4], HOOKED)).moments if at(m) == 1)
    assert moment.reason.startswith(
        "Opens with a question: “Why did nobody ever cross this bridge again?”;"
        " ends on “In the end, we burned it.”; dense speech"
    )
    assert moment.hook == "Why did nobody ever cross this bridge again?"
    assert moment.title
    assert moment.title.rstrip("…") in " ".join(HOOKED)
    assert {"hook", "complete", "payoff", "density", "reaction"} <= set(moment.subscores)
    assert moment.subscores["hook"] > 50
    assert moment.subscores["complete"] == 100


def test_reasons_and_titles_of_one_talk_all_differ():
    found = chosen(passages(PLAIN[:4], HOOKED, PLAIN[4:8]), count=5).moments
    assert len(found) >= 3
    for which in ("reason", "title", "hook"):
        said = [getattr(moment, which) for moment in found]
        assert len(set(said)) == len(said)


def test_moments_that_speak_of_a_keyword_come_first_and_say_so():
    talk = passages(HOOKED, PLAIN[:4], PLAIN[4:8])
    assert at(chosen(talk).moments[0]) == 0
    first = chosen(talk, keywords=("carpenter", "maps of distant islands")).moments[0]
    assert at(first) == 2
    assert first.subscores["keywords"] == 100
    assert first.reason.startswith("Speaks of “carpenter” and “maps of distant islands”;")


def test_of_the_same_words_twice_one_is_chosen():
    """The second take: other pauses and another level, so that the sound alone does not tell."""
    found = chosen(passages(PLAIN[:4], HOOKED, PLAIN[:4]), count=9).moments
    assert len([moment for moment in found if at(moment) in {0, 2}]) == 1


def test_applause_after_a_sentence_is_a_reaction():
    talk = passages(PLAIN[:4], PLAIN[4:8])
    end = talk.sentences[3].end
    clapped = next(m for m in chosen(talk, (end + 0.4, end + 6)).moments if at(m) == 0)
    quiet = next(m for m in chosen(talk).moments if at(m) == 0)
    assert quiet.subscores["reaction"] == 0
    assert clapped.subscores["reaction"] > 30


def test_an_action_without_words_is_rated_as_without_a_transcript():
    talk = passages(PLAIN[:4])
    kept = kept_of(talk)
    kept.picture.motion[200 * 4 : 225 * 4] = 20
    (with_words,) = place(kept, talk, 200, 225, Snap.NONE).moments
    (without,) = place(kept, None, 200, 225, Snap.NONE).moments
    assert with_words == without
    assert "hook" not in with_words.subscores


def test_edges_of_talk_lie_between_sentences():
    talk = passages(PLAIN, HOOKED, BACK)
    found = chosen(talk, count=12, min_seconds=5).moments
    assert len(found) >= 3
    for edge in itertools.chain.from_iterable((m.start, m.end) for m in found):
        assert not any(s.start + 0.01 < edge < s.end - 0.01 for s in talk.sentences)


def test_words_alone_make_no_moment_of_calm():
    """A transcript that hears voices where there are none."""
    talk = passages(HOOKED)
    silent = Kept(tracks.sound(SECONDS), tracks.picture(SECONDS), SECONDS, exact_cuts=True)
    assert choose(silent, talk, Choice()).moments == []


@pytest.mark.parametrize("transcript", [None, Transcript("en", (), "x")])
def test_without_words_there_is_neither_title_nor_hook(transcript):
    sound = tracks.sound(SECONDS, (100, 130))
    kept = Kept(sound, tracks.picture(SECONDS), SECONDS, exact_cuts=True)
    (moment,) = choose(kept, transcript, Choice(keywords=("bridge",))).moments
    assert (moment.title, moment.hook) == ("", "")
    assert set(moment.subscores) == {"speech", "energy", "motion", "pace", "opening"}


def test_an_hour_of_talk_is_chosen_from_in_a_bounded_number_of_steps():
    sentences = [
        sentence
        for number in range(240)
        for sentence in passage(15.0 * number, *np.roll(PLAIN, number)[:3].tolist())
    ]
    talk = Transcript("en", tuple(sentences), "hand-written")
    sound = tracks.sound(3600, *[(each.start, each.end) for each in sentences])
    kept = Kept(sound, tracks.picture(3600), 3600, exact_cuts=True)
    found = choose(kept, talk, Choice()).moments
    assert 1 <= len(found) <= 10

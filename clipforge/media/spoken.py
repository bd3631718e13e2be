"""Ratings of what is said: hooks, whole thoughts, payoffs, density, reactions of the room.

A pure function of the words. Word lists are English; of other languages a question mark, a number
and an exclamation are understood. Everything that depends on a place is prepared per sentence and
per word, so that a hundred thousand windows are rated at once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media.wording import (
    ADDRESS,
    CLAIMS,
    CLOSINGS,
    CONTRASTS,
    DANGLING,
    NUMBERS,
    QUESTIONS,
    STOPWORDS,
    shortened,
    unfilled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from clipforge.media.features import Bools
    from clipforge.media.words.transcript import Sentence, Transcript, Word

    Floats = NDArray[np.float64]

HOOK_SECONDS: Final = 3.0  # of a moment: what a viewer hears before the thumb moves on
AT_SENTENCE: Final = 0.8  # s; an edge so near to a sentence's lies at it
# What each makes of a hook, and of an ending. Several together add up, never to more than 1.
HOOKS: Final[Mapping[str, float]] = {
    "a question": 0.55,
    "a strong claim": 0.5,
    "a contrast": 0.4,
    "a number": 0.35,
    "a word to the listener": 0.3,
}
ENDS_WHOLE: Final = 0.25
ENDS_CONCLUDING: Final = 0.45
ENDS_EXCLAIMING: Final = 0.3
ENDS_SHORT: Final = 0.3  # a last sentence of a few words after longer ones
SHORT_SENTENCE: Final = 8  # words
ENDS_ANSWERING: Final = 0.35  # there was a question before
# Of a moment that begins with a word that refers back, or in the middle of a sentence.
REFERS_BACK: Final = 0.25
WITHIN_SENTENCE: Final = 0.4

DENSITY_SCALE: Final = (0.5, 1.5)  # new words of meaning a second
FORGOTTEN: Final = 60.0  # s after which a word is new again
KEYWORD_SCALE: Final = 2.0  # mentions that are enough
SAME_WORDS: Final = 3  # in a row: said before
FLUENT: Final = 1.5  # words a second, pauses included
REACTION_SECONDS: Final = 6.0  # after a sentence
# The edges of a window move so far to those of sentences, and keep so far from their words.
ALIGN_REACH: Final = 6.0
SENTENCE_LEAD, SENTENCE_TAIL = 0.1, 0.15  # s
TITLE_WORDS: Final = (3, 9)

PLAIN: Final = re.compile(r"[^\w'%$€£]+")


class Spoken:
    """The words of a source. Making it costs one pass over them."""

    def __init__(self, transcript: Transcript, keywords: Sequence[str] = ()) -> None:
        self._english = transcript.language == "en"
        self._sentences: Sequence[Sentence] = transcript.sentences
        self._starts = np.array([sentence.start for sentence in self._sentences], np.float64)
        self._ends = np.array([sentence.end for sentence in self._sentences], np.float64)
        self._words: Sequence[Word] = transcript.words
        self._at = np.array([word.start for word in self._words], np.float64)
        self._plain = [plain(word.text) for word in self._words]
        self._every = _running(np.ones(len(self._plain)))
        self._new = _running(self._new_words())
        self._rows_of_words = _numbered(self._plain)
        self._counts = Counter(word for word in self._plain if self._means(word))
        self._hooks = [self._hook_parts(sentence) for sentence in self._sentences]
        self._hook = np.array([_together(parts.values()) for parts in self._hooks], np.float64)
        self._opens = np.array(
            [self._opening(sentence) for sentence in self._sentences], np.float64
        )
        self._closes = np.array([self._closing(i) for i in range(len(self._sentences))], np.float64)
        self.keywords = tuple(keywords)
        self._mentions = _running(self._mentioned(keywords))

    def __bool__(self) -> bool:
        return bool(self._words)

    def rate(self, starts: Floats, ends: Floats) -> dict[str, Floats]:
        """Each aspect of the stretches, 0..1."""
        first, at_start = self._first_sentences(starts)
        last, at_end = self._last_sentences(ends)
        seconds = np.maximum(ends - starts, 1e-6)
        rated = {
            "hook": self._hook[first] * at_start,
            "complete": np.where(at_start, self._opens[first], WITHIN_SENTENCE)
            * np.where(at_end, 1.0, WITHIN_SENTENCE),
            "payoff": np.where(at_end, self._closes[last], 0.0),
            "density": np.clip(
                (self._between(self._new, starts, ends) / seconds - DENSITY_SCALE[0])
                / (DENSITY_SCALE[1] - DENSITY_SCALE[0]),
                0,
                1,
            ),
        }
        if self.keywords:
            mentions = self._between(self._mentions, starts, ends)
            rated["keywords"] = np.minimum(mentions / KEYWORD_SCALE, 1)
        return rated

    def aligned(self, starts: Floats, ends: Floats) -> tuple[Floats, Floats]:
        """The stretches with their edges at sentences, where there are any near."""
        return (
            _moved(starts, self._starts, -SENTENCE_LEAD),
            _moved(ends, self._ends, SENTENCE_TAIL),
        )

    def presence(self, starts: Floats, ends: Floats) -> Floats:
        """How far each stretch is talk that is understood, 0..1: one without words has no hook to miss."""
        words = self._between(self._every, starts, ends)
        present: Floats = np.minimum(words / np.maximum(ends - starts, 1e-6) / FLUENT, 1)
        return present

    def after_sentences(self, rows: int) -> Floats:
        """1 for each second in which a room may react to what was just said."""
        mask = np.zeros(rows)
        nexts = [*self._starts[1:].tolist(), float(rows)]
        for end, following in zip(self._ends.tolist(), nexts, strict=True):
            mask[math.ceil(end) : math.ceil(min(end + REACTION_SECONDS, following))] = 1
        return mask

    def said_again(self, start: float, end: float, starts: Floats, ends: Floats) -> Floats:
        """Of the words of each stretch, the share that [start, end) says in the same order."""
        first, last = np.searchsorted(self._at, [start, end])
        said = np.isin(self._rows_of_words, self._rows_of_words[first : max(last - 2, first)])
        again = np.zeros(len(self._at), np.bool_)
        for shift in range(SAME_WORDS):
            again[shift : shift + len(said)] |= said
        counts = self._between(self._every, starts, ends)
        shares: Floats = self._between(_running(again), starts, ends) / np.maximum(counts, 1)
        return shares

    def quotes(self, start: float, end: float) -> dict[str, str]:
        """By aspect, what can be said for the stretch in its own words."""
        inside = self._inside(start, end)
        if not inside:
            return {}
        first, last = inside[0], inside[-1]
        quoted = {
            "hook": self._hook_quote(first),
            "payoff": f"ends on “{shortened(self._sentences[last].text)}”",
            "reaction": f"laughter or applause after “{shortened(self._sentences[last].text)}”",
        }
        heard = [word for word in self.keywords if self._says(word, start, end)]
        if heard:
            quoted["keywords"] = f"speaks of “{'” and “'.join(heard[:2])}”"
        return quoted

    def title(self, start: float, end: float) -> str:
        """The most telling part of a sentence of the stretch; "" where nothing is said."""
        clauses = [
            clause
            for number in self._inside(start, end)
            for clause in _clauses(self._sentences[number].text)
        ]
        if not clauses:
            return ""
        return shortened(max(clauses, key=self._telling), 70).rstrip(".,;:")

    def hook(self, start: float, end: float) -> str:
        """The line to quote: the best hook among the sentences with which the stretch begins."""
        early = [n for n in self._inside(start, end) if self._starts[n] < start + (end - start) / 3]
        if not early:
            return ""
        best = max(early, key=lambda number: (self._hook[number], -number))
        return shortened(unfilled(self._sentences[best].text), 120)

    # --- per sentence ---

    def _hook_parts(self, sentence: Sentence) -> dict[str, float]:
        """The parts of a hook in the first three seconds of a sentence."""
        early = [w for w in sentence.words if w.start < sentence.start + HOOK_SECONDS]
        words = [plain(word.text) for word in early]
        text = " ".join(words)
        found = {
            "a question": sentence.words[-1].text.endswith("?")
            and sentence.end - sentence.start < 3 * HOOK_SECONDS,
            "a number": any(word[:1].isdigit() or "%" in word for word in words),
        }
        if self._english:
            found["a question"] = found["a question"] or bool(QUESTIONS.match(text))
            found["a number"] = found["a number"] or bool(NUMBERS.search(text))
            found["a strong claim"] = bool(CLAIMS.search(text))
            found["a contrast"] = bool(CONTRASTS.search(text))
            found["a word to the listener"] = bool(ADDRESS.search(text))
        return {name: HOOKS[name] for name, is_so in found.items() if is_so}

    def _hook_quote(self, number: int) -> str:
        parts = self._hooks[number]
        what = max(parts, key=lambda name: parts[name]) if parts else "a clear beginning"
        return f"opens with {what}: “{shortened(self._sentences[number].text)}”"

    def _opening(self, sentence: Sentence) -> float:
        text = " ".join(plain(word.text) for word in sentence.words[:3])
        return REFERS_BACK if self._english and DANGLING.match(text) else 1.0

    def _closing(self, number: int) -> float:
        sentence = self._sentences[number]
        before = self._sentences[max(number - 3, 0) : number]
        text = " ".join(plain(word.text) for word in sentence.words)
        parts = [ENDS_WHOLE]
        if self._english and CLOSINGS.search(text):
            parts.append(ENDS_CONCLUDING)
        if sentence.words[-1].text.endswith("!"):
            parts.append(ENDS_EXCLAIMING)
        count = len(sentence.words)
        if before and 2 <= count <= SHORT_SENTENCE and len(before[-1].words) > count:
            parts.append(ENDS_SHORT)
        asked = any(each.words[-1].text.endswith("?") for each in before)
        if asked and not sentence.words[-1].text.endswith("?"):
            parts.append(ENDS_ANSWERING)
        return _together(parts)

    # --- per word ---

    def _means(self, word: str) -> bool:
        return len(word) > 2 and word not in STOPWORDS

    def _new_words(self) -> Floats:
        """1 for each word of meaning that was not said within the last minute."""
        last: dict[str, float] = {}
        new = np.zeros(len(self._plain))
        for number, (word, at) in enumerate(zip(self._plain, self._at.tolist(), strict=True)):
            if self._means(word):
                new[number] = at - last.get(word, -math.inf) > FORGOTTEN
                last[word] = at
        return new

    def _mentioned(self, keywords: Sequence[str]) -> Floats:
        """1 for each word with which a mention of a keyword begins."""
        mentions = np.zeros(len(self._plain))
        for keyword in keywords:
            wanted = [plain(word) for word in keyword.split()]
            for number in self._places(wanted):
                mentions[number] = 1
        return mentions

    def _places(self, wanted: Sequence[str]) -> list[int]:
        """Where the words are said in a row; a word may have an ending of up to three letters."""
        size = len(wanted)
        if not size or not all(wanted):
            return []
        return [
            number
            for number in range(len(self._plain) - size + 1)
            if all(
                said.startswith(word) and len(said) <= len(word) + 3
                for said, word in zip(self._plain[number : number + size], wanted, strict=True)
            )
        ]

    def _says(self, keyword: str, start: float, end: float) -> bool:
        wanted = [plain(word) for word in keyword.split()]
        return any(start <= self._at[number] < end for number in self._places(wanted))

    def _telling(self, clause: str) -> tuple[float, int]:
        """How much a clause would tell as a title: words of meaning that the whole often says."""
        words = [plain(word) for word in clause.split()]
        low, high = TITLE_WORDS
        meant = [word for word in words if self._means(word)]
        weight = sum(1 + math.log(self._counts.get(word, 1)) for word in set(meant))
        fits = 1.0 if low <= len(words) <= high else 0.4
        back = 0.5 if DANGLING.match(" ".join(words[:3])) else 1.0
        return fits * back * weight / math.sqrt(max(len(words), 1)), -len(words)

    # --- places ---

    def _first_sentences(self, starts: Floats) -> tuple[NDArray[np.int64], Bools]:
        """The sentence that is nearest to each start, and whether the stretch begins with it."""
        return _nearest(self._starts, starts)

    def _last_sentences(self, ends: Floats) -> tuple[NDArray[np.int64], Bools]:
        return _nearest(self._ends, ends)

    def _inside(self, start: float, end: float) -> list[int]:
        """The sentences that lie inside, but for a little at the edges."""
        inside = (self._starts >= start - AT_SENTENCE) & (self._ends <= end + AT_SENTENCE)
        return [int(number) for number in np.flatnonzero(inside)]

    def _between(self, running: Floats, starts: Floats, ends: Floats) -> Floats:
        """The sum of a value of each word over the words that begin in each stretch."""
        sums: Floats = (
            running[np.searchsorted(self._at, ends)] - running[np.searchsorted(self._at, starts)]
        )
        return sums


def plain(word: str) -> str:
    """A word without case and punctuation."""
    return PLAIN.sub("", word.casefold().replace("’", "'"))


def _clauses(text: str) -> list[str]:
    """The sentence, and its parts between commas and dashes, without fillers before them."""
    parts = [text, *re.split(r"[,;:–—]\s*", text)]
    return [clause for part in parts if len((clause := unfilled(part)).split()) >= 2]


def _together(parts: object) -> float:
    left = 1.0
    for part in parts:  # type: ignore[attr-defined]
        left *= 1 - part
    return 1 - left


def _moved(times: Floats, places: Floats, by: float) -> Floats:
    if not len(places):
        return times
    index, _ = _nearest(places, times)
    near = np.abs(places[index] - times) <= ALIGN_REACH
    moved: Floats = np.where(near, np.maximum(places[index] + by, 0), times)
    return moved


def _numbered(words: Sequence[str]) -> NDArray[np.int64]:
    """A number for each row of SAME_WORDS words, the same for the same row."""
    numbers: dict[tuple[str, ...], int] = {}
    rows = zip(*(words[shift:] for shift in range(SAME_WORDS)), strict=False)
    return np.array([numbers.setdefault(row, len(numbers)) for row in rows], np.int64)


def _running(values: NDArray[np.generic]) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _nearest(places: Floats, times: Floats) -> tuple[NDArray[np.int64], Bools]:
    after = np.clip(np.searchsorted(places, times), 0, len(places) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(places[before] - times) < np.abs(places[after] - times)
    index: NDArray[np.int64] = np.where(nearer, before, after)
    return index, np.abs(places[index] - times) <= AT_SENTENCE

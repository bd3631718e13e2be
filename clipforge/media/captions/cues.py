"""Cues: the words of a clip in portions that are read at a glance.

Times are seconds into the clip. A cue has at most two lines, breaks where the speaker does, and stands long
enough to be read.
"""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipforge.media.captions import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clipforge.media.words.transcript import Transcript

COLUMNS = 42  # a line of television subtitles
VERTICAL_COLUMNS = 28
MIN_SECONDS = 1.0
MAX_SECONDS = 6.0
# A cue ends with its last word or a little later; a pause of more leaves the picture free.
LINGER_SECONDS = 0.5
PAUSE_SECONDS = 0.7
BREATH_SECONDS = 0.25  # a pause of more is as good a place to break as a comma
# Cues nearer than this follow each other without a gap, which would be seen as a flicker.
FLICKER_SECONDS = 0.25
SHORTEST_SECONDS = 0.001  # where words have no length, or the same times
CLAUSE_MARKS = (",", ";", ":", "–", "—", "、", "，", "؛", "،")  # noqa: RUF001 - as they are written
CLOSING_QUOTES = "\"'”’»)]」』"

# What a cue costs; the words are divided so that all cost least. One more cue is dearer than a break inside
# a sentence, so that there are few. The end of a sentence inside a cue is dearer than one more cue, and a
# cue too short to read is dearer still.
CUE_COST = 1.0
MIXED_COST = 1.2
HURRIED_COST = 3.0
BREAK_COST = 0.5
CLAUSE_BREAK_COST = 0.1


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word as captions show it, cleaned and never empty."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cue:
    """One or two lines of words, shown from `start` to `end`."""

    start: float
    end: float
    lines: tuple[tuple[Spoken, ...], ...]

    @property
    def words(self) -> tuple[Spoken, ...]:
        return tuple(itertools.chain.from_iterable(self.lines))

    @property
    def texts(self) -> tuple[str, ...]:
        """The lines as plain text."""
        return tuple(text.join(word.text for word in line) for line in self.lines)


def cues_of(
    transcript: Transcript, start: float, end: float, *, columns: int = COLUMNS, lines: int = 2
) -> list[Cue]:
    """The cues of the source's stretch [start, end), timed from its start.

    They do not overlap and lie inside the stretch. `lines` is 1 or 2.
    """
    cues: list[Cue] = []
    length = end - start
    for run in _runs(transcript, start, end):
        for portion in _Division(run, columns, lines).portions():
            begin = max(portion[0].start, cues[-1].end if cues else 0.0)
            finish = min(max(portion[-1].end, begin + SHORTEST_SECONDS), length)
            if begin < finish:
                cues.append(Cue(begin, finish, _in_lines(portion, columns, lines)))
    return _lengthened(cues, length)


@dataclass(frozen=True, slots=True)
class _Run:
    """Words between two pauses; after those in `sentence_ends` (an index) a sentence has ended."""

    words: list[Spoken]
    sentence_ends: set[int]


def _runs(transcript: Transcript, start: float, end: float) -> list[_Run]:
    """The words of the stretch, parted at pauses; times from `start`, in order."""
    runs: list[_Run] = []
    length = end - start
    latest = 0.0
    for sentence in transcript.between(start, end).sentences:
        for word in sentence.words:
            shown = text.clean(word.text)
            if not shown:
                continue
            begin = min(max(word.start - start, latest), length)
            spoken = Spoken(shown, begin, min(max(word.end - start, begin), length))
            if not runs or spoken.start - latest > PAUSE_SECONDS:
                runs.append(_Run([], set()))
            runs[-1].words.append(spoken)
            latest = spoken.end
        if runs:
            runs[-1].sentence_ends.add(len(runs[-1].words) - 1)
    return runs


class _Widths:
    """Widths of stretches of words, in constant time."""

    def __init__(self, words: Sequence[Spoken]) -> None:
        self._ends = [0]  # up to the end of each word
        self._spaces = []  # before each
        for index, word in enumerate(words):
            space = len(text.joint(words[index - 1].text, word.text)) if index else 0
            self._spaces.append(space)
            self._ends.append(self._ends[-1] + space + text.columns(word.text))

    def of(self, first: int, after: int) -> int:
        return self._ends[after] - self._ends[first] - self._spaces[first]

    def fit_two_lines(self, first: int, after: int, columns: int) -> bool:
        """Whether what a full first line leaves fits into the second."""
        full = self._ends[first] + self._spaces[first] + columns
        middle = bisect.bisect_right(self._ends, full, first, after) - 1
        return first < middle and self.of(middle, after) <= columns

    def break_of(self, first: int, after: int, columns: int) -> int | None:
        """Where the second line begins so that both fit and are most alike, or None."""
        longer, middle = min(
            (
                (max(self.of(first, middle), self.of(middle, after)), middle)
                for middle in range(first + 1, after)
            ),
            default=(columns + 1, first),
        )
        return middle if longer <= columns else None


class _Division:
    """The cheapest division of a run into cues."""

    def __init__(self, run: _Run, columns: int, lines: int) -> None:
        self._words = run.words
        self._widths = _Widths(run.words)
        self._columns, self._lines = columns, lines
        self._is_end = [index in run.sentence_ends for index in range(len(run.words))]
        # Sentences that have ended before each word.
        self._ended = [0, *itertools.accumulate(self._is_end)]

    def portions(self) -> list[Sequence[Spoken]]:
        """The words of each cue."""
        # By a number of words: the cost of their best division, and where its last portion begins.
        best: list[tuple[float, int]] = [(0.0, 0)]
        for after in range(1, len(self._words) + 1):
            candidates = [(best[after - 1][0] + self._cost(after - 1, after), after - 1)]
            for first in range(after - 2, -1, -1):
                if not self._fits(first, after):
                    break
                candidates.append((best[first][0] + self._cost(first, after), first))
            best.append(min(candidates))
        portions: list[Sequence[Spoken]] = []
        after = len(self._words)
        while after:
            first = best[after][1]
            portions.append(self._words[first:after])
            after = first
        return portions[::-1]

    def _fits(self, first: int, after: int) -> bool:
        """Whether these words fit into a cue. A single one always does: the renderer shrinks it."""
        if self._words[after - 1].end - self._words[first].start > MAX_SECONDS:
            return False
        if self._widths.of(first, after) <= self._columns:
            return True
        return self._lines > 1 and self._widths.fit_two_lines(first, after, self._columns)

    def _cost(self, first: int, after: int) -> float:
        words = self._words
        last = after - 1
        cost = CUE_COST + MIXED_COST * (self._ended[last] - self._ended[first])
        until = words[after].start if after < len(words) else words[last].end + LINGER_SECONDS
        hurry = 1 - (until - words[first].start) / MIN_SECONDS
        if hurry > 0:
            cost += HURRIED_COST * hurry
        if not self._is_end[last]:
            breath = until - words[last].end > BREATH_SECONDS
            clause = breath or _ends_clause(words[last].text)
            cost += CLAUSE_BREAK_COST if clause else BREAK_COST
        return cost


def _ends_clause(word: str) -> bool:
    return word.rstrip(CLOSING_QUOTES).endswith(CLAUSE_MARKS)


def _in_lines(
    portion: Sequence[Spoken], columns: int, lines: int
) -> tuple[tuple[Spoken, ...], ...]:
    widths = _Widths(portion)
    if lines > 1 and widths.of(0, len(portion)) > columns:
        middle = widths.break_of(0, len(portion), columns)
        if middle is not None:
            return tuple(portion[:middle]), tuple(portion[middle:])
    return (tuple(portion),)


def _lengthened(cues: Sequence[Cue], length: float) -> list[Cue]:
    """The cues with time to read: to `MIN_SECONDS` and a little after the last word, as far as is free."""
    lengthened = []
    for cue, following in itertools.zip_longest(cues, cues[1:]):
        free = following.start if following else length
        end = min(max(cue.end + LINGER_SECONDS, cue.start + MIN_SECONDS), free)
        if following and free - end < FLICKER_SECONDS:
            end = free
        lengthened.append(Cue(cue.start, end, cue.lines))
    return lengthened

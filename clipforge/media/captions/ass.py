"""Captions as an ASS document, which libass draws into the pictures.

Each line of a cue is an event of its own at a place that we compute, so that lines keep their distance
whatever font draws them, and no renderer breaks or shifts them. Words are escaped: libass reads tags in
braces, and a backslash before some letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from clipforge.media.captions import fonts, text
from clipforge.media.contracts import CaptionMode, CaptionPosition, CaptionSize, FaceBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from clipforge.media.captions.cues import Cue, Spoken
    from clipforge.media.contracts import Captions

# The em by the shorter side of the picture.
EM = {CaptionSize.SMALL: 0.055, CaptionSize.MEDIUM: 0.075, CaptionSize.LARGE: 0.1}
# On a wide picture the shorter side is the height, and lines have more room than they need.
WIDE_SCALE = 0.7
LETTER_EMS = 0.53  # the mean width of a letter of bold Latin text, for the choice of line breaks
LINE_EMS = 1.25
# Scripts with marks above and below the letters, which would touch the other line.
TALL_LINE_EMS = 1.55
TALL_FONT = 1.5  # a font whose line is higher than this, in ems
ABOVE_EMS, BELOW_EMS = 0.95, 0.3  # what a line takes above and below its baseline
OUTLINE_EMS, SHADOW_EMS = 0.075, 0.03
EMPHASIS_EMS = 0.035  # by so much the outline of the spoken word is thicker, in its own colour
DARK = 0.4  # text darker than this has a white outline
HIGHLIGHT_LINGER = 0.3  # seconds after the last word of a cue
# Without width, and not a letter: after it, libass does not take a backslash for a tag.
WORD_JOINER = "\N{WORD JOINER}"


@dataclass(frozen=True, slots=True)
class Margins:
    """Shares of the width and height that captions leave free."""

    side: float
    top: float
    bottom: float


# Of a vertical clip, the platforms cover the top with the account, the bottom with title and sound, and
# the right side with buttons: what TikTok, Reels and Shorts all leave free, as they were in 2025.
VERTICAL = Margins(side=0.12, top=0.14, bottom=0.24)
SQUARE = Margins(side=0.07, top=0.08, bottom=0.08)
WIDE = Margins(side=0.10, top=0.07, bottom=0.07)


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of the pictures, in pixels, and what follows from it for captions."""

    width: int
    height: int

    @property
    def margins(self) -> Margins:
        shape = Fraction(self.width, self.height)
        if shape < Fraction(4, 5):
            return VERTICAL
        return SQUARE if shape < Fraction(5, 4) else WIDE

    def em(self, size: CaptionSize) -> float:
        scale = WIDE_SCALE if self.margins is WIDE else 1.0
        return EM[size] * scale * min(self.width, self.height)

    @property
    def line_pixels(self) -> float:
        """The longest line."""
        return self.width * (1 - 2 * self.margins.side)

    def columns(self, size: CaptionSize, at_most: int) -> int:
        """So many letters of this size fit into a line."""
        return min(at_most, max(6, int(self.line_pixels / (LETTER_EMS * self.em(size)))))


@dataclass(frozen=True, slots=True)
class Document:
    """An ASS file, and the font files that it needs."""

    content: str
    fonts: frozenset[Path]


def document(
    captions: Captions,
    cues: Iterable[Cue],
    frame: Frame,
    *,
    faces: Sequence[FaceBox] = (),
) -> Document:
    """The document that draws the cues. A cue that would cover a face goes elsewhere."""
    writer = _Writer(captions, frame, faces)
    events = [event for cue in cues for event in writer.events(cue)]
    return Document(writer.header() + "".join(events), frozenset(writer.fonts))


@dataclass(frozen=True, slots=True)
class _Line:
    """The words of a line, each with its runs of one font; the space before a word belongs to it."""

    words: tuple[tuple[Spoken, tuple[fonts.Run, ...]], ...]

    @property
    def runs(self) -> list[fonts.Run]:
        return [run for _, runs in self.words for run in runs]

    @property
    def ems(self) -> float:
        return sum(run.width for run in self.runs)

    @property
    def descent(self) -> float:
        """In ems: from the baseline to the edge that libass places."""
        return max(run.font.descent / run.font.em for run in self.runs)

    @property
    def is_tall(self) -> bool:
        return any(run.font.line / run.font.em > TALL_FONT for run in self.runs)


class _Writer:
    def __init__(self, captions: Captions, frame: Frame, faces: Sequence[FaceBox]) -> None:
        self._captions = captions
        self._frame = frame
        self._faces = faces
        self._base = fonts.load(*fonts.LATIN)
        self.fonts: set[Path] = {self._base.path}

    def header(self) -> str:
        captions = self._captions
        em = self._frame.em(captions.size)
        spoken, waiting = captions.color, captions.color
        if captions.mode is CaptionMode.KARAOKE:
            spoken = captions.highlight
        outline = "#ffffff" if _brightness(captions.color) < DARK else "#000000"
        style = (
            "Caption",
            *(self._base.family, f"{em:.2f}", _color(spoken), _color(waiting), _color(outline)),
            *("&H80000000", -1, 0, 0, 0, 100, 100, 0, 0, 1),
            *(f"{em * OUTLINE_EMS:.2f}", f"{em * SHADOW_EMS:.2f}", 2, 0, 0, 0),
            -1,  # the direction of a line is that of its first letter
        )
        return HEADER.format(
            width=self._frame.width, height=self._frame.height, style=",".join(map(str, style))
        )

    def events(self, cue: Cue) -> Iterator[str]:
        lines = [line for line in map(self._line, cue.lines) if line.runs]
        if not lines:
            return
        em = self._em(lines)
        baselines = self._baselines(lines, em, cue)
        for line, baseline in zip(lines, baselines, strict=True):
            self.fonts.update(run.font.path for run in line.runs)
            x, y = self._frame.width / 2, baseline + line.descent * em
            place = f"{{\\an2\\pos({x:.1f},{y:.1f})}}"
            if self._captions.mode is CaptionMode.KARAOKE:
                yield self._event(0, cue.start, cue.end, place + self._karaoke(line, em, cue))
                continue
            yield self._event(0, cue.start, cue.end, place + _drawn(line, em))
            if self._captions.mode is CaptionMode.BOLD_WORD:
                yield from self._emphasis(line, em, cue, place)

    def _line(self, words: Sequence[Spoken]) -> _Line:
        language = self._captions.transcript.language
        found: list[tuple[Spoken, tuple[fonts.Run, ...]]] = []
        before = ""
        for word in words:
            space = text.joint(before, word.text) if before else ""
            if runs := fonts.runs(space + word.text, language):
                found.append((word, tuple(runs)))
                before = word.text
        return _Line(tuple(found))

    def _em(self, lines: Sequence[_Line]) -> float:
        """Of the chosen size, or as much smaller as the widest line needs."""
        em = self._frame.em(self._captions.size)
        return min(em, self._frame.line_pixels / max(line.ems for line in lines))

    def _baselines(self, lines: Sequence[_Line], em: float, cue: Cue) -> list[float]:
        distance = em * (TALL_LINE_EMS if any(line.is_tall for line in lines) else LINE_EMS)
        above, below = ABOVE_EMS * em, BELOW_EMS * em
        height = above + below + distance * (len(lines) - 1)
        top = self._top(self._position(height, cue), height)
        return [top + above + distance * index for index in range(len(lines))]

    def _top(self, position: CaptionPosition, height: float) -> float:
        """Where the lines begin, in pixels."""
        margins = self._frame.margins
        if position is CaptionPosition.TOP:
            return margins.top * self._frame.height
        if position is CaptionPosition.MIDDLE:
            return (self._frame.height - height) / 2
        return (1 - margins.bottom) * self._frame.height - height

    def _position(self, height: float, cue: Cue) -> CaptionPosition:
        """The chosen position, or where it covers a face, one that covers none."""
        chosen = self._captions.position
        for position in (chosen, *(OTHERS[chosen])):
            if not self._covers_face(self._top(position, height), height, cue):
                return position
        return chosen

    def _covers_face(self, top: float, height: float, cue: Cue) -> bool:
        first, last = top / self._frame.height, (top + height) / self._frame.height
        return any(
            face.start < cue.end
            and cue.start < face.end
            and face.top < last
            and first < face.bottom
            for face in self._faces
        )

    def _karaoke(self, line: _Line, em: float, cue: Cue) -> str:
        """Words in the colour of what waits, each in the other from its start on."""
        parts = []
        begin = cue.start
        starts = [min(max(word.start, cue.start), cue.end) for word, _ in line.words]
        parts.append(f"{{\\k{_centis(starts[0]) - _centis(begin)}}}")
        for (_, runs), start, following in zip(
            line.words, starts, [*starts[1:], cue.end], strict=True
        ):
            length = _centis(following) - _centis(start)
            parts.append(f"{{\\k{length}}}" + "".join(_run(run, em) for run in runs))
        return "".join(parts)

    def _emphasis(self, line: _Line, em: float, cue: Cue, place: str) -> Iterator[str]:
        """Over the line: the same line once for each word, all but that word unseen."""
        color = _color(self._captions.highlight)
        starts = [word.start for word in cue.words]
        seen = f"{{\\alpha&H00&\\1c{color}\\3c{color}\\bord{em * EMPHASIS_EMS:.2f}\\shad0}}"
        for index, (word, _) in enumerate(line.words):
            following = next((start for start in starts if start > word.start), cue.end)
            start, end = max(word.start, cue.start), min(word.end + HIGHLIGHT_LINGER, following)
            parts = [
                (seen if place_of == index else UNSEEN) + "".join(_run(run, em) for run in runs)
                for place_of, (_, runs) in enumerate(line.words)
            ]
            yield self._event(1, start, end, place + "".join(parts))

    def _event(self, layer: int, start: float, end: float, content: str) -> str:
        begin, finish = _time(start), _time(end)
        if begin == finish:
            return ""
        return f"Dialogue: {layer},{begin},{finish},Caption,,0,0,0,,{content}\n"


OTHERS = {
    CaptionPosition.BOTTOM: (CaptionPosition.TOP, CaptionPosition.MIDDLE),
    CaptionPosition.MIDDLE: (CaptionPosition.BOTTOM, CaptionPosition.TOP),
    CaptionPosition.TOP: (CaptionPosition.BOTTOM, CaptionPosition.MIDDLE),
}
UNSEEN = "{\\alpha&HFF&}"
HEADER = """\
[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 2
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: {style}

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def _drawn(line: _Line, em: float) -> str:
    return "".join(_run(run, em) for run in line.runs)


def _run(run: fonts.Run, em: float) -> str:
    """libass takes the height of a font's line for its size; so the em of each is made alike."""
    size = em * run.font.line / run.font.em
    return f"{{\\fn{run.font.family}\\fs{size:.2f}}}{escaped(run.text)}"


def escaped(plain: str) -> str:
    """The text as libass draws it: no tags, no breaks."""
    return plain.replace("\\", "\\" + WORD_JOINER).replace("{", "\\{").replace("}", "\\}")


def _color(color: str) -> str:
    red, green, blue = color[1:3], color[3:5], color[5:7]
    return f"&H00{blue}{green}{red}".upper()


def _brightness(color: str) -> float:
    """From 0 for black to 1 for white, as the eye weighs the colours."""
    red, green, blue = (int(color[index : index + 2], 16) / 255 for index in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _centis(seconds: float) -> int:
    return round(seconds * 100)


def _time(seconds: float) -> str:
    minutes, centis = divmod(_centis(seconds), 6000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{centis // 100:02}.{centis % 100:02}"

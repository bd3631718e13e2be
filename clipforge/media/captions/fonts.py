"""The fonts of captions, which come with wheels, and the choice of one that has the letters.

No font of the machine is used, so that a clip looks the same wherever it is rendered. libass draws an
empty box for a letter that its font does not have; so the font is chosen here, by what the file says it
has, and what none of them has is never handed to libass.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# (package, file, face within the file), the best first. Only the first is a bold one; libass thickens
# the others.
LATIN = ("font_roboto", "files/Roboto-Bold.ttf", 0)
NOTO = tuple(
    ("manimgx_fonts", f"Noto{name}[wght].ttf", 0)
    for name in (
        *("Sans", "SansArabic", "SansHebrew", "SansDevanagari", "SansBengali", "SansTamil"),
        *("SansTelugu", "SansThai", "SansGujarati", "SansGurmukhi", "SansKannada", "SansMalayalam"),
        *("SansOriya", "SansSinhala", "SansArmenian", "SansGeorgian", "SansEthiopic"),
        *("SansKhmer", "SansLao", "SansMyanmar"),
    )
)
SYMBOLS = tuple(("manimgx_fonts", f"Noto{name}[wght].ttf", 0) for name in ("SansSymbols", "Emoji"))
CJK_PACKAGE, CJK_FILE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"
# The same character is drawn differently in each of these languages.
CJK_FACES = {"ja": 0, "ko": 1, "zh": 2}
DEFAULT_CJK_FACE = CJK_FACES["zh"]
# Drawn as nothing by the shaper, whatever the font: joiners, direction marks, variation selectors.
INVISIBLE = frozenset(map(chr, (0x00AD, *range(0x200B, 0x2010), 0x2060, *range(0xFE00, 0xFE10))))
# Of the tables of a font file.
WINDOWS, FAMILY_NAME = 3, 1
FIRST_65536, ALL_OF_UNICODE = (3, 1), (3, 10)


@dataclass(frozen=True, slots=True)
class Font:
    """One face of a font file. Widths and heights are in its units, `em` to the em."""

    path: Path
    family: str
    em: int
    line: int  # the height that libass takes for the font's size
    descent: int  # how much of it is below the letters
    glyphs: dict[int, int]  # by character
    advances: tuple[int, ...]  # by glyph; those after the last are as wide as that

    def has(self, char: str) -> bool:
        return self.glyphs.get(ord(char), 0) != 0

    def width(self, char: str) -> float:
        """The advance in ems; none for a mark on another character."""
        if unicodedata.category(char) in ("Mn", "Me", "Cf"):
            return 0.0
        glyph = self.glyphs.get(ord(char), 0)
        return self.advances[min(glyph, len(self.advances) - 1)] / self.em


def stack(language: str) -> tuple[tuple[str, str, int], ...]:
    """The fonts to try for text in this language (ISO 639-1), the best first."""
    cjk = (CJK_PACKAGE, CJK_FILE, CJK_FACES.get(language, DEFAULT_CJK_FACE))
    return (LATIN, *NOTO, cjk, *SYMBOLS)


def font_for(char: str, language: str) -> Font | None:
    """The first font that has the character."""
    return next((font for font in _fonts(language) if font.has(char)), None)


def _fonts(language: str) -> Iterator[Font]:
    return (load(*entry) for entry in stack(language))


@dataclass(frozen=True, slots=True)
class Run:
    """Text that one font draws."""

    text: str
    font: Font

    @property
    def width(self) -> float:
        """In ems, before letters are joined or moved together."""
        return sum(map(self.font.width, self.text))


def runs(text: str, language: str) -> list[Run]:
    """The text in runs of one font each. What no font has is left out; see `undrawable`."""
    found: list[Run] = []
    for char in text:
        last = found[-1] if found else None
        font = last.font if last and _stays(char, last.font) else font_for(char, language)
        if font is None:
            continue
        if last and font is last.font:
            found[-1] = Run(last.text + char, font)
        else:
            found.append(Run(char, font))
    return found


def _stays(char: str, font: Font) -> bool:
    return char in INVISIBLE or font.has(char)


def undrawable(text: str, language: str) -> str:
    """The letters that no font has, each once. Without any of them the rest still makes sense."""
    return "".join(
        sorted(
            {
                char
                for char in set(text)
                if unicodedata.category(char)[0] in "LMN"
                and char not in INVISIBLE
                and font_for(char, language) is None
            }
        )
    )


@functools.cache
def load(package: str, name: str, face: int) -> Font:
    """The face, read from the installed package. Raises FileNotFoundError where that is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package}, which has fonts, is not installed")
    path = Path(spec.origin).parent / name
    tables = _tables(path, face)
    ascent, descent = struct.unpack_from(">HH", tables["OS/2"], 74)
    (em,) = struct.unpack_from(">H", tables["head"], 18)
    (count,) = struct.unpack_from(">H", tables["hhea"], 34)
    return Font(
        path=path,
        family=_family(tables["name"]),
        em=em,
        line=ascent + descent,
        descent=descent,
        glyphs=_glyphs(tables["cmap"]),
        advances=struct.unpack_from(">" + "Hh" * count, tables["hmtx"])[::2],
    )


def _tables(path: Path, face: int) -> dict[str, bytes]:
    """The tables of the face that are needed here, without the drawings of the glyphs."""
    wanted = ("OS/2", "head", "hhea", "hmtx", "name", "cmap")
    with path.open("rb") as file:
        start = 0
        if file.read(4) == b"ttcf":  # a collection of faces
            file.seek(12 + 4 * face)
            (start,) = struct.unpack(">I", file.read(4))
        file.seek(start + 4)
        (count,) = struct.unpack(">H", file.read(2))
        file.seek(start + 12)
        entries = [struct.unpack(">4s4xII", file.read(16)) for _ in range(count)]
        found = {}
        for tag, offset, length in entries:
            if tag.decode() in wanted:
                file.seek(offset)
                found[tag.decode()] = file.read(length)
        return found


def _family(table: bytes) -> str:
    """The family name by which libass finds the face."""
    count, strings = struct.unpack_from(">HH", table, 2)
    for index in range(count):
        platform, _, _, kind, length, offset = struct.unpack_from(">6H", table, 6 + 12 * index)
        if platform == WINDOWS and kind == FAMILY_NAME:
            return table[strings + offset :][:length].decode("utf-16-be")
    raise ValueError("a font without a name")


def _glyphs(table: bytes) -> dict[int, int]:
    (count,) = struct.unpack_from(">H", table, 2)
    encodings = {
        struct.unpack_from(">HH", table, 4 + 8 * index): struct.unpack_from(
            ">I", table, 8 + 8 * index
        )[0]
        for index in range(count)
    }
    if ALL_OF_UNICODE in encodings:
        return _by_groups(table[encodings[ALL_OF_UNICODE] :])
    return _by_segments(table[encodings[FIRST_65536] :])


def _by_groups(table: bytes) -> dict[int, int]:
    """Format 12: first and last character, and the glyph of the first."""
    (count,) = struct.unpack_from(">I", table, 12)
    return {
        code: glyph + code - first
        for first, last, glyph in struct.iter_unpack(">3I", table[16 : 16 + 12 * count])
        for code in range(first, last + 1)
    }


def _by_segments(table: bytes) -> dict[int, int]:
    """Format 4: the glyphs of a segment follow its characters by a distance, or are listed."""
    size = struct.unpack_from(">H", table, 6)[0] // 2
    lasts = struct.unpack_from(f">{size}H", table, 14)
    firsts = struct.unpack_from(f">{size}H", table, 16 + 2 * size)
    deltas = struct.unpack_from(f">{size}H", table, 16 + 4 * size)
    lists = 16 + 6 * size
    offsets = struct.unpack_from(f">{size}H", table, lists)
    found = {}
    for index, (first, last, delta, offset) in enumerate(
        zip(firsts, lasts, deltas, offsets, strict=True)
    ):
        for code in range(first, last + 1):
            glyph = code
            if offset:
                place = lists + 2 * index + offset + 2 * (code - first)
                (glyph,) = struct.unpack_from(">H", table, place)
            if not offset or glyph:
                found[code] = (glyph + delta) & 0xFFFF
    return found

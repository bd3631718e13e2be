"""Text of captions: made safe for one line, measured in columns, joined to sentences.

A transcript can hold anything: people edit it, and models invent. So text is cleaned here once, and each
format escapes what is left.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The longest place name has 58. What is longer is no word, and is cut with an ellipsis.
MAX_WORD_CHARACTERS = 64
ELLIPSIS = "…"
# Marks that turn the direction of everything after them, beyond the word that has them.
DIRECTION_MARKS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
# Scripts that write no spaces between words: Thai, Lao, Myanmar, Khmer, CJK and kana.
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x312F),
    (0x31A0, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF),
    (0x20000, 0x3FFFF),
)


def clean(text: str) -> str:
    """The text on one line: control characters and unassigned ones gone, blanks single.

    At most `MAX_WORD_CHARACTERS`; may be empty.
    """
    # So many that blanks and control characters may be dropped; a megabyte is not looked at.
    text = text[: 4 * MAX_WORD_CHARACTERS]
    spaced = "".join(" " if char.isspace() else char for char in text if _is_shown(char))
    line = unicodedata.normalize("NFC", " ".join(spaced.split()))
    if len(line) > MAX_WORD_CHARACTERS:
        return line[: MAX_WORD_CHARACTERS - 1] + ELLIPSIS
    return line


def _is_shown(char: str) -> bool:
    if char.isspace():
        return True
    # Cc control, Cs surrogate, Co private use, Cn unassigned: no font has a right picture of these.
    return unicodedata.category(char) not in ("Cc", "Cs", "Co", "Cn") and (
        char not in DIRECTION_MARKS
    )


def columns(text: str) -> int:
    """The width in columns: East Asian wide characters take two, marks on another none."""
    return sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def joint(left: str, right: str) -> str:
    """The text between two words: a space, or nothing within a script that writes none."""
    return "" if left and right and _unspaced(left[-1]) and _unspaced(right[0]) else " "


def _unspaced(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in UNSPACED)


def join(words: Iterable[str]) -> str:
    joined = ""
    for word in words:
        joined += joint(joined, word) + word if joined else word
    return joined

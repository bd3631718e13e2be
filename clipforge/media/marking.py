"""The word TEST across a clip that was made for a test, so that nobody takes it for a finished one.

Its letters consist of upright strokes only, so rectangles draw them: no font, no file, no text in a command.
"""

from __future__ import annotations

# Each rectangle of a letter in cells: left, top, width, height. A letter is 3 cells wide and 5 high.
LETTERS = {
    "T": ((0, 0, 3, 1), (1, 1, 1, 4)),
    "E": ((0, 0, 1, 5), (1, 0, 2, 1), (1, 2, 2, 1), (1, 4, 2, 1)),
    "S": ((0, 0, 3, 1), (0, 1, 1, 1), (0, 2, 3, 1), (2, 3, 1, 1), (0, 4, 3, 1)),
}
WORD = "TEST"
WIDTH, HEIGHT, GAP = 3, 5, 1
# The word is half as wide as the picture. White can be seen on dark pictures, the ground on light ones.
SHARE = 2
GROUND, INK = "black@0.45", "white@0.95"


def filters(size: tuple[int, int]) -> tuple[str, ...]:
    """Filters of ffmpeg that draw it into the middle of a picture of `size` (width, height)."""
    width, height = size
    columns = len(WORD) * (WIDTH + GAP) - GAP
    cell = max(1, width // SHARE // columns)
    left, top = (width - columns * cell) // 2, (height - HEIGHT * cell) // 2
    boxes = [(left - cell, top - cell, (columns + 2) * cell, (HEIGHT + 2) * cell, GROUND)]
    for number, letter in enumerate(WORD):
        begin = left + number * (WIDTH + GAP) * cell
        boxes += [
            (begin + x * cell, top + y * cell, w * cell, h * cell, INK)
            for x, y, w, h in LETTERS[letter]
        ]
    return tuple(f"drawbox={x}:{y}:{w}:{h}:{color}:fill" for x, y, w, h, color in boxes)

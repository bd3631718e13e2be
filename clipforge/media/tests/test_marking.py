"""The word across a clip that was made for a test."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from clipforge.media import marking
from clipforge.media.ffmpeg import executable

WORD = [
    ".................",
    ".###.###.###.###.",
    "..#..#...#....#..",
    "..#..###.###..#..",
    "..#..#.....#..#..",
    "..#..###.###..#..",
    ".................",
]


@pytest.mark.parametrize("size", [(608, 1080), (1280, 720), (480, 480)], ids=str)
def test_it_reads_test_in_the_middle_of_a_picture_of_any_shape(size: tuple[int, int]):
    width, height = size
    source = f"color=c=gray:s={width}x{height}:d=0.04,format=gray"
    command = [executable(), "-v", "error", "-f", "lavfi", "-i", source, "-vf"]
    command += [
        ",".join(marking.filters(size)),
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    picture = np.frombuffer(raw, np.uint8).reshape(height, width)
    cell = width // 2 // 15
    left, top = (width - 15 * cell) // 2 - cell, (height - 5 * cell) // 2 - cell
    middles = picture[top + cell // 2 :: cell, left + cell // 2 :: cell][:7, :17]
    ground, ink = int(middles.min()), int(middles.max())
    assert ground < int(picture[0, 0]) < ink
    drawn = ["".join("#" if value == ink else "." for value in row) for row in middles]
    assert drawn == WORD
    assert 17 * cell >= 0.5 * width

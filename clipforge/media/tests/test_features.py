"""Features of made-up sound and pictures: each measures what it says, in its units."""

from __future__ import annotations

import subprocess
import tracemalloc

import numpy as np
import pytest

from clipforge.media import ffmpeg
from clipforge.media.decoding import FRAME_BYTES, FRAME_HEIGHT, FRAME_WIDTH, SAMPLE_RATE
from clipforge.media.features import (
    FLOOR_DB,
    LOUDEST_GATE,
    QUIETEST_GATE,
    Picture,
    PictureExtractor,
    Seconds,
    Sound,
    SoundExtractor,
    per_second,
    quiet_gate,
)
from clipforge.media.sample import _speech
from clipforge.media.tests import tracks


def heard(samples: np.ndarray, chunk: int = 50_001) -> Sound:
    """The sound extracted from samples in -1..1, fed in chunks of odd size."""
    data = (samples * 32767).astype("<i2").tobytes()
    extractor = SoundExtractor()
    for start in range(0, len(data), chunk):
        extractor.feed(data[start : start + chunk])
    return extractor.finish()


def seen(frames: np.ndarray, *, chunk: int = 50_001, keyframes_only: bool = False) -> Picture:
    data = frames.astype(np.uint8).tobytes()
    extractor = PictureExtractor(keyframes_only=keyframes_only)
    for start in range(0, len(data), chunk):
        extractor.feed(data[start : start + chunk])
    return extractor.finish()


def tone(seconds: float, amplitude: float = 0.5, hertz: float = 1000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * SAMPLE_RATE))


def flat(*grays: int) -> np.ndarray:
    """One frame of each gray."""
    return np.repeat(np.array(grays)[:, np.newaxis], FRAME_BYTES, axis=1)


def bars(*shifts: int) -> np.ndarray:
    """Frames of upright bars (8 pixels black, 8 white) moved to the right by so many pixels."""
    columns = np.arange(FRAME_WIDTH)
    rows = [np.tile((columns - shift) // 8 % 2 * 255, FRAME_HEIGHT) for shift in shifts]
    return np.array(rows)


def speech(seconds: int) -> np.ndarray:
    """A buzz through three formants, six syllables a second: enough for the detector."""
    time = np.arange(seconds * SAMPLE_RATE) / SAMPLE_RATE
    vowels = np.array([(730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480)])
    formants = vowels[(np.floor(6 * time).astype(int) ** 2) % 3].T
    pitch = 120 * time - 4 * np.cos(2 * np.pi * 0.6 * time)
    buzz = np.zeros_like(time)
    for harmonic in range(1, 32):
        gains = sum(1 / (1 + ((120 * harmonic - formant) / 110) ** 2) for formant in formants)
        buzz += gains * np.sin(2 * np.pi * harmonic * pitch)
    syllables = np.abs(np.sin(6 * np.pi * time)) ** 0.6
    return np.asarray(0.3 * buzz / np.abs(buzz).max() * syllables)


class TestSound:
    def test_a_tone_has_its_level_and_no_life(self):
        found = heard(tone(4))
        assert len(found.level) == 80
        assert found.level == pytest.approx(-9.03, abs=0.01)  # half of full scale, RMS
        assert found.voice == pytest.approx(-9.03, abs=0.1)
        assert found.flux[1:].max() < 0.01

    def test_a_low_tone_is_not_in_the_voice_band(self):
        assert heard(tone(1, hertz=100)).voice.max() < -35

    def test_silence_is_at_the_floor(self):
        found = heard(np.zeros(SAMPLE_RATE))
        # Logarithms differ in the last digit from one processor to the next.
        assert found.level == pytest.approx(FLOOR_DB, abs=1e-4)
        assert (found.flux == 0).all()

    def test_steady_noise_has_little_flux_and_attacks_have_much(self):
        steady = noise(10)
        strokes = steady * np.exp(-12 * (np.arange(len(steady)) / SAMPLE_RATE % 0.25))
        assert heard(steady).flux.mean() < 1.3
        assert heard(strokes).flux.mean() > 2.0

    def test_chunks_do_not_matter(self):
        samples = noise(3)
        whole, pieces = heard(samples, chunk=1_000_000), heard(samples, chunk=777)
        assert (whole.level == pieces.level).all()
        assert whole.flux == pytest.approx(pieces.flux, abs=1e-4)
        assert (whole.speech == pieces.speech).all()

    def test_syllables_are_speech_and_neither_tone_nor_noise_is(self):
        assert heard(speech(10)).speech.mean() > 0.5
        assert heard(tone(10)).speech.mean() == 0
        assert heard(noise(10)).speech.mean() == 0

    def test_speech_is_found_where_it_is(self):
        found = heard(np.concatenate([np.zeros(5 * SAMPLE_RATE), speech(5)])).speech
        assert found[:100].mean() == 0
        assert found[100:].mean() > 0.5

    def test_no_sound_is_no_hops(self):
        assert SoundExtractor().finish().seconds == 0


class TestPicture:
    def test_a_still_picture_does_not_move(self):
        found = seen(flat(*[90] * 8))
        assert (found.motion == 0).all()
        assert (found.luma == 90).all()
        assert not found.cut.any()

    def test_motion_is_the_mean_change_in_gray_levels(self):
        found = seen(bars(0, 4, 8, 12))  # half of all pixels turn over, 255 levels
        assert found.motion == pytest.approx(127.5, abs=0.1)
        assert not found.cut.any()  # as much black and white as before

    def test_a_cut_is_a_change_of_picture_and_brightness(self):
        before, after = bars(0, 0, 0, 0), bars(0, 0, 0, 0) // 8
        found = seen(np.concatenate([before, after]))
        assert np.flatnonzero(found.cut).tolist() == [4]

    def test_a_fade_is_neither_cuts_nor_motion(self):
        found = seen(flat(*range(0, 240, 30)))
        assert not found.cut.any()
        assert found.motion.max() == 0

    def test_chunks_do_not_matter(self):
        frames = np.random.default_rng(0).integers(0, 255, (20, FRAME_BYTES))
        whole, pieces = seen(frames, chunk=1_000_000), seen(frames, chunk=777)
        assert whole.motion == pytest.approx(pieces.motion, abs=1e-4)
        assert (whole.luma == pieces.luma).all()

    def test_motion_between_keyframes_is_shared_out(self):
        found = seen(bars(0, 0, 0, 0, 4, 4, 4, 4), keyframes_only=True)
        assert found.motion[:5] == pytest.approx(63.75, abs=0.1)
        assert (found.motion[5:] == 0).all()

    def test_one_picture_is_enough(self):
        assert seen(flat(7)).seconds == 0.25


class TestPerSecond:
    def test_each_second_has_its_own_row(self):
        rows = per_second(
            tracks.sound(10, (2, 3.5)), tracks.picture(10, motion=5, cuts=(6.0, 6.5)), 10
        )
        assert len(rows) == 10
        assert rows.speech.tolist() == [0, 0, 1, 0.5, 0, 0, 0, 0, 0, 0]
        assert rows.cuts.tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
        assert rows.quiet.tolist() == [1, 1, 0, 0.5, 1, 1, 1, 1, 1, 1]
        assert rows.motion[5] == 5
        assert rows.motion[6] == 2.5  # the change at a cut is not motion
        assert rows.audible

    def test_sound_that_ends_early_counts_as_quiet(self):
        rows = per_second(tracks.sound(4, lively=True), tracks.picture(8), 8)
        assert rows.quiet.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert rows.level[6] == FLOOR_DB

    def test_a_part_of_a_second_counts_as_what_there_is_of_it(self):
        rows = per_second(tracks.sound(2.6, (2, 2.6)), tracks.picture(2.75, motion=8), 2.75)
        assert len(rows) == 3
        assert rows.speech[2] == 1
        assert rows.motion[2] == 8

    def test_without_sound_or_with_a_silent_track_nothing_is_audible(self):
        nothing = SoundExtractor().finish()
        assert not per_second(nothing, tracks.picture(5), 5).audible
        assert not per_second(tracks.sound(5), tracks.picture(5), 5).audible

    def test_the_gate_follows_the_file_within_bounds(self):
        assert quiet_gate(tracks.sound(10, lively=True)) == LOUDEST_GATE
        assert quiet_gate(tracks.sound(10)) == QUIETEST_GATE
        assert quiet_gate(SoundExtractor().finish()) == QUIETEST_GATE

    def test_black_pictures_are_dark(self):
        rows: Seconds = per_second(
            SoundExtractor().finish(), seen(flat(*[4] * 4, *[90] * 4)), duration=2
        )
        assert rows.dark.tolist() == [1, 0]


def test_memory_does_not_hold_the_media():
    """A minute: 1.9 MB of sound and 1.2 MB of pictures go through, scalars stay."""
    sound, picture = SoundExtractor(), PictureExtractor()
    quarter, frame = bytes(SAMPLE_RATE // 2), bytes(FRAME_BYTES)
    sound.feed(quarter)
    picture.feed(frame)
    tracemalloc.start()
    try:
        for _ in range(4 * 60):
            sound.feed(quarter)
            picture.feed(frame)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 400_000
    assert peak < 800_000


@pytest.fixture(scope="module")
def talker() -> np.ndarray:
    """Twenty seconds of the made-up talker of the sample, alone."""
    chains = ";".join([*_speech(0, 20)][1:])
    raw = subprocess.run(
        [
            *(ffmpeg.executable(), "-v", "error", "-filter_complex", chains, "-map", "[a0]"),
            *("-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"),
        ],
        capture_output=True,
        check=True,
        env=ffmpeg.ENVIRONMENT,
    ).stdout
    return np.frombuffer(raw, "<i2") / 32768


@pytest.mark.parametrize("decibels", [-15, -25, -35])
def test_a_quiet_talk_is_heard_as_well_as_a_loud_one(talker, decibels):
    """Recorded 35 dB too low, not one syllable of it was taken for speech."""
    quiet = heard(talker * 10 ** (decibels / 20)).speech.mean()
    assert quiet == pytest.approx(heard(talker).speech.mean(), abs=0.03)


def test_soft_noise_is_not_raised_until_it_is_speech():
    assert heard(noise(30) / 30).speech.sum() == 0

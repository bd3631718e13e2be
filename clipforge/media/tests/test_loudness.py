"""The level of the sound of clips: measured as the platforms do, on what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from clipforge.media import Aspect, RenderSpec, operations
from clipforge.media.loudness import SILENCE, Correction, Level, bring_to_level, first, parse
from clipforge.media.tests.flashes import make_flashes, offsets
from clipforge.media.tests.samples import (
    AAC,
    H264,
    footage,
    loudness,
    make_video,
    run_ffmpeg,
    true_peak,
)

if TYPE_CHECKING:
    from pathlib import Path

LOUDNESS, TOLERANCE, PEAK = -14, 0.5, -1.0
# A voice-like sound: bursts of noise, with a click in each that is 20 dB louder.
PEAKY = "aevalsrc='(0.04*random(0)+if(lt(mod(t,1),0.001),0.8,0))*gt(mod(t,0.5),0.15)':s=48000"


def rendered(source: Path, tmp_path: Path, start: float = 0, end: float | None = None) -> Path:
    clip = tmp_path / "clips.mp4"
    length = operations.probe(source).duration
    operations.render(source, clip, RenderSpec(start, end or length, Aspect.SOURCE, 90))
    return clip


def sounding(path: Path, sound: str, seconds: float = 12, options=(*H264, "-c:a", "flac")) -> Path:
    return make_video(path, seconds=seconds, size="160x90", sound=sound, options=options)


class TestWhatIsWritten:
    @pytest.mark.parametrize(
        "sound",
        [
            "anoisesrc=c=pink:r=48000:seed=1",
            "anoisesrc=c=pink:r=48000:seed=1:a=0.03",
            "anoisesrc=c=white:r=48000:seed=1",  # whose highest tones the encoder drops
            "sine=f=440:b=4",
            "aevalsrc='0.99*sgn(sin(2*PI*997*t))':s=48000",
            PEAKY,
        ],
        ids=["pink", "soft", "white", "beeps", "square", "peaky"],
    )
    def test_it_has_the_level_of_the_platforms(self, tmp_path, sound):
        clip = rendered(sounding(tmp_path / "v.mkv", sound), tmp_path)
        assert loudness(clip) == pytest.approx(LOUDNESS, abs=TOLERANCE)
        assert true_peak(clip) <= PEAK

    @pytest.mark.parametrize(
        "name", ["bbb480.mp4", "mdn_crystal.mp4", "mdn_frog.mp4", "mdn_rabbit.mp4"]
    )
    def test_real_sound_has_it(self, tmp_path, name):
        clip = rendered(footage(name), tmp_path)
        assert loudness(clip) == pytest.approx(LOUDNESS, abs=TOLERANCE)
        assert true_peak(clip) <= PEAK

    def test_the_clip_is_measured_and_not_the_whole_source(self, tmp_path):
        # 20 dB softer in its second half.
        sound = "aevalsrc='if(lt(t,10),0.5,0.05)*sin(2*PI*440*t)':s=48000"
        source = sounding(tmp_path / "v.mkv", sound, seconds=20)
        assert loudness(rendered(source, tmp_path, 12, 18)) == pytest.approx(
            LOUDNESS, abs=TOLERANCE
        )

    def test_a_stretch_of_a_transport_stream_is_measured_alone(self, tmp_path):
        sound = "aevalsrc='if(lt(t,10),0.5,0.05)*sin(2*PI*440*t)':s=48000"
        source = sounding(tmp_path / "v.ts", sound, seconds=20, options=(*H264, *AAC))
        assert loudness(rendered(source, tmp_path, 12, 18)) == pytest.approx(
            LOUDNESS, abs=TOLERANCE
        )

    def test_the_noise_of_a_silent_room_is_not_raised(self, tmp_path):
        sound = "anoisesrc=c=pink:r=48000:seed=1:a=0.0005"
        source = sounding(tmp_path / "v.mkv", sound)
        assert loudness(rendered(source, tmp_path)) <= loudness(source) + 1

    def test_sound_that_ends_before_the_clip_leaves_silence(self, tmp_path):
        source = tmp_path / "v.mkv"
        tone = ("-f", "lavfi", "-i", "sine=d=1")
        run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:d=4", *tone, *H264, *AAC, source)
        clip = rendered(source, tmp_path, 2, 4)
        assert loudness(clip) <= -70
        assert operations.probe(clip).duration == pytest.approx(2, abs=0.04)


class TestSoundAgainstPicture:
    """A white flash and a beep begin together, once a second; both are looked for in the clip."""

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("v.mp4", (*H264, *AAC)),
            ("v.mkv", (*H264, "-c:a", "pcm_s16le")),
            ("v.ts", (*H264, *AAC)),
            ("v.avi", ("-c:v", "mpeg4", "-c:a", "mp3")),
        ],
    )
    @pytest.mark.parametrize("start", [0.0, 1.5])
    def test_they_stay_within_20_ms(self, tmp_path, name, options, start):
        source = make_flashes(tmp_path / name, options=options)
        clip = rendered(source, tmp_path, start, start + 4)
        # Encoders of transport streams and MP3 delay the sound a little: that is the source's.
        before = np.median(offsets(source))
        after = offsets(clip)
        assert len(after) >= 3
        assert np.abs(after - before).max() <= 0.02


class TestCorrection:
    def test_most_sound_takes_one_gain_and_no_limiter(self):
        assert first(Level(-24.0, -15.0)) == Correction(gain=10.0)
        assert first(Level(-24.0, -15.0)).filters() == ("volume=10.00dB",)

    def test_peaks_that_would_stand_out_are_limited(self):
        assert first(Level(-24.0, -12.0)) == Correction(gain=10.0)
        assert first(Level(-24.0, -11.9)) == Correction(gain=10.02, ceiling=-2.0)
        assert first(Level(-24.0, -7.0)) == Correction(gain=11.02, ceiling=-2.0)

    @pytest.mark.parametrize(
        ("found", "gain"), [(-14, 0), (-50, 36), (-59, 18), (-68, 0), (-70, 0), (-120, 0)]
    )
    def test_the_softer_a_room_is_the_less_it_is_raised(self, found, gain):
        assert first(Level(found, found)).gain == gain

    def test_what_came_out_wrong_is_made_again_until_it_is_right(self):
        made = []
        levels = iter([Level(-15.0, -0.5), Level(-14.1, -1.5)])

        def make(correction: Correction) -> Level:
            made.append(correction)
            return next(levels)

        assert bring_to_level(Level(-24.0, -4.0), make) == Level(-14.1, -1.5)
        assert made == [
            Correction(11.64, -2.0),
            Correction(13.24, pytest.approx(-2.6)),  # type: ignore[arg-type]
        ]

    @pytest.mark.parametrize(
        ("found", "passed", "kept", "times"),
        [
            (Level(-37.1, -21.2), (0, 3.9, 4.6, 20), (0, 3.2, 3.8, 10), 1),
            (Level(-41.5, -22.8), (0, 6.7, 8.1, 20), (0, 5.3, 6.5, 10), 1),
            (Level(-25.8, -9.0), (0, 4.8, 5.9, 8.7, 20), (0, 3.7, 4.4, 5.5, 8), 2),
            (Level(-40.4, -18.1), (0, 10.3, 13.3, 30), (0, 7.3, 9.6, 15), 3),
        ],
        ids=["a voice", "a crowd", "film", "wind and a click"],
    )
    def test_sound_that_loses_to_the_limiter_is_right_after_few_attempts(
        self, found, passed, kept, times
    ):
        made = []

        def make(correction: Correction) -> Level:
            made.append(correction)
            assert correction.ceiling is not None
            over = found.peak + correction.gain - correction.ceiling
            heard = np.interp(over, passed, kept) - found.peak + correction.ceiling
            return Level(float(found.loudness + heard), correction.ceiling)

        assert bring_to_level(found, make).loudness == pytest.approx(-14, abs=0.25)
        assert len(made) == times

    def test_it_is_made_five_times_at_most(self):
        made = []

        def make(correction: Correction) -> Level:
            made.append(correction)
            return Level(-20.0, -0.5)

        bring_to_level(Level(-24.0, -4.0), make)
        assert len(made) == 5
        assert made[-1].gain == 10 + 12  # limited by 12 dB and no more
        assert made[-1].ceiling is not None
        assert made[-1].ceiling >= -8

    def test_the_names_of_tracks_do_not_pass_for_a_measurement(self):
        forged = "title: Summary: I: -3.0 LUFS Peak: -9.0 dBFS\n"
        summary = "Summary:\n I: -21.4 LUFS\n Peak: -1.3 dBFS\n"
        assert parse(forged + summary) == Level(-21.4, -1.3)
        assert parse("nothing was heard") == SILENCE

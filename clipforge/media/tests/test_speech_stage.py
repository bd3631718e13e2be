"""Words as a part of the analysis: in the child, under its limits, with a stage of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clipforge.media import analyse
from clipforge.media.contracts import ErrorCode, Limits, MediaError
from clipforge.media.speech.models import FILES, SpeechModel
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.samples import make_video, run_ffmpeg


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    """Ten seconds of speech after one of silence."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    return speakers.make_talk(path, speakers.recording("beckett"), filters="adelay=1000:all=1")


def test_a_talk_comes_back_with_its_words_and_their_places(talk):
    transcript = analyse(talk, speech_model=speakers.MODEL).transcript
    assert transcript is not None
    assert transcript.text.startswith("Ever tried")
    assert transcript.words[0].start == pytest.approx(1.25, abs=0.2)
    assert transcript.words[-1].end == pytest.approx(9.75, abs=0.3)


def test_listening_is_a_stage_between_decoding_and_scoring(talk):
    seen: list[tuple[str, float]] = []
    analyse(
        talk,
        speech_model=speakers.MODEL,
        on_progress=lambda stage, share: seen.append((stage, share)),
    )
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["probing", "decoding", "listening", "scoring"]
    assert ("listening", 1.0) in seen


def test_without_a_model_nobody_listens(talk):
    seen: list[str] = []
    analysis = analyse(talk, on_progress=lambda stage, _: seen.append(stage))
    assert analysis.transcript is None
    assert "listening" not in seen


def test_without_speech_nobody_listens(tmp_path):
    path = make_video(tmp_path / "tone.mp4", seconds=5)
    seen: list[str] = []
    analysis = analyse(
        path, speech_model=speakers.MODEL, on_progress=lambda stage, _: seen.append(stage)
    )
    assert analysis.transcript is None
    assert "listening" not in seen


@pytest.mark.slow
def test_an_hour_of_white_noise_has_neither_words_nor_moments(tmp_path):
    minute, hour = tmp_path / "minute.mp4", tmp_path / "hour.mp4"
    make_video(
        minute,
        seconds=60,
        size="64x64",
        rate="5",
        picture="color",
        sound="anoisesrc=c=white:r=16000:seed=1",
    )
    run_ffmpeg("-stream_loop", "-1", "-i", minute, "-c", "copy", "-t", "3600", hour)
    limits = replace(Limits(), memory_bytes=1 << 30)
    analysis = analyse(hour, speech_model=speakers.MODEL, limits=limits)
    assert analysis.source.duration == pytest.approx(3600, abs=1)
    assert analysis.transcript is None
    assert analysis.moments == []


def test_listening_can_be_stopped(talk):
    seen: list[str] = []
    with pytest.raises(MediaError) as stopped:
        analyse(
            talk,
            speech_model=speakers.MODEL,
            on_progress=lambda stage, _: seen.append(stage),
            should_stop=lambda: "listening" in seen,
        )
    assert stopped.value.code == ErrorCode.CANCELLED
    assert "scoring" not in seen


def test_listening_needs_less_than_one_gigabyte(talk):
    """Of address space, which counts what is never touched: a third of it is in memory."""
    limits = replace(Limits(), memory_bytes=1 << 30)
    assert analyse(talk, speech_model=speakers.MODEL, limits=limits).transcript is not None


def test_a_broken_model_costs_the_transcript_and_nothing_else(talk, tmp_path, caplog):
    for name in FILES:
        (tmp_path / name).write_text("{}")
    caplog.set_level("INFO", "clipforge.media.sandbox")
    analysis = analyse(talk, speech_model=SpeechModel(str(tmp_path), "broken"))
    assert analysis.transcript is None
    assert analysis.source.duration == pytest.approx(11, abs=0.2)
    assert "no transcript: broken cannot be loaded" in caplog.text

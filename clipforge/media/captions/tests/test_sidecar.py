from __future__ import annotations

from pathlib import Path

from clipforge.media.captions import sidecar
from clipforge.media.captions.cues import Cue, Spoken, cues_of
from clipforge.media.captions.tests.spoken import spoken
from clipforge.media.tests.samples import run_ffmpeg

SPEECH = cues_of(spoken("Ask not.", "And why not?", start=3599.7), 0, 4000)


def cue(*lines: str) -> Cue:
    return Cue(0, 1, tuple((Spoken(line, 0, 1),) for line in lines))


def test_srt_numbers_the_cues_and_writes_a_comma_before_the_milliseconds() -> None:
    assert sidecar.srt(SPEECH) == ("1\n00:59:59,700 --> 01:00:01,700\nAsk not. And why not?\n")
    assert sidecar.srt([*SPEECH, *SPEECH]).count("\n\n2\n") == 1


def test_webvtt_has_its_header_and_a_point_before_the_milliseconds() -> None:
    assert sidecar.webvtt(SPEECH) == (
        "WEBVTT\n\n00:59:59.700 --> 01:00:01.700\nAsk not. And why not?\n"
    )


def test_without_cues_the_files_are_valid_and_empty() -> None:
    assert (sidecar.srt([]), sidecar.webvtt([])) == ("", "WEBVTT\n")


def test_two_lines_stay_two_lines() -> None:
    assert sidecar.srt([cue("one", "two")]).splitlines()[2:] == ["one", "two"]


def test_webvtt_shows_tags_and_ampersands_as_they_are() -> None:
    written = sidecar.webvtt([cue("<i>R&D</i> --> {\\an8}")])
    assert written.splitlines()[3] == "&lt;i&gt;R&amp;D&lt;/i&gt; --&gt; {\\an8}"


def test_srt_breaks_up_what_a_player_would_take_for_tags_or_times() -> None:
    written = sidecar.srt([cue("<i>R&D</i> --> {\\an8}")])
    assert written.splitlines()[2] == "<\u200bi>R&D<\u200b/i> --\u200b> {\u200b\\an8}"


def test_a_player_reads_back_the_words_of_both_files(tmp_path: Path) -> None:
    """ffmpeg turns what it takes for a tag into an ASS tag, or drops it."""
    words = ["<b>bold", "{\\an8}up", "a", "-->", "b", "&amp;"]
    cues = cues_of(spoken(" ".join(words)), 0, 9)
    for name, written in (("a.srt", sidecar.srt(cues)), ("a.vtt", sidecar.webvtt(cues))):
        (tmp_path / name).write_text(written, encoding="utf-8")
        run_ffmpeg("-i", tmp_path / name, tmp_path / f"{name}.ass")
        ass = (tmp_path / f"{name}.ass").read_text(encoding="utf-8")
        (line,) = (line for line in ass.splitlines() if line.startswith("Dialogue"))
        read = line.split(",", 9)[9]
        for escape in ("\\{", "{{}"):  # of a brace that begins no tag
            read = read.replace(escape, "{")
        read = read.replace("\\\u2060", "\\")  # of a backslash, as ffmpeg writes it
        assert read.replace(sidecar.NO_WIDTH, "") == " ".join(words)

from __future__ import annotations

import itertools

from clipforge.media.captions import cues, text
from clipforge.media.captions.cues import Cue, cues_of
from clipforge.media.captions.tests.spoken import at, spoken

SPEECH = spoken(
    "And so, my fellow Americans: ask not what your country can do for you; "
    "ask what you can do for your country.",
    "Why?",
    "Because nobody else will.",
)  # 28 words, 8.1 s


def shown(found: list[Cue]) -> list[tuple[float, float, tuple[str, ...]]]:
    return [(round(cue.start, 3), round(cue.end, 3), cue.texts) for cue in found]


def test_words_come_in_two_lines_that_break_where_the_speaker_does() -> None:
    assert shown(cues_of(SPEECH, 0, 10)) == [
        (0.0, 1.5, ("And so, my fellow Americans:",)),
        (
            1.5,
            6.6,
            ("ask not what your country can do for you;", "ask what you can do for your country."),
        ),
        (6.6, 8.6, ("Why? Because nobody else will.",)),
    ]


def test_a_vertical_clip_has_shorter_lines() -> None:
    found = cues_of(SPEECH, 0, 10, columns=cues.VERTICAL_COLUMNS)
    assert found[0].texts == ("And so, my fellow Americans:", "ask not what your country")
    assert max(text.columns(line) for cue in found for line in cue.texts) == 28


def test_times_count_from_the_start_of_the_clip_and_stay_inside_it() -> None:
    found = cues_of(SPEECH, 1.5, 6.6)
    assert shown(found) == [
        (
            0.0,
            5.1,
            ("ask not what your country can do for you;", "ask what you can do for your country."),
        )
    ]


def test_no_cue_lasts_more_than_six_seconds_or_has_a_line_of_more_than_42_columns() -> None:
    slow = spoken(" ".join(["slowly"] * 40), pace=1.3)
    quick = spoken(" ".join(["quick"] * 400), pace=0.05)
    assert max(cue.words[-1].end - cue.start for cue in cues_of(slow, 0, 60)) <= 6.0
    assert {len(cue.lines) for cue in cues_of(quick, 0, 60)} <= {1, 2}
    assert max(text.columns(line) for cue in cues_of(quick, 0, 60) for line in cue.texts) <= 42


def test_cues_follow_each_other_and_never_overlap() -> None:
    found = cues_of(SPEECH, 0, 10, columns=20)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert all(cue.start < cue.end for cue in found)


def test_a_short_word_stands_for_a_second_where_nothing_follows() -> None:
    assert shown(cues_of(at(("No.", 2.0, 2.2)), 0, 10)) == [(2.0, 3.0, ("No.",))]


def test_a_cue_ends_with_the_clip() -> None:
    assert shown(cues_of(at(("No.", 2.0, 2.2)), 0, 2.5)) == [(2.0, 2.5, ("No.",))]


def test_a_pause_of_more_than_07_seconds_ends_a_cue_and_leaves_the_picture_free() -> None:
    pause = at(("Wait", 0.0, 0.5), ("for", 0.5, 1.0), ("it.", 2.5, 3.0))
    assert shown(cues_of(pause, 0, 5)) == [(0.0, 1.5, ("Wait for",)), (2.5, 3.5, ("it.",))]
    edge = at(("Wait", 0.0, 1.0), ("for", 1.7, 2.7), ("it.", 3.41, 4.5))
    assert [cue.texts for cue in cues_of(edge, 0, 5)] == [("Wait for",), ("it.",)]


def test_where_words_have_no_punctuation_lines_break_where_the_speaker_breathes() -> None:
    words = [(f"w{n}", 0.5 * n + 0.3 * (n > 6), 0.5 * n + 0.5 + 0.3 * (n > 6)) for n in range(14)]
    found = cues_of(at(*words), 0, 9, columns=13)
    assert "w7" in {cue.words[0].text for cue in found}


def test_a_gap_of_less_than_a_quarter_of_a_second_is_closed() -> None:
    apart = at(("One", 0.0, 1.0), ("two", 2.1, 3.0))
    near = at(("One", 0.0, 1.0), ("two", 2.09, 3.0), ("three", 4.7, 5.0))
    assert [cue.end for cue in cues_of(apart, 0, 9)] == [1.5, 3.5]
    assert cues_of(near, 0, 9)[0].end == 1.5
    closed = at(("One", 0.0, 1.0), ("two", 1.7, 3.0), ("three.", 4.1, 5.0))
    assert [(cue.start, cue.end) for cue in cues_of(closed, 0, 9)] == [(0.0, 3.5), (4.1, 5.5)]


def test_a_word_too_wide_for_a_line_stands_alone() -> None:
    found = cues_of(spoken("see " + "x" * 60 + " there"), 0, 9)
    assert [cue.texts for cue in found] == [("see",), ("x" * 60,), ("there",)]


def test_chinese_is_joined_without_spaces_and_counts_two_columns_a_character() -> None:
    chinese = spoken("你 好 世 界", language="zh")
    assert cues_of(chinese, 0, 9)[0].texts == ("你好世界",)
    assert text.columns("你好") == 4
    assert [cue.texts for cue in cues_of(chinese, 0, 9, columns=5)] == [("你好", "世界")]


def test_words_without_length_or_out_of_order_still_give_cues_in_order() -> None:
    hostile = at(*((f"w{n}", 3.0 - n / 100, 1.0) for n in range(200)))
    found = cues_of(hostile, 0, 10)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert all(0 <= cue.start < cue.end <= 10 for cue in found)


def test_no_words_give_no_cues() -> None:
    assert cues_of(spoken("Later.", start=20), 0, 10) == []
    assert cues_of(at(("\0", 0, 1), (" \n", 1, 2)), 0, 10) == []

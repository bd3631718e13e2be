from __future__ import annotations

import pytest

from clipforge.media.captions import text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n", "two lines"),
        ("a\0b\x1b[31mc\x7f", "ab[31mc"),
        ("non\u00a0breaking\u2028line", "non breaking line"),
        ("\ue000\ud800\U000e01f0", ""),
        ("e\u0301", "é"),
        ("a\u202eb\u2066c", "abc"),
        ("{\\b1}<i>%{x}", "{\\b1}<i>%{x}"),
    ],
)
def test_text_comes_on_one_line_without_control_characters(raw: str, shown: str) -> None:
    assert text.clean(raw) == shown


def test_a_word_of_64_characters_is_kept_and_one_of_65_is_cut() -> None:
    assert text.clean("a" * 64) == "a" * 64
    assert text.clean("a" * 65) == "a" * 63 + "…"
    assert text.clean("a" * 1_000_000) == "a" * 63 + "…"


def test_width_counts_wide_characters_twice_and_marks_not_at_all() -> None:
    assert text.columns("abc") == 3
    assert text.columns("日本") == 4
    assert text.columns("n\u0303\u200d") == 1


def test_words_are_joined_as_their_script_is_written() -> None:
    assert text.join(["Ask", "not."]) == "Ask not."
    assert text.join(["東", "京", "Tower"]) == "東京 Tower"
    assert text.join([]) == ""

"""The excerpt of a failure names its cause, and nothing of the machine or of its keys."""

from __future__ import annotations

import pytest

from clipforge.common.failure_excerpt import MOST, failure_excerpt, safe_traceback


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("moov atom not found", "moov atom not found"),
        ("file:/srv/media/a1/source: Invalid data", "file:…/source: Invalid data"),
        ('File "/usr/lib/python3.11/json/decoder.py", line 1', 'File "…/decoder.py", line 1'),
        ("GET https://cdn.example/x?signature=abc said 403", "GET [address] said 403"),
        ("connect to postgresql://u:pw@db/prod failed", "connect to [address] failed"),
        ("[mov,mp4 @ 0x55d0c0ffee00] no index", "[mov,mp4] no index"),
        ("key cf_live_0123abcd_secret refused", "key [secret] refused"),
        ("token 0123456789abcdef0123456789abcdef01", "token [secret]"),
        ("rate 30000/1001, ratio 16/9", "rate 30000/1001, ratio 16/9"),
        (
            "project 01981d2e-1111-7abc-8def-0123456789ab failed",
            "project 01981d2e-1111-7abc-8def-0123456789ab failed",
        ),
        ("zero\x00 bell\x07 turned\u202e round\n\ttab", "zero bell turned round\n\ttab"),
        ("half of a pair \ud83d", "half of a pair"),
        ("<b>bold</b>", "<b>bold</b>"),
    ],
)
def test_words_are_kept_and_places_addresses_and_secrets_are_not(said: str, kept: str):
    assert failure_excerpt(said) == kept


def test_the_folder_of_the_files_is_taken_out_whatever_is_in_its_name(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "video files"
    assert (
        failure_excerpt(f"cannot open {settings.MEDIA_ROOT}/a/source") == "cannot open …/a/source"
    )


def test_the_end_is_kept_of_what_is_too_long():
    kept = failure_excerpt("x " * MOST + "the end")
    assert len(kept) == MOST
    assert kept.startswith("…")
    assert kept.endswith("the end")


def test_of_an_error_its_kind_and_its_lines_are_kept_and_its_text_is_not():
    try:
        int("a secret")
    except ValueError as error:
        said = safe_traceback(error)
    assert said.endswith("\nValueError")
    assert "test_failure_excerpt.py" in said
    assert "secret" not in said

"""Figures as staff read them."""

from __future__ import annotations

import pytest

from clipforge.staff import formatting


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (2_300_000_000_000_000, "2,300.0 TB"),
    ],
)
def test_a_size_is_in_the_largest_unit_of_which_there_is_one(bytes_, text):
    assert formatting.size(bytes_) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (65, "1:05"), (3725.0, "1:02:05")]
)
def test_a_length_is_minutes_and_seconds_and_hours_once_there_are_any(seconds, text):
    assert formatting.length(seconds) == text


def test_what_is_counted_agrees_with_its_number():
    assert formatting.count(1, "credit") == "1 credit"
    assert formatting.count(-1, "credit") == "-1 credit"
    assert formatting.count(1200, "credit") == "1,200 credits"
    assert formatting.count(0, "entry", "entries") == "0 entries"


def test_every_status_of_work_and_payments_has_a_state():
    assert formatting.state_of("READY") == "ok"
    assert formatting.state_of("RENDERING") == "busy"
    assert formatting.state_of("FAILED") == "bad"
    assert formatting.state_of("CANCELLED") == "idle"


def test_a_long_text_is_cut_with_a_sign_that_it_was():
    assert formatting.short("a" * 80) == "a" * 80
    assert formatting.short("a" * 81) == "a" * 79 + "…"

from __future__ import annotations

import pytest

from clipforge.common.lists.csvs import attachment


def line(*cells: object) -> str:
    return b"".join(attachment([cells], name="x.csv")).decode().removesuffix("\r\n")


@pytest.mark.parametrize("sign", [*"=+-@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_begins_a_cell_with_a_formula_whatever_separates_the_cells(sign):
    formula = f"{sign}1+cmd|' /C calc'!A0"
    assert line(formula) == f"'{formula}"
    for space in (" ", "\ufeff", "\u3000 ", "\ufeff \t"):
        assert line(f"{space}{formula}").startswith(f"'{space[:1]}")
    for separator in (";", "\t", "; ", ";;", ";\u00a0", ";\ufeff"):
        assert line(f"x{separator}{formula}") == f"x{separator}'{formula}"
    assert line(f"x\n{formula}") == f'"x\n\'{formula}"'
    # A quote after the separator would open a cell, which the sign then begins.
    assert line(f'x;"{formula}').endswith(f"'{formula}\"")


@pytest.mark.parametrize("start", ["\t", "\r", "\n"])
def test_what_a_spreadsheet_skips_at_the_beginning_is_no_way_around(start):
    assert line(f"{start}x").lstrip('"').startswith("'")


@pytest.mark.parametrize(
    "text", ["a-b", "a = b", "1+1", "me@example.com", "a, b; c", "019ab-3c", "", "semi; colon\ttab"]
)
def test_what_is_no_formula_stays_as_it_is(text):
    assert line(text).strip('"') == text


def test_numbers_stay_numbers():
    assert line(-5, 7, None) == "-5,7,"

from __future__ import annotations

import pytest

from clipforge.media.captions import fonts


def test_text_is_divided_by_the_font_that_has_its_letters() -> None:
    found = [(run.text, run.font.family) for run in fonts.runs("ok مرحبا, 日本", "ja")]
    assert found == [
        ("ok ", "Roboto"),
        ("مرحبا, ", "Noto Sans Arabic"),
        ("日本", "Noto Sans CJK JP"),
    ]


def test_widths_are_those_of_the_font_file() -> None:
    (run,) = fonts.runs("Hi", "en")
    assert run.width == pytest.approx((1454 + 542) / 2048, abs=0.01)
    (wide,) = fonts.runs("日本", "ja")
    assert wide.width == 2.0


def test_marks_and_joiners_take_no_width() -> None:
    (run,) = fonts.runs("e\u0323", "vi")
    (bare,) = fonts.runs("e", "vi")
    assert run.width == bare.width


@pytest.mark.parametrize("entry", [*fonts.stack("ja"), *fonts.stack("ko"), *fonts.stack("zh")])
def test_every_font_is_installed_and_has_letters(entry: tuple[str, str, int]) -> None:
    font = fonts.load(*entry)
    assert font.path.is_file()
    assert len(font.glyphs) > 90
    assert font.line > font.em > 0


def test_a_missing_package_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no_such_fonts"):
        fonts.load("no_such_fonts", "a.ttf", 0)


def test_only_letters_and_digits_count_as_undrawable() -> None:
    assert fonts.undrawable("aᚠ𐌰\U0001fbb0 ☃", "en") == "ᚠ𐌰"

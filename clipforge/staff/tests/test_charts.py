"""Numbers over days, as a drawing, a sentence and a table."""

from __future__ import annotations

import datetime

from django.template.loader import render_to_string

from clipforge.staff.charts import HEIGHT, WIDTH, Chart, Series

DAYS = [datetime.date(2026, 11, day) for day in range(1, 11)]


def chart(values: list[int], days: list[datetime.date] = DAYS, name: str = "Spent") -> Chart:
    return Chart("test", "Ten days", days, [Series(name, "credit", "spent", values)])


def drawn(shown: Chart) -> str:
    return render_to_string("staff/chart.html", {"chart": shown})


def test_each_day_that_has_something_has_a_bar_in_its_place_as_high_as_its_share():
    (band,) = chart([0, 55, 110, 0, 0, 0, 0, 0, 0, 0]).bands
    assert [(bar.x, bar.width) for bar in band.bars] == [(68.4, 43.2), (128.4, 43.2)]
    assert [(bar.y, bar.height) for bar in band.bars] == [(21.0, 20.0), (1.0, 40.0)]
    assert [bar.label for bar in band.bars] == ["2026-11-02: 55 credits", "2026-11-03: 110 credits"]


def test_a_day_with_little_is_still_seen_beside_one_with_much():
    (band,) = chart([1, 1_000_000, 0, 0, 0, 0, 0, 0, 0, 0]).bands
    assert band.bars[0].height == 1.0
    assert all(bar.y >= 0 and bar.y + bar.height <= HEIGHT for bar in band.bars)
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in band.bars)


def test_each_series_has_its_own_scale():
    both = Chart(
        "test",
        "Ten days",
        DAYS,
        [
            Series("Spent", "credit", "spent", [2] * 10),
            Series("Granted", "credit", "granted", [9000, *[0] * 9]),
        ],
    )
    assert [band.bars[0].height for band in both.bands] == [HEIGHT - 1, HEIGHT - 1]


def test_the_sentence_says_how_much_and_when_most():
    said = chart([0, 300, 1200, 0, 0, 0, 0, 0, 0, 1]).summary
    assert said == ("2026-11-01 to 2026-11-10: 1,501 credits spent, most on 2026-11-03 (1,200).")


def test_where_nothing_happened_it_says_so_and_draws_no_bar():
    empty = chart([0] * 10)
    assert empty.summary == "Nothing happened: 2026-11-01 to 2026-11-10."
    assert empty.bands[0].bars == []
    assert "<rect" not in drawn(empty)


def test_one_day_is_one_wide_bar_and_no_days_are_no_mistake():
    (band,) = chart([7], DAYS[:1]).bands
    assert [(bar.x, bar.width, bar.height) for bar in band.bars] == [(84.0, 432.0, HEIGHT - 1)]
    assert chart([7], DAYS[:1]).summary == "2026-11-01: 7 credits spent, most on 2026-11-01 (7)."
    assert chart([], []).summary == "Nothing happened: no days."
    assert "<rect" not in drawn(chart([], []))


def test_who_cannot_see_it_is_told_the_same_by_title_description_and_table():
    html = drawn(chart([0, 300, 0, 0, 0, 0, 0, 0, 0, 1]))
    assert 'role="img"' in html
    assert 'aria-labelledby="test-1-title test-1-desc"' in html
    assert '<title id="test-1-title">Spent</title>' in html
    assert (
        "Spent a day, 2026-11-01 to 2026-11-10: 301 credits spent, most on 2026-11-02 (300)."
        in html
    )
    assert "<figcaption>2026-11-01 to 2026-11-10: 301 credits spent" in html
    rows = html.split("<tbody>")[1].split("</tr>")
    assert "2026-11-10</time></th><td>1</td>" in rows[0]
    assert "2026-11-02</time></th><td>300</td>" in rows[8]


def test_the_drawing_needs_no_style_no_script_and_no_width_of_its_own():
    html = drawn(chart([5] * 10))
    assert "style" not in html
    assert "script" not in html
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in html
    assert 'width="100%"' in html


def test_what_a_series_is_called_is_text_and_never_markup():
    html = drawn(chart([5] * 10, name="</title><script>alert(1)</script>"))
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 4

"""The path of a crop: still while it can be, smooth while it moves."""

from __future__ import annotations

import numpy as np
import pytest

from clipforge.media.reframing.paths import path, wish

RATE = 25.0
EXTENT = 0.3


def followed(middles: list[float], width: float = 0.1) -> np.ndarray:
    """The path for a face that is at these places, twice a second."""
    wishes = [wish(x - width / 2, x + width / 2, EXTENT) for x in middles]
    pictures = round(len(middles) / 2 * RATE)
    return path(wishes, np.arange(len(middles)) / 2, pictures, RATE)


class TestWishes:
    def test_a_subject_is_best_in_the_middle(self):
        assert wish(0.4, 0.5, 0.3).best == pytest.approx(0.3)

    def test_it_may_be_anywhere_inside_but_for_a_margin(self):
        found = wish(0.4, 0.5, 0.3)
        assert [found.low, found.high] == pytest.approx([0.215, 0.385])

    @pytest.mark.parametrize(("middle", "edge"), [(0.05, 0.0), (0.95, 0.7)])
    def test_no_wish_lies_beyond_the_edge(self, middle, edge):
        found = wish(middle - 0.05, middle + 0.05, 0.3)
        assert found.best == pytest.approx(edge)
        assert 0 <= found.low <= found.high <= 0.7

    def test_what_is_larger_than_the_crop_is_shown_by_its_middle(self):
        found = wish(0.2, 0.8, 0.3)
        assert [found.low, found.best, found.high] == pytest.approx([0.35, 0.35, 0.35])


class TestPaths:
    def test_it_is_still_while_the_subject_is_still(self):
        trembling = [0.5 + 0.01 * (-1) ** n for n in range(20)]
        assert np.ptp(followed(trembling)) == 0

    def test_it_is_still_while_the_subject_stays_inside(self):
        swaying = [0.5 + 0.07 * np.sin(n) for n in range(40)]
        assert np.ptp(followed(swaying)) == 0

    def test_it_moves_once_where_the_subject_changes_its_place(self):
        moved = followed([0.2] * 10 + [0.7] * 10)
        assert moved[0] == pytest.approx(0.05)
        assert moved[-1] == pytest.approx(0.55)
        assert (np.diff(moved) >= -1e-12).all()

    def test_it_moves_slowly_where_the_subject_stays_inside_meanwhile(self):
        moved = followed([0.4] * 10 + [0.58] * 10)
        assert np.abs(np.diff(moved)).max() * RATE < 0.3  # widths a second
        assert np.abs(np.diff(moved, 2)).max() < 0.001

    def test_a_subject_that_walks_stays_inside(self):
        walk = list(np.linspace(0.1, 0.9, 24))
        moved = followed(walk)
        at = moved[np.minimum(np.round(np.arange(24) / 2 * RATE).astype(int), len(moved) - 1)]
        assert (at <= np.array(walk) - 0.05 + 1e-9).all()
        assert (at + EXTENT >= np.array(walk) + 0.05 - 1e-9).all()

    def test_one_sample_is_enough(self):
        moved = path([wish(0.4, 0.5, EXTENT)], np.array([0.2]), 10, RATE)
        assert moved == pytest.approx(np.full(10, 0.3))

"""What breaks in service: nothing is lost, nothing happens twice, and what need not be seen is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clipforge.testing import drills

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# The usual run sees the worst of each kind; the long run sees them all.
SHORT = ["database crashed", "cache killed"]


@pytest.fixture
def stand() -> Iterator[drills.Stand]:
    with drills.stand() as made:
        yield made


def run(stand: drills.Stand, names: list[str]) -> list[str]:
    rows = [stand.run(name, drills.FAULTS[name]) for name in names]
    for row in rows:
        print(row)  # noqa: T201 - pytest shows it when this fails
    return [breach for row in rows for breach in drills.breaches(row)]


def test_nothing_is_lost_or_double_while_the_database_and_the_cache_break(stand):
    assert run(stand, SHORT) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_double_whatever_breaks(stand):
    assert run(stand, list(drills.FAULTS)) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_workers_killed_at_random_for_a_minute_lose_nothing_and_leave_nothing():
    row = drills.workers_killed(60)
    assert drills.breaches(row) == [], row


def test_a_drill_finds_a_planted_double_and_a_planted_loss():
    good = drills.Row("nothing", 10, 0, 0, 0, 0, 0.0)
    assert drills.breaches(good) == []
    changes: tuple[dict[str, Any], ...] = (
        {"lost": 1},
        {"double": 1},
        {"errors": 1},
        {"broken": 1},
        {"unexplained": "500"},
    )
    for change in changes:
        assert len(drills.breaches(good._replace(**change))) == 1

"""A soak sees what keeps growing, and leaves alone what may."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.loadtest import footprint, host


@pytest.mark.parametrize(
    ("what", "warm", "end", "flat"),
    [
        ("memory of web, MB", 200, 250, True),
        ("memory of web, MB", 200, 250.1, False),
        ("descriptors of workers", 40, 60, True),
        ("descriptors of workers", 40, 60.1, False),
        ("connections to PostgreSQL", 10, 15, True),
        ("connections to PostgreSQL", 10, 16, False),
        ("clients of Redis", 0, 8, True),
        ("clients of Redis", 0, 9, False),
        ("database, MB", 10, 1000, None),
    ],
)
def test_what_grew_after_warm_up_by_more_than_is_allowed_is_no_longer_flat(
    what: str, warm: float, end: float, flat: bool | None
):
    assert footprint.is_flat(what, warm, end) is flat
    (growth,) = footprint.growths({what: 1}, {what: warm}, {what: end})
    assert growth == (what, 1, warm, end, flat)


def test_descriptors_are_those_of_a_process_and_its_children(tmp_path: Path):
    before = footprint.descriptors_of_family(os.getpid())
    opened = [(tmp_path / str(number)).open("w") for number in range(7)]
    assert footprint.descriptors_of_family(os.getpid()) == before + 7
    for file in opened:
        file.close()


@pytest.mark.django_db
def test_a_footprint_has_every_figure_that_is_judged_and_the_largest_tables():
    found = footprint.footprint(web=os.getpid(), worker=os.getpid())
    assert found.keys() >= footprint.ALLOWED.keys()
    assert len([name for name in found if name.startswith("table ")]) == footprint.TABLES
    assert found["memory of web, MB"] == pytest.approx(host.memory_of_family(os.getpid()), rel=0.5)


@pytest.mark.parametrize("wrong", [{"minutes": 0.0}, {"users": 0}, {"users": 2001}])
def test_a_soak_of_nothing_is_refused(wrong: dict[str, Any]):
    with pytest.raises(CommandError, match="--minutes must be more than 0, --users 1 to 2000"):
        call_command("soak", **wrong)

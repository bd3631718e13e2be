"""Fault points: inert unless told, and where they are told to be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection, transaction

from clipforge.common.faultpoints import EXIT_CODE, FaultPoints, Rule, end_process
from clipforge.devtools.testing.factories import make_user
from clipforge.devtools.testing.faults import crash_at, environment
from clipforge.devtools.testing.races import run_together
from clipforge.orgs.models import User

ROOT = Path(__file__).resolve().parents[3]


def test_nothing_is_watched_unless_it_is_told():
    assert settings.FAULTPOINTS == ""
    assert not hasattr(apps.get_app_config("common"), "faultpoints")


@pytest.mark.parametrize("text", ["exit", "exit 1", "explode 1 .", "exit often .", "exit 1 ["])
def test_what_is_no_rule_stops_the_process_that_has_it(text):
    with pytest.raises((ValueError, KeyError, re.error)):
        FaultPoints.parse(text)


def test_the_check_before_deployment_refuses_them(settings):
    settings.FAULTPOINTS = "exit 1 ."
    found = run_checks(include_deployment_checks=True, tags=["security"])
    assert "clipforge.E001" in {each.id for each in found}


@pytest.mark.django_db(transaction=True)
def test_places_are_before_and_after_each_statement_and_each_commit():
    seen: list[str] = []

    class Listener(Rule):
        def reached(self, place: str, _: object) -> None:
            seen.append(" ".join(place.split()[:2]))

    def act(_: int) -> None:
        FaultPoints([Listener(end_process, 1, ".")]).watch(connection)
        with transaction.atomic():
            assert User.objects.count() == 0

    assert run_together(1, act) == [None]
    assert seen == ["before SELECT", "after SELECT", "before COMMIT", "after COMMIT"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("nth", "users"), [(1, 0), (2, 0), (3, 2), (4, 2)])
def test_a_thread_dies_after_a_statement_with_nothing_or_after_the_commit_with_all(nth, users):
    def act() -> None:
        with transaction.atomic():
            make_user()
            make_user()

    assert crash_at(nth, act) is (nth < 4)
    assert User.objects.count() == users


CODE = """
import django
django.setup()
from django.db import transaction
from clipforge.devtools.testing.factories import make_user
with transaction.atomic():
    make_user()
print("still here")
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("place", "users"),
    [("after INSERT INTO .orgs_user", 0), ("before COMMIT", 0), ("after COMMIT", 1)],
)
def test_a_process_ends_where_it_is_told(place, users):
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env={**environment(), "FAULTPOINTS": f"exit 1 {place}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (EXIT_CODE, ""), done.stderr
    assert User.objects.count() == users

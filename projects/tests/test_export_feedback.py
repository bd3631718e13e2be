"""`export_feedback`: ratings beside the scores that were rated."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from clipforge.devtools.testing.factories import make_moment, make_project
from projects import moments as project_moments
from projects.models import Moment

pytestmark = pytest.mark.django_db


def rate(rating: str, **scores: Any) -> Moment:
    moment = make_moment(make_project(title="Secret"), **scores)
    return project_moments.change_moment(moment=moment, placed=None, changes={"rating": rating})


def exported(tmp_path: Path, *options: str) -> list[dict[str, str]]:
    path = tmp_path / "feedback.csv"
    call_command("export_feedback", "--output", str(path), *options)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_rating_is_a_row_with_a_column_for_every_score(tmp_path, capsys):
    up = rate("up", score=71.5, subscores={"speech": 80.0}, scorer_version="2", kind="talk")
    down = rate("down", score=40.0, subscores={"motion": 35.5}, scorer_version="1")
    first, second = exported(tmp_path)
    assert (first["moment"], second["moment"]) == (str(up.pk), str(down.pk))
    assert (first["rating"], first["score"], first["kind"]) == ("up", "71.5", "talk")
    assert (first["speech"], first["motion"]) == ("80.0", "")
    assert (second["speech"], second["motion"]) == ("", "35.5")
    assert capsys.readouterr().out == f"2 ratings in {tmp_path / 'feedback.csv'}\n"


def test_ratings_of_one_version_or_of_some_days_alone(tmp_path):
    rate("up", scorer_version="1")
    rate("down", scorer_version="2")
    assert [row["rating"] for row in exported(tmp_path, "--scorer", "2")] == ["down"]
    assert len(exported(tmp_path, "--since", "2020-01-01")) == 2
    assert exported(tmp_path, "--since", "2999-01-01") == []


def test_nothing_tells_whose_it_is(tmp_path):
    moment = rate("up")
    text = str(exported(tmp_path))
    assert str(moment.org.pk) not in text
    assert "Secret" not in text


def test_without_a_file_it_goes_to_the_terminal(capsys):
    rate("up")
    call_command("export_feedback")
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("moment,rating,rated_at,scorer_version,kind,origin,start,end,score")
    assert ",up," in row


def test_without_ratings_there_is_a_header(tmp_path, capsys):
    call_command("export_feedback", "--json", "--output", str(tmp_path / "none.csv"))
    assert json.loads(capsys.readouterr().out) == {"ratings": 0}
    assert (tmp_path / "none.csv").read_text().startswith("moment,rating")

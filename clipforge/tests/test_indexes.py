"""The indexes that PostgreSQL really has: those that were promised, and none for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Model

from clipforge.devtools.query_plans.report import PROMISED

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]

# The apps whose models are ours.
OURS = {"orgs", "staff", "credits", "events", "projects", "exports", "billing"}

# An index that is the beginning of another costs every write and serves no read that the other could
# not. The exceptions, with the reason that is written beside them.
EXPLAINED = {
    "projects_moment_project": "A left prefix of the",
    "projects_project_org_size": "By its key a left",
}

# Table and leading columns of what was promised.
COLUMNS = {
    "Project created_at": ("projects_project", ["created_at"]),
    "Project (org, status)": ("projects_project", ["org_id", "status"]),
    "Project (org, created_at)": ("projects_project", ["org_id", "created_at"]),
    "Moment project": ("projects_moment", ["project_id"]),
    "Moment (project, score)": ("projects_moment", ["project_id", "score"]),
    "CreditTransaction (org, created_at)": ("credits_credittransaction", ["org_id", "created_at"]),
    "CreditTransaction (org, type)": ("credits_credittransaction", ["org_id", "type"]),
    "Export (project, status)": ("exports_export", ["project_id", "status"]),
    "Export created_at": ("exports_export", ["created_at"]),
}


class Index(NamedTuple):
    name: str
    table: str
    method: str
    # By which it is ordered, without those it only carries along; an expression as it is written.
    columns: list[str]
    operators: str  # the classes, one a column: what can be compared with what
    condition: str
    unique: bool


def our_models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS]


def indexes() -> list[Index]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name.relname, home.relname, method.amname,
                   ARRAY(SELECT COALESCE(attname::text,
                                         pg_get_indexdef(indexrelid, place::int, true))
                           FROM unnest(indkey::int2[]) WITH ORDINALITY AS key(number, place)
                           LEFT JOIN pg_attribute ON attrelid = indrelid AND attnum = number
                          WHERE place <= indnkeyatts
                          ORDER BY place),
                   indclass::text, COALESCE(pg_get_expr(indpred, indrelid), ''), indisunique
              FROM pg_index
              JOIN pg_class AS name ON name.oid = indexrelid
              JOIN pg_class AS home ON home.oid = indrelid
              JOIN pg_am AS method ON method.oid = name.relam
             WHERE home.relname = ANY(%s)
            """,
            [[model._meta.db_table for model in our_models()]],
        )
        return [Index(*row) for row in cursor.fetchall()]


def left_prefixes(found: list[Index]) -> Iterator[tuple[str, str]]:
    for short in found:
        for long in found:
            begins = long.columns[: len(short.columns)] == short.columns
            same = (short.table, short.condition) == (long.table, long.condition)
            comparable = (long.operators + " ").startswith(short.operators + " ")
            if short.name != long.name and same and begins and comparable and not short.unique:
                yield short.name, long.name


def test_all_nine_promised_indexes_are_there_as_b_trees():
    by_name = {index.name: index for index in indexes()}
    assert len(PROMISED) == 9
    for what, name in PROMISED.items():
        table, columns = COLUMNS[what]
        index = by_name[name]
        assert (index.table, index.method) == (table, "btree")
        assert index.columns[: len(columns)] == columns
        assert index.condition == ""


def test_each_of_them_is_declared_with_a_comment_that_says_what_needs_it():
    for model in apps.get_models():
        for index in model._meta.indexes:
            if index.name in PROMISED.values():
                lines = (ROOT / f"{model._meta.app_label}/models.py").read_text().splitlines()
                (at,) = [number for number, line in enumerate(lines) if f'"{index.name}"' in line]
                start = max(n for n in range(at + 1) if "models.Index(" in lines[n])
                assert lines[start - 1].strip().startswith("#"), index.name


def test_no_index_is_a_left_prefix_of_another_without_a_reason():
    found = dict(left_prefixes(indexes()))
    assert set(found) == set(EXPLAINED)
    for name, reason in EXPLAINED.items():
        assert reason in (ROOT / f"{name.split('_')[0]}/models.py").read_text()


def test_an_index_that_is_a_left_prefix_is_noticed():
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE INDEX projects_project_needless ON projects_project (org_id, status)"
        )
    assert ("projects_project_needless", "projects_project_status_newest") in left_prefixes(
        indexes()
    )


def test_no_foreign_key_has_an_index_beside_one_that_begins_with_it():
    # Django names the index of a foreign key after the column, with a hash.
    found = indexes()
    doubled = [
        index.name
        for index in found
        if len(index.columns) == 1
        and index.condition == ""  # a partial index serves no foreign key
        and index.name not in EXPLAINED
        and any(
            other.name != index.name
            and (other.table, other.condition) == (index.table, "")
            and other.columns[:1] == index.columns
            and other.operators.split()[0] == index.operators
            for other in found
        )
    ]
    assert doubled == []

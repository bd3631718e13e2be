"""Every table and every key of Redis has its bound: on the page, with a sweep that exists, and with an end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from procrastinate.contrib.django import app

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.metrics import metrics
from clipforge.devtools.testing.factories import make_project

PAGE = (Path(__file__).resolve().parents[1] / "docs/bounds.md").read_text()
TABLES, _, KEYS = PAGE.partition("## Keys of Redis")


def rows(text: str) -> list[list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in lines if "`" in row[0]]


def test_every_table_has_its_bound_on_the_page():
    named = [name for row in rows(TABLES) for name in re.findall(r"`([^`]+)`", row[0])]
    tables = [
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed or model._meta.app_label == "procrastinate"
    ]
    assert sorted(named) == sorted(tables)


def test_every_sweep_that_the_page_names_is_a_task_that_comes_by_itself():
    app.perform_import_paths()
    periodic = {name for name, _ in app.periodic_registry.periodic_tasks}
    named = {name for row in rows(TABLES) for name in re.findall(r"`([a-z_]+\.[a-z_]+)`", row[-1])}
    assert len(named) > 8
    assert named <= periodic


@pytest.mark.django_db
def test_every_key_that_requests_leave_in_redis_ends_and_is_of_a_family_of_the_page(
    api, anonymous, organization
):
    project = make_project(organization, status="QUEUED")
    redis = default_cache().redis
    before = set(redis.scan_iter("*", count=1000))
    for path in ("credits/balance", "me", "projects", f"projects/{project.pk}", "exports"):
        assert api.get(f"/api/v1/{path}").status_code == 200
    assert anonymous.get("/api/v1/pricing").status_code == 200
    assert anonymous.get("/api/v1/me").status_code == 401
    metrics.flush(at_once=True)
    made = set(redis.scan_iter("*", count=1000)) - before
    assert made
    families = [name for row in rows(KEYS) for name in re.findall(r"`([^`]+)`", row[0])]
    for key in made:
        # Of other tests beside this one, some may have ended meanwhile: -2.
        assert redis.ttl(key) != -1, key
        assert key.decode().startswith(tuple(families)), key

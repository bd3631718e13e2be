"""`clipforge.common` is the floor: it knows no name of an app that stands on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.urls import URLPattern, URLResolver, get_resolver

from clipforge.orgs import keys

ROOT = Path(settings.BASE_DIR)
COMMON = ROOT / "clipforge" / "common"
SOURCES = sorted(
    path
    for path in COMMON.rglob("*")
    if path.suffix in {".py", ".lua", ".html"} and "tests" not in path.relative_to(COMMON).parts
)

OURS = {
    config.label
    for config in apps.get_app_configs()
    if ROOT in Path(config.path).parents and ".venv" not in Path(config.path).parts
} - {"common", "clipforge"}


def names_from_above() -> set[str]:
    """The classes and tables of the apps, and the actions of their permissions."""
    models = [model for model in apps.get_models() if model._meta.app_label in OURS]
    declared = {name for model in models for name, _ in model._meta.permissions}
    return {
        *(model.__name__ for model in models),
        *(model._meta.db_table for model in models),
        *declared,
    }


def route_names(patterns: list[URLPattern | URLResolver] | None = None) -> Iterator[str]:
    """The names of the routes of the API; those of `common` itself are left out."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace is None:
                yield from route_names(pattern.url_patterns)
        elif pattern.name and "_" in pattern.name:
            yield pattern.name


# What only an app's own text has: its module, cache key, task, table or permission; the admin's
# routes and address; the prefix of an API key.
FORBIDDEN = re.compile(
    rf"\b(?:{'|'.join(sorted(OURS))})(?:[.:]|_(?=[a-z]))\w"
    rf"|\badmin:\w|{re.escape(settings.PAGES_PATH)}|\b{keys.PREFIX.split('_')[0]}_"
)


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Each identifier and each text of a source file with its line; docstrings and comments too."""
    text = path.read_text()
    yield from enumerate(text.splitlines(), 1)
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.lineno, node.value  # also one that is written over several lines


def found_in(path: Path) -> set[str]:
    above = names_from_above() | set(route_names())
    return {
        f"{path.name}:{number}: {found}"
        for number, text in words_of(path)
        for found in [*FORBIDDEN.findall(text), *(above & set(re.findall(r"\w+", text)))]
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(COMMON)))
def test_nothing_in_common_names_what_stands_on_it(path: Path):
    assert found_in(path) == set()


@pytest.mark.parametrize(
    "line",
    [
        'KEY = "cf_live_"',
        'ADMIN = "/admin/"',
        'url = reverse("admin:index")',
        'function = "orgs_trigrams"',
        'KEY = "credits:balance:1"',
        'Model = apps.get_model("orgs.Organization")',
        "from projects.models import Moment",
        "def f(row: Organization): ...",
        'cursor.execute("SELECT 1 FROM orgs_apikey")',
        'url = reverse("credits_balance")',
        'may = user.has_perm("rescue_work")',
    ],
)
def test_a_name_from_above_is_found(tmp_path: Path, line: str):
    (tmp_path / "source.py").write_text(line)
    assert found_in(tmp_path / "source.py")


def test_the_names_that_are_looked_for_are_there():
    assert {"orgs", "credits", "jobs", "projects", "exports", "billing", "staff"} <= OURS
    assert names_from_above() >= {"Organization", "orgs_apikey", "CreditHold", "rescue_work"}
    assert Permission.__name__ not in names_from_above()
    assert len(SOURCES) >= 35

"""`clipforge.common` and `clipforge.media` are the floor: they know no name of an app above."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

from clipforge.orgs import keys

ROOT = Path(settings.BASE_DIR)
PACKAGE = ROOT / "clipforge"
FLOOR = ("clipforge.common", "clipforge.media")
SOURCES = sorted(
    path
    for room in ("common", "media")
    for path in (PACKAGE / room).rglob("*")
    if path.suffix in {".py", ".lua", ".html"} and "tests" not in path.relative_to(PACKAGE).parts
)

OURS = {
    config.label
    for config in apps.get_app_configs()
    if ROOT in Path(config.path).parents and ".venv" not in Path(config.path).parts
} - {"common", "clipforge"}


def models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS]


def compound_names() -> set[str]:
    """Tables, permissions and routes of the apps: no such word is in plain text by chance."""
    declared = {name for model in models() for name, _ in model._meta.permissions}
    return {model._meta.db_table for model in models()} | declared | set(route_names())


def route_names(patterns: list[URLPattern | URLResolver] | None = None) -> Iterator[str]:
    """The names of two words of the routes that lead to a view of an app above."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace is None:
                yield from route_names(pattern.url_patterns)
        elif "-" in (pattern.name or "") and not pattern.callback.__module__.startswith(FLOOR):
            yield str(pattern.name)


# Spellings that only an app's own text has: its module, cache key, task, table or permission; the admin's
# routes and address; the prefix of an API key.
FORBIDDEN = re.compile(
    rf"\b(?:{'|'.join(sorted(OURS))})(?:[.:]|_(?=[a-z]))\w"
    rf"|\badmin:\w|{re.escape(settings.PAGES_PATH)}|\b{keys.PREFIX.split('_')[0]}_"
)


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, its docstrings and comments included."""
    yield from enumerate(path.read_text().splitlines(), 1)


def identifiers_of(path: Path) -> Iterator[tuple[int, str]]:
    """The names in a Python file, and the texts that are one word, which may be used as names."""
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            # Those of others are their own: `threading.Event` is no event of a customer's, nor is Sentry's.
            case ast.Attribute(value=ast.Name(id="threading" | "asyncio" | "sentry_types")):
                continue
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield getattr(node, "lineno", 0), name
            case ast.ClassDef(name=name) | ast.Constant(value=str(name)):
                yield node.lineno, name


def found_in(path: Path) -> set[str]:
    compound, classes = compound_names(), {model.__name__ for model in models()}
    return {
        f"{path.name}:{number}: {found}"
        for number, text in texts_of(path)
        for found in [*FORBIDDEN.findall(text), *(compound & set(re.findall(r"[\w-]+", text)))]
    } | {
        f"{path.name}:{number}: {name}" for number, name in identifiers_of(path) if name in classes
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_floor_names_nothing_that_stands_on_it(path: Path):
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
        'def f(row: "Organization"): ...',
        'cursor.execute("SELECT 1 FROM orgs_apikey")',
        'url = reverse("credits-balance")',
        'may = user.has_perm("rescue_work")',
    ],
)
def test_a_name_from_above_is_found(tmp_path: Path, line: str):
    (tmp_path / "source.py").write_text(line)
    assert found_in(tmp_path / "source.py")


def test_the_names_that_are_looked_for_are_there():
    assert {"orgs", "credits", "jobs", "projects", "exports", "billing", "staff"} <= OURS
    assert compound_names() >= {"orgs_apikey", "rescue_work", "credits-balance"}
    assert {model.__name__ for model in models()} >= {"Organization", "CreditHold"}
    assert len(SOURCES) >= 35

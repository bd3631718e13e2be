"""The rules of this folder that `.importlinter` cannot say: it counts an import wherever it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STAFF = Path(__file__).resolve().parents[1]
# Django's own place for it: models are not there before.
IN_FUNCTIONS = {
    "apps.py": "StaffConfig.ready connects the receivers",
    "management/commands/watch.py": "the library of Prometheus, where metrics are asked for",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(STAFF.rglob("*.py")):
        name = path.relative_to(STAFF)
        if name.parts[0] not in {"migrations", "tests"}:
            yield str(name), ast.parse(path.read_text())


def test_no_import_hides_in_a_function():
    hidden = {
        name
        for name, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert hidden == set(IN_FUNCTIONS)


# Modules that query models of other apps themselves, and why.
QUERY_THEMSELVES = {
    "login/second_factor.py": "a device of django-otp, of either kind",
    "search/views.py": "looks an id up in the tables of all models that have one",
}
MANAGERS = {"objects", "_default_manager", "_base_manager"}
# Models of these have no selectors: ours, and those that others publish.
WITHOUT_SELECTORS = ("clipforge.staff.", "django.", "django_otp.")


def queried(tree: ast.Module) -> set[str]:
    """The models of other apps of which a module takes the manager, as they are written there."""
    own = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if node.module.startswith(WITHOUT_SELECTORS)
    }
    by_manager = {
        ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in MANAGERS
    }
    by_shortcut = {
        ast.unparse(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"get_object_or_404", "get_list_or_404"}
        and isinstance(node.args[0], ast.Name)
    }
    return (by_manager | by_shortcut) - own


def test_models_of_other_apps_are_read_through_their_selectors():
    found = {name: sorted(models) for name, tree in modules() if (models := queried(tree))}
    assert found.keys() == QUERY_THEMSELVES.keys(), found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from credits.models import CreditHold\nCreditHold.objects.all()", {"CreditHold"}),
        ("from projects.models import Project\nget_object_or_404(Project, pk=1)", {"Project"}),
        ("get_object_or_404(selectors.projects(), pk=1)", set()),
        ("def f(model):\n    return model._default_manager", {"model"}),
        ("from clipforge.staff.models import RescueRun\nRescueRun.objects.all()", set()),
    ],
)
def test_a_query_is_seen_whatever_it_begins_with(source, found):
    assert queried(ast.parse(source)) == found

"""Import rules live in `.importlinter`; this covers what imports cannot show."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.db.models import ForeignKey

ROOT = Path(__file__).resolve().parents[2]

LAYERS = (
    "audit",
    "orgs",
    "credits",
    "jobs",
    "events",
    "projects",
    "billing",
    "exports",
    "staff",
)  # floor first

# The services of orgs write the audit, so it is below them; its rows name the person and the
# organization all the same, by strings, as Django's own admin.LogEntry names the user.
POINT_UP = ["audit.AuditEntry.actor -> orgs.User", "audit.AuditEntry.org -> orgs.Organization"]

# The shape that was given: nothing else is visible at the top.
TOP_LEVEL = {
    "clipforge",
    "projects",
    "credits",
    "exports",
    "billing",
    "locustfiles",
    "manage.py",
    "requirements.txt",
    "docker-compose.yml",
    "README.md",
}


def our_models():
    return [model for model in apps.get_models() if model._meta.app_label in LAYERS]


def test_relations_point_down():
    rank = {label: position for position, label in enumerate(LAYERS)}
    upward = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for model in our_models()
        for field in model._meta.get_fields(include_parents=False)
        if field.is_relation
        and not field.auto_created
        and field.related_model is not None
        and rank.get(field.related_model._meta.app_label, -1) > rank[model._meta.app_label]
    ]
    assert upward == POINT_UP


def test_what_belongs_to_an_organization_carries_it():
    # Reached through the row that they belong to, never listed by themselves.
    # Prices are the same for all organizations, and a check of the ledger covers all of them.
    exempt = {"HoldAllocation", "Catalogue", "Price", "LedgerCheck", "Attempt"}
    without = [
        model.__name__
        for model in our_models()
        if model._meta.app_label in {"credits", "events", "projects", "exports", "billing"}
        and model.__name__ not in exempt
        and "org" not in {field.name for field in model._meta.get_fields()}
    ]
    assert without == []


def test_every_index_and_constraint_has_a_name_of_its_own():
    names = [
        entry.name
        for model in our_models()
        for entry in [*model._meta.indexes, *model._meta.constraints]
    ]
    assert len(names) == len(set(names))
    assert all(name.split("_")[0] in LAYERS for name in names)


def test_a_foreign_key_that_begins_a_composite_index_has_none_of_its_own():
    doubled = []
    for model in our_models():
        leading = {index.fields[0].lstrip("-") for index in model._meta.indexes if index.fields}
        leading |= {
            constraint.fields[0]
            for constraint in model._meta.constraints
            if getattr(constraint, "fields", None)
        }
        doubled += [
            f"{model.__name__}.{field.name}"
            for field in model._meta.get_fields()
            if isinstance(field, ForeignKey)
            and getattr(field, "db_index", False)
            and not field.unique
            and field.name in leading
        ]
    assert doubled == []


@functools.cache
def tracked_files() -> list[str]:
    return subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - whichever git made this checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


@functools.cache
def python_trees() -> dict[str, ast.Module]:
    """The syntax tree of each tracked Python file, by its path."""
    paths = [path for path in tracked_files() if path.endswith(".py") and (ROOT / path).exists()]
    return {path: ast.parse((ROOT / path).read_text(), path) for path in paths}


def test_the_top_level_stays_as_it_was_given():
    visible = {path.split("/")[0] for path in tracked_files() if not path.startswith(".")}
    assert visible <= TOP_LEVEL


def renamed_modules(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(dotted name, alias) of each module of ours that the file imports under another name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            renamed = [(alias.name, alias.asname) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            renamed = [(f"{node.module}.{alias.name}", alias.asname) for alias in node.names]
        else:
            continue
        for name, alias in renamed:
            path = ROOT.joinpath(*name.split("."))
            if alias and (path.with_suffix(".py").exists() or (path / "__init__.py").exists()):
                yield name, alias


def alias_of(module: str) -> str:
    """`credits.services` as `credit_services`, `clipforge.orgs.api.views` as `org_views`.

    A whole app is `credits_app`: `credits` itself is a name of Python's.
    """
    *rooms, name = module.split(".")
    if not rooms:
        return f"{name}_app"
    app = [room for room in rooms if room != "api"][-1]
    return f"{app.removesuffix('s')}_{name}"


def test_a_module_imported_under_another_name_says_its_app_and_its_own_name():
    lying = [
        f"{path}: {module} as {alias}, not {alias_of(module)}"
        for path, tree in python_trees().items()
        for module, alias in renamed_modules(tree)
        if alias != alias_of(module)
    ]
    assert lying == []


def test_docstrings_name_what_they_describe_and_ask_no_riddle():
    # The docstring of a serializer is its description in the schema of the API, which is published.
    riddles = [
        f"{path}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        for path, tree in python_trees().items()
        if "generated" not in path.split("/")  # from what is published
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node) or "").startswith("What")
        and not (isinstance(node, ast.ClassDef) and node.name.endswith("Serializer"))
    ]
    assert riddles == []


def test_a_file_outside_tests_and_migrations_that_people_write_has_at_most_500_lines():
    long = {
        path
        for path in tracked_files()
        if path.endswith((".py", ".js", ".css", ".html", ".lua"))
        and not {"tests", "migrations", "generated"} & set(path.split("/"))
        and (ROOT / path).exists()
        and len((ROOT / path).read_text().splitlines()) > 500
    }
    assert long == set()

"""The rules of this folder that `.importlinter` cannot say: it counts an import wherever it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

STAFF = Path(__file__).resolve().parents[1]
# Django's own place for it: models are not there before.
IN_FUNCTIONS = {"apps.py": "StaffConfig.ready connects the receivers"}


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

"""The schema has nothing that Spectral or Redocly would change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from clipforge.devtools.testing import node

pytestmark = node.needs_packages_of(node.LINTERS)

LINTERS = {
    "spectral": ["lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint"],
    "redocly": ["lint", "--config", "redocly.yaml", "--max-problems", "1000"],
}
ALL_WELL = {"spectral": "No results with a severity of 'hint' or higher found!", "redocly": ""}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(path))
    return path


@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_has_neither_errors_nor_warnings(schema: Path, linter: str):
    done = node.run(linter, *LINTERS[linter], str(schema), folder=node.LINTERS)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert ALL_WELL[linter] in said
    assert "warning" not in said.lower().replace("deprecation warning: node.js", ""), said


@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_an_operation_without_an_id(schema: Path, tmp_path: Path, linter: str):
    faulty: Any = json.loads(schema.read_text())
    del faulty["paths"]["/api/v1/projects"]["get"]["operationId"]
    path = tmp_path / "faulty.json"
    path.write_text(json.dumps(faulty))
    done = node.run(linter, *LINTERS[linter], str(path), folder=node.LINTERS)
    assert "operation-operationId" in done.stdout + done.stderr
    assert "warning" in (done.stdout + done.stderr).lower()

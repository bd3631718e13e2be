"""The generated part of the SDKs is that of the schema as it is now."""

from __future__ import annotations

from typing import Any

import pytest
from clipforge_sdk import Client

from clipforge.devtools.sdk import generating
from clipforge.devtools.sdk.reading import operations, published_schema
from clipforge.devtools.testing import node

REPAIR = "Older than the schema. Run: .venv/bin/python manage.py generate_sdk"


@pytest.fixture(scope="module")
def schema() -> Any:
    return published_schema()


def test_the_generated_part_of_the_python_sdk_is_that_of_the_schema(schema):
    stale = generating.stale(generating.python_files(schema))
    assert [path.name for path in stale] == [], REPAIR


@node.needs_packages_of(node.SDK)
def test_the_generated_part_of_the_typescript_sdk_is_that_of_the_schema(schema):
    stale = generating.stale(generating.typescript_files(schema))
    assert [path.name for path in stale] == [], REPAIR


def test_a_file_that_is_missing_or_differs_is_stale_and_is_written(tmp_path):
    files = {tmp_path / "deep/a.py": "a", tmp_path / "b.py": "b"}
    (tmp_path / "b.py").write_text("other")
    assert generating.stale(files) == list(files)
    assert generating.write(files) == list(files)
    assert generating.stale(files) == generating.write(files) == []


def test_every_operation_is_a_method_of_the_client():

    from clipforge.devtools.sdk.reading import published_schema

    ids = [each.id for each in operations(published_schema())]
    assert len(ids) > 50
    assert [each for each in ids if not callable(getattr(Client, each, None))] == []

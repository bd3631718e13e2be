"""The schema of the API tells of every event: its headers, and the body that GET has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from clipforge.events.registry import all_types


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("schema") / "schema.json"
    call_command("spectacular", "--format", "openapi-json", "--file", str(path))
    return json.loads(path.read_text())


def test_every_event_is_a_webhook_of_the_schema_with_the_three_headers(schema: Any):
    assert list(schema["webhooks"]) == [each.name for each in all_types()]
    for name, webhook in schema["webhooks"].items():
        told = webhook["post"]
        assert [each["name"] for each in told["parameters"]] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ]
        assert set(told["responses"]) == {"200"}, name
        assert told["summary"]


def test_the_data_of_an_event_are_those_that_get_of_its_object_answers(schema: Any):
    def data_of(name: str) -> str:
        content = schema["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]
        component = schema["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
        assert component["properties"]["type"]["enum"] == [name]
        return str(component["properties"]["data"]["$ref"].split("/")[-1])

    found = {each.name: data_of(each.name) for each in all_types()}
    assert {name.partition(".")[0]: data for name, data in found.items()} == {
        "endpoint": "Endpoint",
        "project": "Project",
        "export": "Export",
        "payment": "Payment",
        "credits": "LowBalance",
    }

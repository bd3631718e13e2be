"""The Python SDK is a wheel that works with what it declares, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from argparse import ArgumentParser
from importlib.metadata import distribution
from pathlib import Path
from typing import cast, get_args

import pytest
from clipforge_sdk.cli import parser
from clipforge_sdk.generated import models
from clipforge_sdk.version import VERSION
from packaging.requirements import Requirement

from clipforge.devtools.testing.node import ROOT

SDK = ROOT / "clipforge/sdk/python"
PYPROJECT = tomllib.loads((SDK / "pyproject.toml").read_text())

# In the clean environment: the types of answers, the command, and that nothing of the service came too.
PROGRAM = """
import importlib.util, json, sys
import clipforge_sdk
from clipforge_sdk.generated import models
print(json.dumps({
    "file": clipforge_sdk.__file__,
    "service": importlib.util.find_spec("clipforge") is not None,
    "django": importlib.util.find_spec("django") is not None,
    "names": [name for name in clipforge_sdk.__all__ if not hasattr(clipforge_sdk, name)],
    "status": models.Export.__annotations__["status"].__forward_arg__,
}))
"""


def run(*arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(each) for each in arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copy_dependencies(requirements: list[str], target: Path, seen: set[str]) -> None:
    """Install what is required, and what that requires, from the environment of the tests: offline."""
    for line in requirements:
        wanted = Requirement(line)
        if wanted.name in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name)
        found = distribution(wanted.name)
        for file in found.files or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target / file)
        copy_dependencies(found.requires or [], target, seen)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(
        SDK, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "dist")
    )
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    run(*pip, "--no-build-isolation", "--wheel-dir", folder, source)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    packages = (
        tmp_path / "venv/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    )
    copy_dependencies(PYPROJECT["project"]["dependencies"], packages, set())
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run(*pip, "install", "--no-deps", "--no-index", wheel)
    assert "No broken requirements" in run(*pip, "check")
    told = json.loads(run(python, "-I", "-W", "error", "-c", PROGRAM))
    assert told["file"].startswith(str(packages))
    assert (told["service"], told["django"], told["names"]) == (False, False, [])
    assert told["status"] == "ExportStatusEnum"
    command = tmp_path / "venv/bin/clipforge"
    assert run(command, "--version").strip() == VERSION
    assert set(re.findall(r"^    (\w+)", run(command, "--help"), re.MULTILINE)) == {
        *("upload", "wait", "moments", "export", "download", "balance")
    }


def test_the_wheel_has_its_types_and_no_tests(wheel: Path):
    listed = run(sys.executable, "-m", "zipfile", "--list", wheel)
    assert "clipforge_sdk/py.typed" in listed
    assert "clipforge_sdk/generated/models.py" in listed
    assert "test" not in listed


def test_the_version_is_said_once():
    assert PYPROJECT["project"]["version"] == VERSION


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("tighten", models.TightenEnum),
        ("format", models.FormatEnum),
        ("layout", models.LayoutEnum),
        ("captions", models.CaptionsEnum),
    ],
)
def test_the_help_of_the_command_names_values_that_the_service_takes(option: str, values: object):
    (commands,) = (each for each in parser()._actions if each.dest == "command")
    options = cast("dict[str, ArgumentParser]", commands.choices)["export"]._actions
    (found,) = (each for each in options if each.dest == option)
    named = set(re.split(", | or ", found.help or ""))
    assert named == set(get_args(values)) - {"none"}

"""The container image: the files that .dockerignore lets in, and the packages of its section, suffice."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

# Imports every module of the image and asks every command for its help, where the packages named
# first cannot be imported. Prints the failures.
PROGRAM = """
import contextlib, importlib, io, json, sys

refused, modules = json.load(sys.stdin)

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Refusing())
import django, manage
django.setup()
from django.core.management import get_commands

failures = {}

def attempt(what, act):
    try:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            act()
    except SystemExit as ended:
        if ended.code or "usage: manage.py" not in out.getvalue():
            failures[what] = f"{ended.code}: {out.getvalue()}"
    except Exception as error:
        failures[what] = repr(error)

for name in modules:
    attempt(name, lambda: importlib.import_module(name))
commands = sorted(get_commands())
for name in commands:
    attempt(f"manage.py {name}", lambda: manage.main(["manage.py", name, "--help"]))
print(json.dumps({"commands": commands, "failures": failures}))
"""


def matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of .dockerignore; `*` stays inside a folder, `**` is any number of them."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern.strip("/"))
    return re.compile("".join(parts.get(token, re.escape(token)) for token in tokens))


def is_in_image(path: str, patterns: list[str]) -> bool:
    """As Docker decides: the last pattern that matches the path, or a folder above it, holds."""
    parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
    included = True
    for pattern in patterns:
        rule = matcher(pattern.removeprefix("!"))
        if any(rule.fullmatch(each) for each in (path, *parents)):
            included = pattern.startswith("!")
    return included


def image_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - whichever git made this checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [path for path in listed if (ROOT / path).is_file() and is_in_image(path, patterns)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("manage.py", True),
        ("README.md", False),
        ("credits/models.py", True),
        ("credits/tests/test_model.py", False),
        ("clipforge/jobs/tests/deep/test_x.py", False),
        ("clipforge/attests/x.py", True),
        ("other/credits/x.py", False),
    ],
)
def test_patterns_are_read_as_docker_reads_them(path: str, expected: bool):
    patterns = ["*", "!clipforge", "!credits", "!manage.py", "**/tests"]
    assert is_in_image(path, patterns) is expected


def test_the_image_carries_the_product_and_nothing_that_only_tests_use():
    files = image_files()
    for app in ("billing", "credits", "exports", "projects", "clipforge/orgs", "clipforge/jobs"):
        assert f"{app}/__init__.py" in files
    outside = ("/tests/", "devtools/testing/", "devtools/benchmarks/", "devtools/loadtest/")
    assert [path for path in files if any(part in f"/{path}" for part in outside)] == []
    assert [
        path
        for path in files
        if "sdk/" in path or "generate_sdk" in path or "devtools/openapi" in path
    ] == []
    assert [path for path in files if "faultdrill" in path or "locustfiles" in path] == []


def test_every_module_and_command_of_the_image_works_without_what_only_tests_have(tmp_path: Path):
    files = image_files()
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DJANGO_SETTINGS_MODULE": "clipforge.settings",
            "DATABASE_URL": "postgresql://none",
            "REDIS_URL": "redis://none",
            "SECRET_KEY": "s" * 50,
            "API_KEY_PEPPER": "p" * 50,
        },
        input=json.dumps([sorted(packages_not_installed()), modules_of(files)]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == {}
    assert {"migrate", "worker", "set_tier", "reconcile_stripe"} <= set(result["commands"])
    assert "faultdrill" not in result["commands"]


def modules_of(files: list[str]) -> list[str]:
    """Those that can be imported; programs and gunicorn's configuration are run instead."""
    sources = [PurePosixPath(path) for path in files if path.endswith(".py")]
    return [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in sources
        if path.stem != "__main__" and "deploy" not in path.parts
    ]


def packages_not_installed() -> set[str]:
    """The top-level modules of all packages that the image's section of requirements.txt leaves out."""
    section = (ROOT / "requirements.txt").read_text().partition("# --- embedded servers")[0]
    waiting = [Requirement(line) for line in section.splitlines() if line and line[0] != "#"]
    installed: set[str] = set()
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        installed.add(canonicalize_name(wanted.name))
        for line in _requires(wanted.name):
            needed = Requirement(line)
            if any(
                needed.marker is None or needed.marker.evaluate({"extra": extra})
                for extra in ("", *wanted.extras)
            ):
                waiting.append(needed)
    return {
        module
        for module, names in packages_distributions().items()
        if not installed & {canonicalize_name(name) for name in names}
    }


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # a backport that this Python does not need
        return []

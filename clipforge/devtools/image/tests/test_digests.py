"""Digests of base images, as a docker in the place of the real one tells them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipforge.devtools.image import digests

ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
COMPOSE = """\
  image: clipforge:${CLIPFORGE_VERSION:-latest}
    image: postgres:18.1
    image: redis:8.2.3-alpine  # a cache
"""


def test_every_image_gets_its_digest_once_and_a_newer_one_later(tmp_path: Path):
    path = tmp_path / "docker-compose.yml"
    path.write_text(COMPOSE)
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return ONE

    assert digests.pin(path, ask) == {"postgres:18.1": ONE, "redis:8.2.3-alpine": ONE}
    pinned = path.read_text()
    assert f"    image: postgres:18.1@{ONE}\n" in pinned
    assert f"redis:8.2.3-alpine@{ONE}  # a cache" in pinned
    assert "image: clipforge:${CLIPFORGE_VERSION:-latest}\n" in pinned
    assert asked == ["postgres:18.1", "redis:8.2.3-alpine"]
    digests.pin(path, lambda name: OTHER if name.startswith("redis") else ONE)
    assert path.read_text() == pinned.replace(f"alpine@{ONE}", f"alpine@{OTHER}")


def test_an_image_that_is_named_twice_is_asked_for_once(tmp_path: Path):
    path = tmp_path / "Dockerfile"
    path.write_text(
        "FROM python:3.11.14-slim AS build\nFROM python:3.11.14-slim\nCOPY --from=build /a /a\n"
    )
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return ONE

    digests.pin(path, ask)
    assert asked == ["python:3.11.14-slim"]
    assert path.read_text().count(f"python:3.11.14-slim@{ONE}") == 2


def test_a_digest_that_nobody_tells_leaves_the_file_as_it_is(tmp_path: Path):
    path = tmp_path / "docker-compose.yml"
    path.write_text(COMPOSE)

    def ask(name: str) -> str:
        if name.startswith("redis"):
            raise digests.NoDigestError(name)
        return ONE

    with pytest.raises(digests.NoDigestError):
        digests.pin(path, ask)
    assert path.read_text() == COMPOSE


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (f"echo {ONE}", None),
        ("echo 'no such manifest' >&2; exit 1", "postgres:18.1: docker said: no such manifest"),
        ("echo '<no value>'", "postgres:18.1: docker said: <no value>"),
        (None, "docker is not installed: it asks the registries."),
    ],
)
def test_docker_is_asked_for_the_digest_of_all_platforms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, error: str | None
):
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "docker").write_text(
            '#!/bin/sh\n[ "$*" = "buildx imagetools inspect postgres:18.1 --format {{.Manifest.Digest}}" ]'
            f" || exit 9\n{script}\n"
        )
        (tmp_path / "docker").chmod(0o755)
    if error is None:
        assert digests.ask_registry("postgres:18.1") == ONE
        return
    with pytest.raises(digests.NoDigestError) as caught:
        digests.ask_registry("postgres:18.1")
    assert str(caught.value) == error


def test_every_image_of_ours_names_its_full_version():
    named = [
        each["name"]
        for path in digests.FILES
        for each in digests.REFERENCE.finditer(path.read_text())
    ]
    assert len(named) >= 5
    for name in named:
        tag = name.rpartition(":")[2]
        if name.startswith("minio/"):  # named by the second of their release
            assert re.fullmatch(r"RELEASE\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ", tag), name
            continue
        version = tag.partition("-")[0]
        assert len(version.split(".")) == (2 if name.startswith(("postgres:", "debian:")) else 3), (
            name
        )


def test_the_command_says_which_image_it_knows_nothing_of(tmp_path: Path):
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'no network' >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    before = [path.read_text() for path in digests.FILES]
    done = subprocess.run(
        [sys.executable, "-m", "clipforge.devtools.image", "digests"],
        cwd=digests.ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "docker said: no network Pinned so far: 0." in done.stderr
    assert [path.read_text() for path in digests.FILES] == before

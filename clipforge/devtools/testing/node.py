"""Programs that npm installs, in the folders that `.ci/run` installs. Where they are missing, tests are skipped."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINTERS = ROOT / "clipforge/devtools/openapi"
SDK = ROOT / "clipforge/sdk/typescript"


def needs_packages_of(folder: Path) -> pytest.MarkDecorator:
    """Skips a test where the packages of `folder` are not installed."""
    return pytest.mark.skipif(
        not (folder / "node_modules/.bin").is_dir(),
        reason=f"no Node packages: npm ci --prefix {folder.relative_to(ROOT)}",
    )


def run(
    program: str, *arguments: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of the packages of `folder`, in it and without the network."""
    return subprocess.run(
        [str(folder / "node_modules/.bin" / program), *arguments],
        cwd=folder,
        env={
            **os.environ,
            "NO_COLOR": "1",
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

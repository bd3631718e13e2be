"""Programs that npm installs, in the folders that `.ci/run` installs. Where they are missing, tests are skipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINTERS = ROOT / "clipforge/devtools/openapi"
SDK = ROOT / "clipforge/sdk/typescript"
# Of a project that uses the SDK: also what the SDK declares is checked.
STRICT = {
    "strict": True,
    "skipLibCheck": False,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "target": "ES2022",
    "lib": ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
    "module": "NodeNext",
    "types": ["node"],
}


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


def consumer_of_the_sdk(folder: Path) -> Path:
    """A project in which the TypeScript SDK is installed as npm packs it, with what it depends on."""
    source = folder / "source"
    shutil.copytree(
        SDK,
        source,
        ignore=shutil.ignore_patterns("node_modules", "dist", "build"),
        dirs_exist_ok=True,
    )
    (source / "node_modules").symlink_to(SDK / "node_modules")
    subprocess.run(
        ["npm", "pack", "--offline", "--silent", "--pack-destination", str(folder)],  # noqa: S607 - of the system
        cwd=source,
        check=True,
        capture_output=True,
        timeout=240,
    )
    consumer = folder / "consumer"
    packages = consumer / "node_modules"
    packages.mkdir(parents=True)
    with tarfile.open(next(folder.glob("*.tgz"))) as packed:
        packed.extractall(packages, filter="data")
    (packages / "package").rename(packages / "clipforge-sdk")
    for name in ("standardwebhooks", "@stablelib", "fast-sha256", "@types", "undici-types"):
        shutil.copytree(SDK / "node_modules" / name, packages / name)
    (consumer / "package.json").write_text('{"type": "module"}')
    (consumer / "tsconfig.json").write_text(json.dumps({"compilerOptions": STRICT}))
    return consumer

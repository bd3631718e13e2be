"""The generated files of both SDKs: written, or compared with what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from clipforge.devtools.sdk import python, typescript
from clipforge.devtools.sdk.reading import Node

SDKS: Final = Path(__file__).resolve().parents[2] / "sdk"
PYTHON: Final = SDKS / "python/clipforge_sdk/generated"
TYPESCRIPT: Final = SDKS / "typescript/src/generated"


def python_files(schema: Node) -> dict[Path, str]:
    return {PYTHON / name: text for name, text in python.files(schema).items()}


def typescript_files(schema: Node) -> dict[Path, str]:
    """Needs the packages of the TypeScript SDK: `typescript.is_installed()`."""
    return {TYPESCRIPT / name: text for name, text in typescript.files(schema).items()}


def stale(files: dict[Path, str]) -> list[Path]:
    """Those that are not there, or are of another schema."""
    return [path for path, text in files.items() if not path.exists() or path.read_text() != text]


def write(files: dict[Path, str]) -> list[Path]:
    """Write what is stale, and return it."""
    written = stale(files)
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    return written

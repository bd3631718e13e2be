"""Real videos, each made once a run. The `conftest.py` beside the tests that use them names them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clipforge.media import ffmpeg
from clipforge.media.sample import make_sample, make_still


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds, fourteen of them speech."""
    return _made(tmp_path_factory, "talk.mp4", lambda path: make_sample(path, seconds=30))


@pytest.fixture(scope="session")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a still picture in silence."""
    return _made(tmp_path_factory, "still.mp4", lambda path: make_still(path, 6))


@pytest.fixture(scope="session")
def cut_off(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of the bytes of `talk`, whose header promises all of it."""
    half = talk.read_bytes()[: talk.stat().st_size // 2]
    return _made(tmp_path_factory, "cut_off.mp4", lambda path: path.write_bytes(half))


@pytest.fixture(scope="session")
def sound_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a tone in an MP4."""

    def make(path: Path) -> None:
        tone = ("-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac", str(path))
        subprocess.run([ffmpeg.executable(), "-v", "error", *tone], check=True)

    return _made(tmp_path_factory, "sound.mp4", make)


def _made(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    # By name, because a fixture that two conftests name is two fixtures to pytest.
    path = factory.getbasetemp() / "videos" / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        make(path)
    return path

"""The benchmarks run and print their figures: one tiny round of each, on servers of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipforge.devtools.testing.service import ROOT
from clipforge.media.sample import make_sample

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("name", "made_small", "said"),
    [
        ("balance", "", "ratio "),
        ("throttle", "it.LIMITS = (5,)", "limit    5  limits "),
        ("spending", "it.ORGANIZATIONS, it.SPENDS = 4, 5", "ratio "),
        ("request", "it.REQUESTS = 50", "balance  "),
        ("downloads", "", "web alone "),
        ("growth", "it.REQUESTS = 2", "most buffers to find a page: "),
        ("uploads", "", "gunicorn, tus "),
        ("workers", "it.SETTINGS, it.SECONDS = ['1x2'], 1", "1x2 "),
    ],
)
def test_a_benchmark_of_the_service_prints_its_figures(name: str, made_small: str, said: str):
    mains = {
        "request": "it.main(1, profile=False)",
        "growth": "it.main(2000, 2)",
        "uploads": "it.main(2, 1)",
        "downloads": "it.main(20, 1)",
    }
    main = mains.get(name, "it.main(1)")
    lines = run(
        f"import clipforge.devtools.benchmarks.{name} as it; {made_small or 'pass'}; {main}"
    )
    assert any(line.startswith(said) for line in lines), lines


def test_the_benchmark_of_an_analysis_prints_how_much_of_it_is_decoding(tmp_path: Path):
    video = tmp_path / "video.mp4"
    make_sample(video, seconds=40)
    lines = run(
        "import pathlib, clipforge.devtools.benchmarks.analysis as it;"
        f"it.main(pathlib.Path({str(video)!r}), 1)"
    )
    assert lines[-1].startswith("ratio ")


def test_the_benchmark_of_captions_prints_their_cost_beside_the_plain_command(tmp_path: Path):
    video = tmp_path / "video.mp4"
    make_sample(video, seconds=40)
    lines = run(
        "import pathlib, clipforge.devtools.benchmarks.captions as it;"
        f"it.SECONDS, it.RESOLUTION = 2.0, 180; it.main(pathlib.Path({str(video)!r}), 1)"
    )
    names = ["plain command", "no captions", "plain", "bold-word", "karaoke"]
    assert [line.split("  ")[0].strip() for line in lines] == names


def run(code: str) -> list[str]:
    """The lines that it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "clipforge.settings"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()

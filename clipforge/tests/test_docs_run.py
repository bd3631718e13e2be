"""The commands that README.md and the pages print are run as they are printed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clipforge.client import FINAL
from clipforge.devtools.testing.service import ROOT, eventually, running_service
from clipforge.media import probe
from clipforge.media.sample import make_sample

pytestmark = pytest.mark.slow

BASH = [shutil.which("bash") or "bash", "-euo", "pipefail", "-c"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "clipforge/docs").rglob("*.md"))]
RUN = re.compile(r"^<!-- run -->\n^```bash\n(.*?)^```$", re.M | re.S)
BLOCKS = [(path, block) for path in PAGES for block in RUN.findall(path.read_text())]


def test_there_are_commands_to_run():
    assert BLOCKS


@pytest.mark.parametrize(
    ("path", "block"), BLOCKS, ids=[f"{path.stem}-{n}" for n, (path, _) in enumerate(BLOCKS)]
)
def test_commands_that_are_marked_run_do_what_they_should(path: Path, block: str):
    with running_service() as service:
        done = subprocess.run(
            [*BASH, block.replace(".venv/bin/python", sys.executable)],
            cwd=ROOT,
            env=service.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def five_calls() -> list[str]:
    """The numbered calls of the README, without the line that sets KEY and URL."""
    text = (ROOT / "README.md").read_text()
    _, _, block = text.partition("<!-- five calls -->\n```\n")
    before, *calls = re.split(r"^# \d\. .*\n", block.partition("\n```")[0] + "\n", flags=re.M)
    assert re.fullmatch(r"export KEY=cf_live_\S+ +URL=http://127\.0\.0\.1:8000/api/v1\n\n", before)
    return calls


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_api_in_five_calls(tmp_path: Path):
    make_sample(tmp_path / "talk.mp4", seconds=60)
    upload, poll, moments, export, download = five_calls()
    with running_service() as service:
        key = service.customer()._http.headers["Authorization"].removeprefix("Bearer ")
        service.start_worker()
        variables = {
            "KEY": key,
            "URL": f"{service.url}/api/v1",
            "PATH": service.environment["PATH"],
        }

        def call(command: str) -> Any:
            done = subprocess.run(
                [*BASH, command],
                cwd=tmp_path,
                env=variables,
                capture_output=True,
                text=True,
                timeout=200,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout else None

        variables["PROJECT"] = call(upload)["id"]
        assert call(upload)["id"] == variables["PROJECT"]  # the same key: no second project

        def ended(command: str) -> str | None:
            status: str = call(command)["status"]
            return status if status in FINAL else None

        assert eventually("the analysis ends", lambda: ended(poll)) == "READY"
        best = call(moments)["results"][0]
        assert best["score"] >= 50
        variables["MOMENT"] = best["id"]
        variables["EXPORT"] = call(export)["id"]
        again = poll.replace("/projects/$PROJECT", "/exports/$EXPORT")
        assert eventually("the render ends", lambda: ended(again)) == "READY"
        assert call(download) is None
    clip = probe(tmp_path / "clip.mp4")
    assert (clip.width, clip.height) == (1080, 1920)

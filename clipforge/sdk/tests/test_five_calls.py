"""The Python SDK and its command line make the five calls to the real service."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clipforge_sdk as sdk
import pytest
from clipforge_sdk.cli import ADVICE, INTERRUPTED, USAGE

from clipforge.devtools.testing import node
from clipforge.devtools.testing.service import ROOT, Service, running_service
from clipforge.events.signing import new_salt, secret_of
from clipforge.media import probe
from clipforge.media.sample import make_sample

pytestmark = pytest.mark.slow

SDK = ROOT / "clipforge/sdk/python"
# The keys that the page of the SDKs prints: all tests here share one project, and one analysis.
UPLOAD = "talk-1"


@dataclass
class Running:
    service: Service
    key: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        settings = {"CLIPFORGE_URL": self.service.url, "CLIPFORGE_API_KEY": self.key}
        return {**kept, **settings, "PYTHONPATH": str(SDK)}

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `clipforge`, as it is run when the package is installed."""
        return subprocess.run(
            [sys.executable, "-c", "from clipforge_sdk.cli import main; main()", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sdk")
    make_sample(folder / "talk.mp4", seconds=30)
    with running_service() as service:
        key = service.customer(amount=20)._http.headers["Authorization"].removeprefix("Bearer ")
        service.start_worker()
        yield Running(service, key, folder)


def test_the_five_calls_with_the_python_sdk(running: Running):
    with sdk.Client(running.key, url=running.service.url) as client:
        video = running.folder / "talk.mp4"
        project = client.upload(video, count=3, idempotency_key=UPLOAD)
        again = client.upload(video, count=3, idempotency_key=UPLOAD)
        assert again["id"] == project["id"]  # replayed: no second project
        seen: list[str] = []
        ready = client.wait_for_project(project, seen=lambda job: seen.append(job["status"]))
        assert (ready["status"], seen[-1]) == ("READY", "READY")
        moments = list(client.list_moments(project["id"], min_score=1, page_size=1))
        assert 1 <= len(moments) <= 3
        export = client.create_export({"moment": moments[0]["id"], "aspect": "1:1"})
        done = client.wait_for_export(export)
        told: list[tuple[int, int | None]] = []
        path = client.download(
            done, running.folder / "clip.mp4", told=lambda *each: told.append(each)
        )
        clip = probe(path)
        assert (clip.width, clip.height) == (1080, 1080)
        assert told[-1] == (done["size"], done["size"])
        assert client.get_balance()["held"] == 0
        assert [each["id"] for each in client.list_projects(ids=[project["id"]])] == [project["id"]]


def test_the_five_calls_with_the_command_line(running: Running):
    """As programs and as people see them."""
    uploaded = running.command("upload", "talk.mp4", "--count", "3", "--key", UPLOAD, "--wait")
    assert uploaded.returncode == 0, uploaded.stderr
    project, status = uploaded.stdout.split()
    assert status == "READY"
    lines = uploaded.stderr.splitlines()
    assert "uploading 100%" in lines
    assert lines[-1] == f"{project} READY 100%"
    assert running.answer("wait", project)["status"] == "READY"

    best = running.answer("moments", project)[0]
    assert running.command("moments", project).stdout.split()[0] == best["id"]
    arguments = ("export", best["id"], "--aspect", "9:16", "--resolution", "720", "--key", "once")
    export = running.answer(*arguments)
    made = running.command(*arguments, "--output", "best.mp4", "--quiet")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.split() == [export["id"], "READY"]  # replayed: no second export
    assert probe(running.folder / "best.mp4").height == 1280

    ended = running.answer("wait", export["id"])
    saved = running.answer("download", export["id"], "--output", "short.mp4")
    assert saved["size"] == ended["size"] == (running.folder / "short.mp4").stat().st_size
    assert running.answer("balance")["held"] == 0


def blocks(language: str) -> list[str]:
    """The code that the page of the SDKs prints in this language."""
    text = (ROOT / "clipforge/docs/sdk.md").read_text()
    marker = re.escape("<!-- run by the tests of the SDK -->")
    return re.findall(rf"^{marker}\n```{language}\n(.*?)^```$", text, re.M | re.S)


def test_what_the_page_prints_for_python_does_what_it_says(running: Running, tmp_path: Path):
    calls, webhook = blocks("python")
    shutil.copy(running.folder / "talk.mp4", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", calls],
        cwd=tmp_path,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "READY 100%" in done.stdout
    assert probe(tmp_path / "clip.mp4").height == 1280
    names: dict[str, Any] = {}
    exec(webhook, names)  # noqa: S102 - a page of ours
    assert names["webhook"](b"{}", {}, secret_of(new_salt())) == 400


def test_what_the_page_prints_for_a_shell_does_what_it_says(running: Running, tmp_path: Path):
    (block,) = blocks("bash")
    setting, _, commands = block.partition("\n")
    assert setting.startswith("export CLIPFORGE_URL=http://127.0.0.1:8000 CLIPFORGE_API_KEY=")
    shutil.copy(running.folder / "talk.mp4", tmp_path)
    program = tmp_path / "bin/clipforge"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom clipforge_sdk.cli import main\nmain()\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],  # noqa: S607 - of the system
        cwd=tmp_path,
        env={**running.environment, "PATH": f"{program.parent}:{running.environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["held"] == 0
    assert probe(tmp_path / "clip.mp4").height == 1280


@node.needs_packages_of(node.SDK)
def test_what_the_page_prints_for_typescript_does_what_it_says(running: Running, tmp_path: Path):
    """Against the package as it is packed, under the strictest types."""
    (block,) = blocks("typescript")
    consumer = node.consumer_of_the_sdk(tmp_path)
    (consumer / "five_calls.ts").write_text(block)
    checked = node.run("tsc", "--project", str(consumer), folder=node.SDK)
    assert checked.returncode == 0, checked.stdout
    shutil.copy(running.folder / "talk.mp4", consumer)
    done = subprocess.run(
        ["node", "five_calls.js"],  # noqa: S607 - of the system
        cwd=consumer,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "READY 1" in done.stdout
    assert probe(consumer / "clip.mp4").height == 1280


def test_every_exit_code_is_on_the_page():
    text = (ROOT / "clipforge/docs/sdk.md").read_text()
    shown = {int(each) for each in re.findall(r"^\| (\d+) \|", text, re.M)}
    assert shown == {0, USAGE, INTERRUPTED, *(code for _, code, _ in ADVICE)}


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (["balance"], {"CLIPFORGE_API_KEY": "cf_live_wrong"}, 3, "Set CLIPFORGE_API_KEY"),
        (["balance"], {"CLIPFORGE_API_KEY": ""}, 2, "Set CLIPFORGE_API_KEY"),
        (["balance"], {"CLIPFORGE_URL": "http://127.0.0.1:1"}, 9, "Check CLIPFORGE_URL"),
        (["wait", str(uuid.UUID(int=7))], {}, 4, "Check the id"),
        (["export", str(uuid.UUID(int=7))], {}, 4, "Check the id"),
        (["export", "no-id"], {}, 11, "/moment"),
        (["upload", "missing.mp4"], {}, 12, "Check the file"),
        (["dance"], {}, 2, "invalid choice"),
    ],
    ids=lambda part: "" if isinstance(part, dict | int) else str(part),
)
def test_a_failure_says_what_to_do_and_has_an_exit_code(
    running: Running, arguments, environment, code, said
):
    done = running.command(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_as_json_has_the_code_and_the_request_id(running: Running):
    done = running.command("wait", str(uuid.UUID(int=7)), "--json")
    problem = json.loads(done.stdout)
    assert done.returncode == 4
    assert problem["error"] == "not_found"
    assert problem["request_id"]


def test_credits_that_do_not_suffice_are_said_with_how_many(running: Running):
    poor = running.service.customer("Poor", amount=1)
    key = poor._http.headers["Authorization"].removeprefix("Bearer ")
    with sdk.Client(key, url=running.service.url) as client:
        client.upload(running.folder / "talk.mp4")
        with pytest.raises(sdk.NotEnoughCredits) as raised:
            client.upload(running.folder / "talk.mp4")
        assert (raised.value.needed, raised.value.available) == (1, 0)
    made = Running(running.service, key, running.folder)
    done = made.command("upload", "talk.mp4", "--quiet")
    assert done.returncode == 5
    assert "Buy credits" in done.stderr

"""`manage.py demo` and `manage.py up`, as on a fresh machine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest
from rich.console import Console

from clipforge import embedded
from clipforge.common.errors import Unavailable
from clipforge.devtools.testing.service import ROOT, eventually
from clipforge.management.commands.demo import Stages
from clipforge.media import probe
from clipforge.media.sample import make_sample
from clipforge.stack import reserved_port

pytestmark = pytest.mark.slow

# For a command to end, or an answer to come, on however busy a machine. Seconds.
PATIENCE = 200


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory with a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="cf-") as folder:
        yield Path(folder)
        embedded.wait_stopped(Path(folder))  # else they write while it is emptied


def environment(data: Path) -> dict[str, str]:
    """No URLs, no secrets: what a fresh machine has."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "CLIPFORGE_DATA": str(data),
        "COLUMNS": "120",
    }


def processes_of(data: Path) -> list[str]:
    """Every process that was started for this data directory and still runs."""
    marker = f"CLIPFORGE_DATA={data}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if (
                marker in (entry / "environ").read_bytes()
                or str(data).encode() in (entry / "cmdline").read_bytes()
            ):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended, or is not ours
            continue
    return found


def demo(data: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "demo", *arguments],
        cwd=ROOT,
        env={**environment(data), **more},
        capture_output=True,
        text=True,
        timeout=280,
    )


def test_demo_makes_clips_of_the_planted_highlights_and_leaves_no_process(
    data: Path, tmp_path: Path
):
    done = demo(data, "--top", "1", "--aspect", "1:1", "--out", str(tmp_path / "clips"))
    assert done.returncode == 0, done.stderr
    assert "Planted highlights found: 3 of 3" in done.stdout
    words = " ".join(done.stdout.split())
    assert "ask not what your country can do for you" in words
    for said in ("queued", "Moments of sample", "Ledger", "Done: 1 clips in"):
        assert said in done.stdout
    (clip,) = (tmp_path / "clips").iterdir()
    found = probe(clip)
    assert (found.width, found.height, found.audio_codec) == (1080, 1080, "aac")
    eventually("everything is stopped", lambda: not processes_of(data))


def test_each_stage_of_the_work_that_demo_saw_has_a_line_of_its_own():
    """Which ones it sees depends on when it asks."""
    out = io.StringIO()
    with Stages(Console(file=out, width=120)) as stages:
        for status, stage, progress in [
            *(("QUEUED", "", 0.0), ("ANALYZING", "decoding", 0.1), ("ANALYZING", "decoding", 0.4)),
            *(("ANALYZING", "scoring", 0.0), ("READY", "", 1.0)),
        ]:
            stages.show({"status": status, "stage": stage, "progress": progress})
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["queued", "decoding", "scoring"]
    assert [line.split()[-1] for line in lines] == ["100%"] * 3


def test_demo_prints_one_json_object_for_scripts(data: Path, tmp_path: Path):
    video = tmp_path / "short.mp4"
    make_sample(video, seconds=60)
    out = tmp_path / "clips"
    done = demo(data, str(video), "--top", "1", "--aspect", "9:16", "--json", "--out", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"project", "moments", "exports", "credits"}
    (export,) = result["exports"]
    assert set(export) == {"path", "start", "end", "duration", "width", "height", "bytes"}
    assert Path(export["path"]).stat().st_size == export["bytes"]
    assert (export["width"], export["height"]) == (1080, 1920)
    # One minute analysed and a clip of less than one.
    assert result["credits"] == {"granted": 500, "spent": 2, "held": 0, "balance": 498}


def test_demo_says_what_is_wrong_with_a_file_and_exits_1(data: Path, tmp_path: Path):
    text = tmp_path / "text.mp4"
    text.write_text("this is no video " * 100)
    done = demo(data, str(text))
    assert done.returncode == 1
    assert "415 not_a_video" in done.stderr
    assert "Traceback" not in done.stderr
    eventually("everything is stopped", lambda: not processes_of(data))


def test_demo_on_given_servers_starts_none(data: Path, tmp_path: Path):
    video = tmp_path / "short.mp4"
    make_sample(video, seconds=40)
    with embedded.hold(data, durable=False):
        servers = embedded.urls(data)
        done = demo(
            data / "demo",
            *(str(video), "--top", "1", "--aspect", "source", "--out", str(tmp_path / "clips")),
            DATABASE_URL=servers.database,
            REDIS_URL=servers.redis,
            SECRET_KEY="secret-" * 8,
            API_KEY_PEPPER="pepper-" * 8,
        )
    assert done.returncode == 0, done.stderr
    assert "Done: 1 clips in" in done.stdout
    assert sorted(path.name for path in (data / "demo").iterdir()) == ["logs", "media"]


class Up:
    """A running `manage.py up`, and what it said."""

    def __init__(self, data: Path, port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(self.port)],
            cwd=ROOT,
            env=environment(data),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stdout = self.process.stdout
        assert stdout is not None
        self.stdout: IO[str] = stdout
        self.said = ""
        for line in stdout:
            self.said += line
            if "curl" in line:
                break

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.stdout.close()

    def interrupt(self) -> str:
        self.process.send_signal(signal.SIGINT)
        rest = self.stdout.read()
        self.stdout.close()
        assert self.process.wait(PATIENCE) == 0
        return rest


@pytest.fixture
def up(data: Path) -> Iterator[Callable[[], Up]]:
    """A function that runs `manage.py up`; what still runs at the end is killed."""
    with contextlib.ExitStack() as running:

        def start() -> Up:
            started = Up(data, running.enter_context(reserved_port()))
            running.callback(started.kill)
            return started

        yield start


def test_up_serves_until_interrupted_and_keeps_its_data(data: Path, up: Callable[[], Up]):
    first = up()
    key = re.search(r"API key +(cf_live_\w+)", first.said)
    assert key, first.said

    # The curl line, as pasted.
    curl = shlex.split(next(line for line in first.said.splitlines() if "curl" in line))
    assert curl[:2] == ["curl", "-H"]
    name, _, value = curl[2].partition(": ")
    answer = httpx.get(curl[3], headers={name: value}, timeout=PATIENCE)
    assert answer.json()["organization"]["name"] == "first"

    login = re.search(r"Admin +(\S+) +(\S+) / (\S+)", first.said)
    assert login, first.said
    with httpx.Client(base_url=login[1], follow_redirects=True, timeout=PATIENCE) as browser:
        form = browser.get("login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
        assert token
        page = browser.post(
            "login/?next=/admin/",
            data={
                "username": login[2],
                "password": login[3],
                "csrfmiddlewaretoken": token[1],
            },
        )
        assert "<h1>Dashboard</h1>" in page.text
    docs = re.search(r"API docs +(\S+)", first.said)
    assert docs
    assert httpx.get(docs[1], timeout=PATIENCE).is_success

    assert "Data are kept" in first.interrupt()
    eventually("everything is stopped", lambda: not processes_of(data))

    again = up()
    assert "cf_live_" not in again.said
    me = f"http://127.0.0.1:{again.port}/api/v1/me"
    answer = httpx.get(me, headers={name: value}, timeout=PATIENCE)
    assert answer.json()["organization"]["name"] == "first"
    again.interrupt()
    eventually("everything is stopped", lambda: not processes_of(data))


def test_up_killed_leaves_no_process(data: Path, up: Callable[[], Up]):
    up().kill()
    eventually("everything is gone", lambda: not processes_of(data))


def test_a_reserved_port_is_free_for_a_server_alone():
    with reserved_port() as port:
        with socket.socket() as somebody, pytest.raises(OSError, match="Address already in use"):
            somebody.bind(("127.0.0.1", port))
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(Unavailable, match=f"Port {port} is in use"),
            reserved_port(port),
        ):
            pass


@pytest.mark.parametrize("port", [-1, 65_536])
def test_an_impossible_port_is_refused_with_a_message(port: int):
    with pytest.raises(Unavailable, match=f"{port} is no port"), reserved_port(port):
        pass


def test_up_says_so_when_the_port_is_taken(data: Path, up: Callable[[], Up]):
    first = up()
    second = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(first.port)],
        cwd=ROOT,
        env=environment(data),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert second.returncode == 1
    assert f"Port {first.port} is in use" in second.stderr
    first.interrupt()

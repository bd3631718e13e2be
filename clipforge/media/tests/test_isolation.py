"""The child that decodes, and what it starts, reach no network and no file but those of their work."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from clipforge.media import isolation, operations, sandbox
from clipforge.media.contracts import ErrorCode, MediaError
from clipforge.media.tests.samples import run_ffmpeg, started_with

needs_all = pytest.mark.skipif(
    isolation.missing() != [], reason=f"this kernel does not refuse {isolation.missing()}"
)

# What a decoder that was taken over would try, and the name of what came of each.
TRIES = """
import json, os, socket, sys
from pathlib import Path

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

def all_tries(own, other, port, parent):
    return {
        "tcp": tried(lambda: socket.create_connection(("127.0.0.1", port))),
        "udp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        "unix": tried(lambda: socket.socket(socket.AF_UNIX)),
        "own file": tried(lambda: Path(own).read_bytes()),
        "write to it": tried(lambda: Path(own).open("ab")),
        "beside it": tried(lambda: Path(other).read_bytes()),
        "a list": tried(lambda: os.listdir(os.path.dirname(other))),
        "accounts": tried(lambda: Path("/etc/passwd").read_bytes()),
        "secrets": tried(lambda: Path(f"/proc/{parent}/environ").read_bytes()),
        "code": tried(lambda: Path(PLANTED).write_text("")),
        "a new file": tried(lambda: Path(other + ".new").touch()),
        "delete": tried(lambda: os.unlink(other)),
        "a link": tried(lambda: os.symlink(other, own + ".link")),
    }
"""
IN_THE_CHILD = """
from clipforge.media import contracts, probing

def probe(*_):
    raise contracts.MediaError("not_a_video", json.dumps(all_tries(*ASKED)))

probing.probe = probe
"""
IN_FFMPEG = """
import subprocess
from clipforge.media import contracts, launcher, stamping

def redraw(image, target, limits):
    program = [sys.executable, "-c", TRIES + "print(json.dumps(all_tries(*ASKED)))"]
    said = subprocess.run(launcher.wrap(program), capture_output=True, text=True, check=False)
    raise contracts.MediaError("not_a_video", said.stdout or said.stderr)

stamping.redraw = redraw
"""
REFUSED = "PermissionError"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The file of the work, and that of another customer beside it."""
    own, other = tmp_path / "own.mp4", tmp_path / "other.mp4"
    video = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=1", "-pix_fmt", "yuv420p"]
    run_ffmpeg(*video, str(own))
    other.write_bytes(b"of another customer")
    return own, other


def planted(code: str, own: Path, other: Path, port: int) -> str:
    asked = (str(own), str(other), port, os.getpid())
    values = {"PLANTED": str(sandbox.PACKAGE_ROOT / "clipforge/planted.py"), "ASKED": asked}
    known = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    tries = known + TRIES
    return f"{tries}\nTRIES = {tries!r}\n{code}"


@needs_all
@pytest.mark.parametrize("where", [IN_THE_CHILD, IN_FFMPEG], ids=["the child", "ffmpeg"])
def test_who_takes_a_decoder_over_reaches_nothing_but_the_file_it_was_given(
    files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any, where: str
):
    own, other = files
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setattr(sandbox, "_start", started_with(planted(where, own, other, port)))
        image = tmp_path_factory.mktemp("elsewhere") / "image.png"
        with pytest.raises(MediaError) as caught:
            operations.probe(own) if where == IN_THE_CHILD else operations.redraw(own, image)
    assert caught.value.code is ErrorCode.NOT_A_VIDEO
    found = json.loads(caught.value.message)
    assert found.pop("own file") == "done"
    assert set(found.values()) == {REFUSED}, found
    assert other.read_bytes() == b"of another customer"


def test_where_the_kernel_refuses_nothing_the_rest_of_the_sandbox_works_and_it_is_said(
    files: tuple[Path, Path], monkeypatch: Any
):
    code = (
        "from clipforge.media import isolation\n"
        "isolation.landlock_version = lambda: 0\n"
        "isolation.SOCKET = {}\n"
    )
    monkeypatch.setattr(sandbox, "_start", started_with(code))
    assert operations.probe(files[0]).width == 64
    monkeypatch.setattr(isolation, "landlock_version", lambda: 0)
    monkeypatch.setattr(isolation, "SOCKET", {})
    assert isolation.missing() == [
        "the network (no seccomp)",
        "files outside its work (no Landlock)",
    ]


@pytest.mark.parametrize("version", [1, 2, 3, 5, 6])
def test_an_older_kernel_is_asked_for_no_more_than_it_knows(
    version: int, files: tuple[Path, Path], monkeypatch: Any
):
    """This kernel takes what each of them took."""
    if isolation.landlock_version() < version:
        pytest.skip("this kernel is older itself")
    code = f"from clipforge.media import isolation\nisolation.landlock_version = lambda: {version}"
    monkeypatch.setattr(sandbox, "_start", started_with(code))
    assert operations.probe(files[0]).height == 64

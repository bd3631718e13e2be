"""Files in parts through a real gunicorn, sent by the clients that people use, while it is killed again and again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from tusclient.client import TusClient

from clipforge.client import Client
from clipforge.devtools.testing import node
from clipforge.devtools.testing.service import (
    TLS,
    Service,
    children_of,
    eventually,
    running_service,
)
from clipforge.media.sample import make_still

# A process that was killed starts again in two seconds, or in a minute where the machine is busy.
pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]

MIB = 1 << 20
PART = 4 * MIB
KILLS = 3

JAVASCRIPT = """
import { createReadStream } from "node:fs";
import { Upload } from "tus-js-client";
const [, path, endpoint, key, size] = process.argv;
const upload = new Upload(createReadStream(path), {
  endpoint, uploadSize: Number(size), chunkSize: 4 * 1024 * 1024,
  headers: { Authorization: `Bearer ${key}` },
  metadata: { filename: "film.mp4" },
  retryDelays: Array(50).fill(100),
  onError(error) { console.error(String(error)); process.exit(1); },
  onSuccess() { console.log(upload.url); },
});
upload.start();
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(WEB_PROCESSES="1") as running:
        yield running


@pytest.fixture(scope="module")
def customer(service: Service) -> Client:
    return service.customer()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a second, and behind it a box of 20 MiB of noise that players skip."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    make_still(path, 1)
    with path.open("ab") as file:
        noise = os.urandom(20 * MIB)
        file.write((len(noise) + 8).to_bytes(4, "big") + b"free" + noise)
    return path


def is_gone(parent: int, pid: int) -> bool:
    return pid not in children_of(parent)


def key_of(customer: Client) -> str:
    return str(customer._http.headers["Authorization"]).removeprefix("Bearer ")


@contextmanager
def killed_again_and_again(service: Service, size: int) -> Iterator[list[int]]:
    """Kill the process that serves, at so many points of the file, whatever it is doing then."""
    (web,) = service.processes
    over, killed = threading.Event(), list[int]()

    def written() -> int:
        return max((each.stat().st_size for each in service.media.rglob("part")), default=0)

    def kill() -> None:
        for number in range(1, KILLS + 1):
            while written() < size * number / (KILLS + 1):
                if over.wait(0.002):
                    return
            (worker,) = eventually("it serves", lambda: children_of(web.pid) or None)
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
            eventually("it is gone", partial(is_gone, web.pid, worker))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def assert_one_project(service: Service, customer: Client, url: str, film: Path) -> None:
    """The upload is there as it was sent, and becomes one project."""
    made: Any = customer._http.post(
        f"{service.url}/api/v1/projects", json={"upload": url.rsplit("/", 1)[-1]}
    )
    assert made.status_code == 201, made.text
    stored = [path for path in service.files("source") if made.json()["id"] in str(path)]
    assert len(stored) == 1
    content = (service.media / stored[0]).read_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(film.read_bytes()).digest()
    upload = url.rsplit("/", 1)[-1]
    assert [path for path in service.files("part") if upload in str(path)] == []


def test_tuspy_gets_its_file_through_though_the_server_is_killed_thrice(
    service: Service, customer: Client, film: Path
):
    size = film.stat().st_size
    client = TusClient(
        f"{service.url}/api/v1/uploads", headers={"Authorization": f"Bearer {key_of(customer)}"}
    )
    with film.open("rb") as stream, killed_again_and_again(service, size) as killed:
        uploader = client.uploader(
            file_stream=stream,
            chunk_size=PART,
            metadata={"filename": "film.mp4"},
            retries=100,
            retry_delay=0.1,
            upload_checksum=True,
        )
        uploader.upload()
    assert len(set(killed)) == len(killed) > 0
    assert_one_project(service, customer, str(uploader.url), film)


@node.needs_packages_of(node.LINTERS)
def test_tus_js_client_does_too(service: Service, customer: Client, film: Path):
    size = film.stat().st_size
    endpoint = f"{service.url}/api/v1/uploads"
    with killed_again_and_again(service, size) as killed:
        done = subprocess.run(
            [
                *["node", "--input-type=module", "-e", JAVASCRIPT],
                *[str(film), endpoint, key_of(customer), str(size)],
            ],
            cwd=node.LINTERS,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert len(killed) > 0
    assert_one_project(service, customer, done.stdout.strip(), film)


def peak(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_memory_does_not_grow_with_a_part(service: Service, customer: Client, film: Path):
    head = film.read_bytes()[: MIB // 2]
    begun = customer._http.post(
        f"{service.url}/api/v1/uploads", json={"name": "a", "size": 1 << 32}
    ).json()
    url, (web,) = f"{service.url}{begun['url']}", service.processes
    sent: dict[str, str] = {
        "Authorization": f"Bearer {key_of(customer)}",
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
    }

    def send(offset: int, size: int) -> None:
        def body() -> Iterator[bytes]:
            yield head if offset == 0 else bytes(len(head))
            for _ in range(size // len(head) - 1):
                yield bytes(len(head))

        headers = {**sent, "Upload-Offset": str(offset), "Content-Length": str(size)}
        answer = httpx.patch(url, content=body(), headers=headers, timeout=200, verify=TLS)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(offset + size))

    send(0, MIB)
    (worker,) = children_of(web.pid)
    before = peak(worker)
    send(MIB, 64 * MIB)
    assert children_of(web.pid) == [worker]
    assert peak(worker) - before < 8 * MIB
    assert customer._http.delete(url).status_code == 204

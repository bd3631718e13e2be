"""The cost of taking a file, beside that of storing it and nothing else.

    python -m clipforge.devtools.benchmarks.uploads [MEGABYTES] [ROUNDS]

Each round sends one film in every way in turn, from this machine: `cp` with fsync, a PUT to an nginx that
only stores (where Debian's is installed), one form to gunicorn, and parts of 64 MiB by the tus protocol,
both until the project is there: with digest, probe, row and hold. Printed are the medians: MB a second of
wall clock, and CPU seconds a GB of all processes that took it; ours as a share of nginx's speed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PART = 64 << 20
BOUNDARY = "b" * 20
CONFIGURATION = """
daemon off; master_process on; worker_processes 1; user {user};
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; client_max_body_size 0;
    server {{ listen 127.0.0.1:{port}; root {folder}/stored; location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}
"""


class Cost(NamedTuple):
    seconds: float
    cpu: float


def main(megabytes: int, rounds: int) -> None:
    with measuring.own_servers() as data:
        from clipforge.devtools.testing.factories import make_api_key, make_organization
        from clipforge.stack import Stack

        key = make_api_key(make_organization(tier="ENTERPRISE", credits_=1000)).secret
        film = _film(data / "film.mp4", megabytes << 20)
        size = film.stat().st_size
        with (
            Stack(concurrency=0, log=data / "web.log", environment={"WEB_PROCESSES": "1"}) as stack,
            _nginx(data) as nginx,
        ):
            ways: dict[str, Callable[[], Cost]] = {"cp, fsync": functools.partial(_cp, film)}
            if nginx is not None:
                ways["nginx, PUT"] = functools.partial(_put, film, *nginx)
            ours = film, stack.port, stack.web_pid, key
            ways["gunicorn, form"] = functools.partial(_form, *ours)
            ways["gunicorn, tus"] = functools.partial(_tus, *ours)
            found: dict[str, list[Cost]] = {name: [] for name in ways}
            for number in range(rounds + 1):
                for name, send in ways.items():
                    cost = send()
                    if number:  # the first warms
                        found[name].append(cost)
    speeds = {
        name: size / 1e6 / statistics.median(cost.seconds for cost in costs)
        for name, costs in found.items()
    }
    peer = speeds.get("nginx, PUT")
    say(f"{size / 1e6:.0f} MB, medians of {rounds}, {os.cpu_count()} cores")
    for name, costs in found.items():
        cpu = statistics.median(cost.cpu for cost in costs) / size * 1e9
        share = f"  {speeds[name] / peer:4.2f} of nginx" if peer else ""
        say(f"{name:15} {speeds[name]:7.0f} MB/s  {cpu:6.2f} CPU-s/GB{share}")


def _film(path: Path, size: int) -> Path:
    """A film of a second, and behind it a box of noise that players skip."""
    from clipforge.media.sample import make_still

    make_still(path, 1)
    noise = os.urandom(1 << 20)
    with path.open("ab") as file:
        file.write((size + 8).to_bytes(4, "big") + b"free")
        for _ in range(size >> 20):
            file.write(noise)
    return path


# --- ways -------------------------------------------------------------------------------


def _cp(film: Path) -> Cost:
    target = film.with_name("copy.mp4")
    before, began = _of_children(), time.perf_counter()
    subprocess.run(["cp", str(film), str(target)], check=True)  # noqa: S607
    with target.open("rb") as file:
        os.fsync(file.fileno())
    cost = Cost(time.perf_counter() - began, _of_children() - before)
    target.unlink()
    return cost


def _put(film: Path, port: int, pid: int) -> Cost:
    def send() -> None:
        head = [f"PUT /{time.monotonic_ns()} HTTP/1.1", f"Content-Length: {film.stat().st_size}"]
        _exchange(port, head, film, 0, film.stat().st_size)

    return _measured(pid, send)


def _form(film: Path, port: int, pid: int, key: str) -> Cost:
    before = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f.mp4"\r\n\r\n'
    )
    after = f"\r\n--{BOUNDARY}--\r\n"
    size = film.stat().st_size
    head = [
        "POST /api/v1/projects HTTP/1.1",
        f"Authorization: Bearer {key}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(before) + size + len(after)}",
    ]
    made: dict[str, Any] = {}

    def send() -> None:
        made.update(_exchange(port, head, film, 0, size, before.encode(), after.encode()))

    cost = _measured(pid, send)
    _delete(port, key, made["id"])
    return cost


def _tus(film: Path, port: int, pid: int, key: str) -> Cost:
    size = film.stat().st_size
    made: dict[str, Any] = {}

    def send() -> None:
        upload = _json(port, key, "POST /api/v1/uploads", {"name": "f.mp4", "size": size})
        for offset in range(0, size, PART):
            length = min(PART, size - offset)
            head = [
                f"PATCH {upload['url']} HTTP/1.1",
                f"Authorization: Bearer {key}",
                "Tus-Resumable: 1.0.0",
                "Content-Type: application/offset+octet-stream",
                f"Upload-Offset: {offset}",
                f"Content-Length: {length}",
            ]
            _exchange(port, head, film, offset, length)
        made.update(_json(port, key, "POST /api/v1/projects", {"upload": upload["id"]}))

    cost = _measured(pid, send)
    _delete(port, key, made["id"])
    return cost


def _measured(pid: int, send: Callable[[], None]) -> Cost:
    from clipforge.devtools.loadtest.host import cpu_of_family

    before, began = cpu_of_family(pid), time.perf_counter()
    send()
    return Cost(time.perf_counter() - began, cpu_of_family(pid) - before)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- a request, sent without a copy in this process ----------------------------------------


def _exchange(
    port: int,
    head: list[str],
    film: Path,
    offset: int,
    length: int,
    before: bytes = b"",
    after: bytes = b"",
) -> dict[str, Any]:
    lines = [*head, "Host: localhost", "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", port)) as client, film.open("rb") as file:
        client.sendall("\r\n".join(lines).encode() + before)
        client.sendfile(file, offset, length)
        client.sendall(after)
        return _answer(client)


def _json(port: int, key: str, line: str, body: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(body).encode()
    lines = [
        f"{line} HTTP/1.1",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *("Host: localhost", "Connection: close", "", ""),
    ]
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall("\r\n".join(lines).encode() + content)
        return _answer(client)


def _delete(port: int, key: str, pk: str) -> None:
    _json(port, key, f"DELETE /api/v1/projects/{pk}", {})


def _answer(client: socket.socket) -> dict[str, Any]:
    answer = b"".join(iter(functools.partial(client.recv, 65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(answer.decode(errors="replace")[:2000])
    found: dict[str, Any] = json.loads(body) if body.startswith(b"{") else {}
    return found


@contextlib.contextmanager
def _nginx(data: Path) -> Iterator[tuple[int, int] | None]:
    """Its port and its process; None where it is not installed."""
    if NGINX is None:
        yield None
        return
    with tempfile.TemporaryDirectory(dir=data) as name, socket.socket() as free:
        folder = Path(name)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        (folder / "stored").mkdir()
        user = "root" if os.geteuid() == 0 else "nobody"
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, user=user))
        free.close()
        process = subprocess.Popen([NGINX, "-c", str(configuration), "-e", f"{folder}/error.log"])
        try:
            while process.poll() is None:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(numbers[0] if numbers else 500, numbers[1] if len(numbers) > 1 else 3)

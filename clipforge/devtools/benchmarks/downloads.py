"""The cost of sending a file: through Django, through our nginx, beside plain nginx and `cp`.

    python -m clipforge.devtools.benchmarks.downloads [MEGABYTES [ROUNDS]]

A file is fetched in ranges of 8 MiB over one connection, as a download manager does, from gunicorn with the
configuration of production, from nginx with that of docker-compose.yml in front of it (TLS left out, so
that all send the same), and from an nginx that only has the folder. Prints medians: MB/s as the client sees
it, and CPU seconds of the servers. The file is in the page cache; the client is as fast as it can be.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from clipforge.devtools.benchmarks.measuring import ROOT, own_servers, say

RANGE = 8 << 20
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
TICKS = os.sysconf("SC_CLK_TCK")

MAIN = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""
PLAIN = "server {{ listen 127.0.0.1:{port}; root {folder}; sendfile on; tcp_nopush on; }}"


class Cost(NamedTuple):
    seconds: float
    cpu: float


def main(megabytes: int, rounds: int) -> None:
    with own_servers() as data, tempfile.TemporaryDirectory(dir=data) as folder:
        from django.conf import settings

        from clipforge.devtools.testing.factories import make_export
        from exports import downloads

        export = make_export(content=b"")
        path = Path(settings.MEDIA_ROOT, export.file_key)
        with path.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(1 << 20))
        link = downloads.signed_url(export)
        size = path.stat().st_size
        web, behind, proxy, plain = (_free_port() for _ in range(4))
        our_nginx = _server_blocks(proxy, behind, settings.MEDIA_ROOT)
        only_nginx = PLAIN.format(port=plain, folder=settings.MEDIA_ROOT)
        with (
            _gunicorn(web, "") as of_web,
            _gunicorn(behind, "/stored/") as of_behind,
            _nginx(Path(folder, "ours"), our_nginx) as ours,
            _nginx(Path(folder, "plain"), only_nginx) as theirs,
        ):
            cases: dict[str, Callable[[], Cost]] = {
                "cp": lambda: _copied(path, Path(folder, "copy")),
                "plain nginx": lambda: _fetched(plain, f"/{export.file_key}", size, [theirs]),
                "nginx and web": lambda: _fetched(proxy, link, size, [ours, of_behind]),
                "web alone": lambda: _fetched(web, link, size, [of_web]),
            }
            for case in cases.values():
                case()  # what is loaded once is not what a download costs
            _print(cases, size, rounds)


def _print(cases: dict[str, Callable[[], Cost]], size: int, rounds: int) -> None:
    found: dict[str, list[Cost]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    say(f"{size / 1e6:.0f} MB in ranges of {RANGE >> 20} MiB, median of {rounds}:")
    for name, costs in found.items():
        speed = size / 1e6 / statistics.median(cost.seconds for cost in costs)
        cpu = statistics.median(cost.cpu for cost in costs)
        say(f"{name:14} {speed:7.0f} MB/s  {cpu:6.2f} CPU-s")


def _copied(path: Path, target: Path) -> Cost:
    before, started = os.times(), time.perf_counter()
    subprocess.run(["/bin/cp", str(path), str(target)], check=True)
    seconds, after = time.perf_counter() - started, os.times()
    target.unlink()
    spent = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return Cost(seconds, spent)


def _fetched(port: int, path: str, size: int, servers: list[int]) -> Cost:
    """The whole file in ranges, and the CPU that the servers took meanwhile."""
    before, started = sum(map(_cpu_of, servers)), time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    buffer = bytearray(1 << 20)
    for first in range(0, size, RANGE):
        last = min(first + RANGE, size) - 1
        connection.request("GET", path, headers={"Range": f"bytes={first}-{last}"})
        answer = connection.getresponse()
        if answer.status != 206:
            raise RuntimeError(f"{path}: {answer.status}")
        left = last - first + 1
        while left:
            left -= answer.readinto(buffer)
        answer.read()
    connection.close()
    return Cost(time.perf_counter() - started, sum(map(_cpu_of, servers)) - before)


def _cpu_of(pid: int) -> float:
    """Of a process with those below it. Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = (int(fields[11]) + int(fields[12])) / TICKS
    return own + sum(_cpu_of(int(child)) for child in children)


@contextlib.contextmanager
def _gunicorn(port: int, prefix: str) -> Iterator[int]:
    from django.conf import settings

    environment = {
        **os.environ,
        "DATABASE_URL": settings.DATABASE_URL,
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": settings.SECRET_KEY,
        "API_KEY_PEPPER": settings.API_KEY_PEPPER,
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "HTTPS": "false",
        "WEB_BIND": f"127.0.0.1:{port}",
        "ACCEL_REDIRECT_PREFIX": prefix,
    }
    argv = ["-m", "gunicorn", "-c", "clipforge/deploy/gunicorn.conf.py", "clipforge.wsgi"]
    with _running([sys.executable, *argv], port, environment) as pid:
        yield pid


@contextlib.contextmanager
def _nginx(folder: Path, servers: str) -> Iterator[int]:
    folder.mkdir()
    configuration = folder / "nginx.conf"
    # Its own user may not read what ours alone may; the directive is for root.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(MAIN.format(folder=folder, servers=servers, user=user))
    port = int(servers.partition("listen 127.0.0.1:")[2].partition(";")[0])
    argv = [str(NGINX), "-p", str(folder), "-c", str(configuration)]
    with _running(argv, port, dict(os.environ)) as pid:
        yield pid


def _server_blocks(port: int, web: int, media_root: Path) -> str:
    """The second server of the configuration of production, over plain HTTP."""
    template = string.Template((ROOT / "clipforge/deploy/nginx.conf.template").read_text())
    values = {
        "HTTP_PORT": "0",
        "HTTPS_PORT": f"127.0.0.1:{port}",
        "WEB_ADDRESS": f"127.0.0.1:{web}",
        "MEDIA_ROOT": str(media_root),
        "TLS_FOLDER": "",
    }
    text = template.safe_substitute(values)
    lines = text[text.index("server {", text.index("server {") + 1) :].splitlines()
    kept = [line for line in lines if not line.strip().startswith("ssl_")]
    return "\n".join(kept).replace(" ssl http2;", ";")


@contextlib.contextmanager
def _running(argv: list[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{argv[0]} does not listen on {port}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [500, 5][len(numbers) :]))

"""Programs of Debian that stand around web in production, for one test: nginx before it, PgBouncer behind it.

Each is started as docker-compose.yml starts it, with the same files, and can be killed and started again
at the same address.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import ssl
import string
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from clipforge.devtools.testing.service import ROOT, eventually
from clipforge.stack import reserved_port

_PLACES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
NGINX = shutil.which("nginx", path=_PLACES)
PGBOUNCER = shutil.which("pgbouncer", path=_PLACES)

TEMPLATE = ROOT / "clipforge/deploy/nginx.conf.template"
# Around the server blocks, as in the image.
MAIN = """
daemon off;
user root;
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
    include {folder}/server.conf;
}}
"""

# One that has to be quoted, in its file and in an address.
POOLER_PASSWORD = 'quoted " and spaced'


class Program:
    """`start` returns once it answers; `kill` leaves none of its processes."""

    def __init__(self, argv: list[str], folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / "log"
        self._argv = argv
        self._environment: Mapping[str, str] = os.environ
        self._user: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd="/",
                env=self._environment,
                user=self._user,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that its children can be told from ours
            )
        eventually(f"{Path(self._argv[0]).name} answers", self._answers)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return self.is_asked()
        except OSError:
            return False

    def is_asked(self) -> bool:
        socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
        return True


class Pooler(Program):
    """PgBouncer in transaction mode. `address` is that of the database through it."""

    def __init__(self, database: str, folder: Path, port: int, pool_size: int) -> None:
        super().__init__(["bash", str(ROOT / "clipforge/deploy/pgbouncer.sh")], folder, port)
        url = conninfo_to_dict(database)
        self.address = (
            f"postgresql://{url['user']}:{quote(POOLER_PASSWORD)}@127.0.0.1:{port}/{url['dbname']}"
        )
        self._environment = {
            "PATH": f"/usr/sbin:{os.environ['PATH']}",
            "FOLDER": str(folder),
            "PGHOST": str(url["host"]),
            "PGUSER": str(url["user"]),
            "PGPASSWORD": POOLER_PASSWORD,
            "PGDATABASE": str(url["dbname"]),
            "LISTEN_ADDRESS": "127.0.0.1",
            "LISTEN_PORT": str(port),
            "POOL_SIZE": str(pool_size),
        }
        if os.geteuid() == 0:  # it refuses root
            self._user = pwd.getpwnam("nobody").pw_uid
            os.chown(folder, self._user, -1)

    def is_asked(self) -> bool:
        try:
            psycopg.connect(self.address).close()
        except psycopg.OperationalError:
            return False
        return True


class Nginx(Program):
    """nginx with TLS and the configuration of production, in front of the web server at `web`."""

    def __init__(self, web: str, media: Path, folder: Path, ports: tuple[int, int]) -> None:
        self.http_port, self.https_port = ports
        super().__init__(
            [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")],
            folder,
            self.https_port,
        )
        self.url = f"https://127.0.0.1:{self.https_port}"
        self.certificate = folder / "fullchain.pem"
        _certify(folder)
        self.trust = ssl.create_default_context(cafile=str(self.certificate))
        values = {
            "HTTP_PORT": f"127.0.0.1:{self.http_port}",
            "HTTPS_PORT": f"127.0.0.1:{self.https_port}",
            "WEB_ADDRESS": web,
            "MEDIA_ROOT": str(media),
            "TLS_FOLDER": str(folder),
        }
        # As the image fills them in: nginx's own variables stay as they are.
        (folder / "server.conf").write_text(
            string.Template(TEMPLATE.read_text()).safe_substitute(values)
        )
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))


def _certify(folder: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-out", str(folder / "fullchain.pem"), "-keyout", str(folder / "privkey.pem")]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    subprocess.run([*request, *names, *files], check=True, capture_output=True)


@contextmanager
def pooler(database: str, *, pool_size: int) -> Iterator[Pooler]:
    with reserved_port() as port, tempfile.TemporaryDirectory(prefix="pgb-") as folder:
        made = Pooler(database, Path(folder), port, pool_size)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@contextmanager
def nginx(web: str, media: Path) -> Iterator[Nginx]:
    with (
        reserved_port() as plain,
        reserved_port() as port,
        tempfile.TemporaryDirectory(prefix="ngx-") as folder,
    ):
        made = Nginx(web, media, Path(folder), (plain, port))
        try:
            made.start()
            yield made
        finally:
            made.stop()

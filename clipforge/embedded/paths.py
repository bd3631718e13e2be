"""The paths that follow from the name of a data directory."""

import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

NAME = "clipforge"  # of the database and of its owner
LOGS = ("keeper", "postgresql", "redis")


class EmbeddedError(Exception):
    """The servers cannot run. The message says why, and what to do about it."""


@dataclass(frozen=True)
class ServerUrls:
    """Where the servers of one data directory answer, in the form of DATABASE_URL and REDIS_URL."""

    database: str
    redis: str


@dataclass(frozen=True)
class Site:
    """The paths of one data directory, which need not exist."""

    data: Path
    tmp: Path  # ours alone, although anybody may write around it

    @classmethod
    def of(cls, data: Path) -> Self:
        data = Path(os.path.realpath(data))
        digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
        # Not tempfile.gettempdir(): commands with a different TMPDIR must still meet, and the path
        # of a socket must stay under 104 bytes. Lower case, as URL parsers fold that of a host.
        return cls(data, Path(f"/tmp/clipforge-{os.geteuid()}-{digest}"))  # noqa: S108

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def sockets(self) -> Path:
        """Belongs to the account of the servers, and decides who may connect to them."""
        return self.tmp / "s"

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"


def urls(data: Path) -> ServerUrls:
    """The URLs that the servers of this data directory have whenever they run. Starts nothing."""
    site = Site.of(data)
    # The port names the socket's file; left out, libpq would take it from PGPORT.
    return ServerUrls(
        database=f"postgresql://{NAME}@{quote(str(site.sockets), safe='')}:5432/{NAME}",
        redis=f"unix://{site.redis_socket}?db=0",
    )


def require_own_directory(path: Path) -> None:
    """Refuse a directory of another user, who may mean to catch our connections."""
    found = path.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ):
        raise EmbeddedError(
            f"{path} belongs to somebody else, or others may write to it."
            " Remove it and try again, or use another data directory (CLIPFORGE_DATA)."
        )


def make_own_directory(path: Path, *, traversable: bool = False) -> None:
    """Make it if need be: only this user writes there, and others pass through if `traversable`."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    require_own_directory(path)
    path.chmod(0o711 if traversable else 0o700)


def log_tails(site: Site) -> str:
    """The last lines of each log of the latest start, to go below an error message."""
    tails = ""
    for log in (site.logs / f"{name}.log" for name in LOGS):
        with suppress(FileNotFoundError):
            for number, line in enumerate(log.read_text(errors="replace").splitlines()[-12:]):
                tails += f"\n    {line}" if number else f"\n{log}:\n    {line}"
    return tails

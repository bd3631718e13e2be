"""The files of a PostgreSQL cluster: their place, and their creation."""

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from clipforge.embedded.paths import NAME, EmbeddedError, Site
from clipforge.embedded.processes import die_with_parent, server_environment
from clipforge.embedded.programs import (
    RELOCATED,
    Account,
    can_reach,
    give,
    relocated_home,
    relocation_token,
    run_as,
)


def find_cluster(site: Site) -> Path:
    """Where it is, or where it would be best."""
    token = relocation_token(site.data)
    relocated = RELOCATED / token / "postgres" if token else None
    return relocated if relocated and relocated.exists() else site.data / "postgres"


def place_cluster(site: Site, account: Account | None, *, durable: bool) -> Path:
    """Where it is or shall be, such that the account can reach it. Does not make a new one."""
    here = site.data / "postgres"
    if account is None or (find_cluster(site) == here and can_reach(account, site.data)):
        return here
    relocated = relocated_home(site, account, durable=durable) / "postgres"
    if not relocated.exists() and here.exists():  # it was made before the way to it was closed
        staging = _fresh(relocated)
        shutil.copytree(here, staging, symlinks=True)
        give(staging, account)
        staging.rename(relocated)
        here.rename(here.with_name("postgres.moved"))
    return relocated


def make_cluster(
    cluster: Path, postgres: Path, account: Account | None, *, durable: bool, servers_lock: int
) -> None:
    """Make it if there is none. It gets its name once complete, so a killed initdb is no harm."""
    if (cluster / "global/pg_control").exists():
        return
    if cluster.exists():  # not left by us, so perhaps a user's data
        cluster.rename(cluster.with_name(f"postgres.broken-{time.time_ns()}"))
    staging = _fresh(cluster)
    staging.mkdir(mode=0o700)
    give(staging, account)
    done = subprocess.run(
        [str(postgres / "bin/initdb"), *_initdb_options(durable), "-D", str(staging)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=server_environment(),
        pass_fds=[servers_lock],
        preexec_fn=die_with_parent(signal.SIGKILL),
        check=False,
        **run_as(account),
    )
    if done.returncode:
        told = [line for line in done.stdout.splitlines() if FAULT.search(line)]
        why = "\n".join(told) or done.stdout
        raise EmbeddedError(f"PostgreSQL could not make its files in {cluster}:\n{why}")
    staging.rename(cluster)


# Of the steps that initdb prints, those that say why it gave up.
FAULT = re.compile(r"\b(?:FATAL|PANIC|HINT|initdb: (?:error|hint)):|could not")


def _initdb_options(durable: bool) -> list[str]:
    return [
        f"--username={NAME}",
        "--encoding=UTF8",
        # The same order and case rules on every machine, whatever its C library knows.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        # The directory of the socket decides who may connect.
        "--auth-local=trust",
        "--auth-host=reject",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]


def _fresh(cluster: Path) -> Path:
    staging = cluster.with_name("postgres.new")
    if staging.exists():
        shutil.rmtree(staging)
    return staging

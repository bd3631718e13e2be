"""Starting server processes that end with their parent, and recognising those that did not end."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from clipforge.embedded.paths import Site


def server_environment() -> dict[str, str]:
    """Without PGOPTIONS, PGDATA, LC_ALL and the like: the same server from any environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def die_with_parent(signum: int) -> Callable[[], None]:
    """For preexec_fn, which runs after the change of account; that change would disarm it."""
    if sys.platform != "linux":
        return lambda: None  # the next keeper ends what this one leaves
    parent, libc = os.getpid(), ctypes.CDLL(None)

    def arm() -> None:
        libc.prctl(1, signum)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it ended before this was armed
            os._exit(1)

    return arm


def note_pids(servers_lock: int, pids: list[int]) -> None:
    os.ftruncate(servers_lock, 0)
    os.pwrite(servers_lock, " ".join(map(str, pids)).encode(), 0)


def noted_pids(site: Site) -> list[int]:
    """The process ids of the servers that the latest keeper started. They need not be alive."""
    try:
        return [int(pid) for pid in (site.tmp / "servers.lock").read_text().split()]
    except FileNotFoundError:
        return []


def running_servers(site: Site, cluster: Path) -> list[int]:
    """Our servers that still run. Pids get reused, so each must prove what it is."""
    pids = set(noted_pids(site))
    with suppress(OSError, ValueError, IndexError):
        pids.add(int((cluster / "postmaster.pid").read_text().split()[0]))
    return sorted(pid for pid in pids if _is_ours(_command_line(pid), site, cluster))


def _is_ours(command: str, site: Site, cluster: Path) -> bool:
    return f" -D {cluster} " in command or str(site.sockets) in command


def _command_line(pid: int) -> str:
    """Its words, with a space around each; empty if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        except OSError:
            return ""
    else:
        ps = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
        words = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.split()
    return f" {' '.join(words)} "

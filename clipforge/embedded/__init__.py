"""PostgreSQL and Redis from pip wheels, for a machine that has neither.

`urls(data)` says where the two servers of a data directory answer; `hold(data)` makes them run for
as long as its lease is held. Nothing is left to clean up by hand, whatever gets killed, because
four advisory file locks tell the whole truth: the kernel drops a lock together with the last
process that has it, while a pid file would have to be believed.

    DATA/run/users.lock        shared, by every process with a lease
    DATA/run/transition.lock   exclusive, by the process that starts or stops the servers
    DATA/run/keeper.lock       exclusive, by the keeper for its life
    TMP/servers.lock           exclusive, by the keeper, and on purpose inherited by both servers

The keeper (`python -m clipforge.embedded keep DATA`) is a small detached process and the parent of
both servers. It waits for an exclusive hold of users.lock: once it has that, the last user is gone,
so it stops both and leaves. If it is killed itself, the kernel signals its children (Linux), or
the next keeper ends them.

As root the servers run as `nobody`, since PostgreSQL refuses uid 0. What that account cannot reach
(a project under /root, say) goes to /var/lib/clipforge; permissions of existing folders are never
changed.

Modules: paths (where things are), locks, leases (what callers use), programs (which binaries, as
whom), clusters (the files of PostgreSQL), keeper. Plain Python; imports nothing of ours.
"""

from clipforge.embedded.leases import Lease, alone, hold, keeper_pid, stop, wait_stopped
from clipforge.embedded.paths import EmbeddedError, ServerUrls, urls
from clipforge.embedded.programs import find_redis, postgres_programs

__all__ = [
    "EmbeddedError",
    "Lease",
    "ServerUrls",
    "alone",
    "find_redis",
    "hold",
    "keeper_pid",
    "postgres_programs",
    "stop",
    "urls",
    "wait_stopped",
]

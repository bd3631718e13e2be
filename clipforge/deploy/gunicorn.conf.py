"""gunicorn, the same for `manage.py up`, `demo` and `loadtest` and for the container image."""

import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from clipforge.common import processes, slow_clients, telemetry, waiting_worker

bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")

# Threads, because requests wait for PostgreSQL; two processes use two cores. Each thread keeps one
# database connection: processes * threads, plus the workers' own, must stay below max_connections.
#
# Measured on 2 cores (python -m clipforge.devtools.benchmarks.workers: 80 lists of 20 projects a second):
#
#     processes x threads    1x8    2x4    2x8    3x4    4x2
#     CPU ms a request       5.7    6.2    6.2    6.3    6.3
#     p95, p99 ms          12, 49 14, 25 12, 25 17, 29 17, 28
#     memory, MB             123    211    211    305    385
#
# More processes than cores cost memory and buy nothing; one has a long tail. Twice the threads
# do no better and take twice the connections.
# What gunicorn calls gthread, but that neither a slow client nor one that waits keeps a thread.
worker_class = "clipforge.common.waiting_worker.WaitingWorker"
slow_clients.patience = float(os.environ.get("WEB_PATIENCE_SECONDS", "10"))
# Of each process. They are connections, of which gunicorn keeps a thousand.
waiting_worker.most_waiting = int(os.environ.get("WEB_WAITING", "500"))
waiting_worker.most_waiting_of_one = int(os.environ.get("WEB_WAITING_PER_ORGANIZATION", "100"))
workers = int(os.environ.get("WEB_PROCESSES", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))

# The pure parser: the C one buys nothing measurable and needs a build that is not published.
http_parser = "python"

# A worker's heartbeat, not a limit on a request; uploads may take long.
timeout = 60
graceful_timeout = 30
keepalive = 5

# A recycled worker gives back whatever leaked.
max_requests = 20000
max_requests_jitter = 5000

# Customers' files are readable by the service's account alone.
umask = 0o077

# The heartbeat file must not wait for a disk.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108, PTH112

# Refuse early rather than queue up what cannot be answered in time.
backlog = 256
limit_request_fields = 60
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")

# A second gunicorn of the same user would silently take it over.
control_socket_disable = True

# A statement of a web request that runs for longer is a fault. Milliseconds.
raw_env = [
    f"DATABASE_STATEMENT_TIMEOUT_MS={os.environ.get('DATABASE_STATEMENT_TIMEOUT_MS', '5000')}"
]

# Metrics, on a port of their own: each process records in the files of its slot, and an exporter beside
# us adds them up. Off unless METRICS_BIND names where.
metrics_bind = os.environ.get("METRICS_BIND", "")


def when_ready(server: Any) -> None:
    if metrics_bind:
        # Of the server: on HUP this module is read anew.
        server.metrics_folder = tempfile.mkdtemp(prefix="clipforge-metrics-", dir=worker_tmp_dir)
        exporter = [sys.executable, "-m", "clipforge.common.exporter"]
        server.exporter = processes.start(
            [*exporter, server.metrics_folder, metrics_bind], cwd=Path.cwd(), env=dict(os.environ)
        )


def pre_fork(server: Any, worker: Any) -> None:
    taken = {getattr(other, "slot", None) for other in server.WORKERS.values()}
    worker.slot = next(number for number in itertools.count() if number not in taken)


def post_fork(server: Any, worker: Any) -> None:
    if folder := getattr(server, "metrics_folder", None):
        telemetry.start_in_slot(Path(folder), worker.slot)


def on_exit(server: Any) -> None:
    if exporter := getattr(server, "exporter", None):
        processes.stop(exporter)

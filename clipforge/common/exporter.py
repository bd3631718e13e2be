"""The exporter of a web server: adds up what its processes recorded, and serves it to Prometheus.

    python -m clipforge.common.exporter FOLDER HOST:PORT

A process of its own, started by gunicorn's: no thread of it answers requests of the API, and a
scrape takes none from them. Speaks OpenMetrics to whoever asks for that.
"""

from __future__ import annotations

import shutil
import signal
import sys

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from clipforge.common.telemetry import address_of


def serve(folder: str, bind: str) -> None:
    """Serve until SIGTERM, which also comes when gunicorn is killed; then the folder goes too."""
    host, port = address_of(bind)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    start_http_server(port, host, registry)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    serve(*sys.argv[1:])

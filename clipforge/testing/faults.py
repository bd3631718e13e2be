"""Making the world fail for real."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


def end_the_connection() -> None:
    """Have the server end our database connection, as a restart would."""
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid

    def terminate() -> None:
        with connection.cursor() as cursor:  # another thread: a connection of its own
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
            assert cursor.fetchone() == (True,)
        connection.close()

    thread = threading.Thread(target=terminate)
    thread.start()
    thread.join()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the kernel refuse what this process writes beyond `size` bytes of a file (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

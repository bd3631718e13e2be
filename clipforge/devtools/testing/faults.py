"""Real faults: an ended connection, a file that cannot grow, a crash at the nth statement."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from clipforge.common.faultpoints import FaultPoints, Rule, drop_connection


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


class Crashed(BaseException):
    """This thread dies here. No handler of errors may catch it, as none catches SIGKILL."""


def crash_at(nth: int, act: Callable[[], object]) -> bool:
    """Let `act` run in a thread that dies after its nth statement or commit. False: it got to its end.

    Its connection breaks without a word, as when a process is killed. Needs committed data.
    """
    crashed = False

    def die(watched: BaseDatabaseWrapper) -> None:
        nonlocal crashed
        crashed = True
        drop_connection(watched)
        raise Crashed

    def run() -> None:
        connection.ensure_connection()
        FaultPoints([Rule(die, nth, "^after ")]).watch(connection)
        try:
            act()
        except BaseException:
            if not crashed:  # the dead say nothing, whatever Django says of their connection
                raise
        finally:
            drop_connection(connection)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result(60)
    return crashed


def environment() -> dict[str, str]:
    """The environment of a process that works on the database of this test. Needs committed data."""
    name = connection.settings_dict["NAME"]
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "clipforge.settings",
        "DATABASE_URL": urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl(),
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": settings.SECRET_KEY,
        "API_KEY_PEPPER": settings.API_KEY_PEPPER,
        "HTTPS": "false",
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
    }

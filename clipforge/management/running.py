"""A command from its first step to its exit status: servers, tables, and what is said when it cannot run."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command, execute_from_command_line
from django.db import DatabaseError, OperationalError, ProgrammingError

from clipforge import embedded

# These need no server; everything else may.
SERVERLESS = {"help", "version", "--help", "-h", "--version", "collectstatic", "spectacular"}
# These are about the migrations themselves, or are meant for a database as it is.
AS_IT_IS = {
    "check",
    "dbshell",
    "flush",
    "lint_migrations",
    "makemigrations",
    "migrate",
    "optimizemigration",
    # It needs a database without tables.
    "restore",
    # It says what would be done to the database as it is.
    "preflight",
    "showmigrations",
    "sqlmigrate",
    "squashmigrations",
}
# What another command may take to prepare the same database. Seconds.
PREPARING_SECONDS = 300
# As a shell has it for a program that SIGINT ended.
INTERRUPTED = 130
# Faults of the machine, which a trace of calls would not explain.
MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def run(argv: list[str]) -> int | str:
    """Run the command. Gives its exit status, or the sentence to end with, at a status of 1.

    Faults of configuration, of the database and of the machine are one sentence; others are raised.
    """
    command = argv[1] if len(argv) > 1 else "help"
    try:
        with _servers(command):
            execute_from_command_line(argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write(f"\nmanage.py {command}: interrupted.\n")
        return INTERRUPTED
    except (ImproperlyConfigured, embedded.EmbeddedError) as error:
        return f"manage.py {command}: {error}"
    except OperationalError as error:
        return f"manage.py {command}: the database cannot be used.\n{error}".rstrip()
    except ProgrammingError:
        # Of one that is about the tables it is a fault of its own.
        if command in AS_IT_IS or not _lacks_migrations():
            raise
        return f"manage.py {command}: the database lacks tables of this release. Run manage.py migrate first."
    except BrokenPipeError:
        # Whoever read it has enough, as `head` has.
        _print_no_more()
        return 1
    except OSError as error:
        if error.errno not in MACHINE_FAULTS:
            raise
        _print_no_more()
        return f"manage.py {command}: {error}"
    return 0


def _print_no_more() -> None:
    """Keep Python from trying once more, on its way out, to print what could not be printed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _servers(command: str) -> Iterator[None]:
    """The embedded servers for as long as the command runs, where no others are configured."""
    if not settings.EMBEDDED or command in SERVERLESS:
        yield
        return
    with embedded.hold(settings.DATA_DIR):
        if command not in AS_IT_IS:
            _prepare()
        yield


def _prepare() -> None:
    """Bring the embedded database to this release, where it is not. Several commands may begin at once."""
    import django

    django.setup()
    if not _lacks_migrations():
        return
    busy = f"Another command has been preparing the database in {settings.DATA_DIR} too long."
    with embedded.alone(settings.DATA_DIR, "migrate", seconds=PREPARING_SECONDS, complaint=busy):
        if _lacks_migrations():
            sys.stderr.write(f"Preparing the database in {settings.DATA_DIR} …\n")
            call_command("migrate", interactive=False, verbosity=0)


def _lacks_migrations() -> bool:
    from clipforge.common.pending_migrations import pending_migrations

    try:
        return bool(pending_migrations())
    except DatabaseError:
        return False

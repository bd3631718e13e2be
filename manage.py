#!/usr/bin/env python
"""Run a ClipForge command. Starts PostgreSQL and Redis on demand where none are configured."""

from __future__ import annotations

import contextlib
import os
import sys

# These need no server; everything else may.
SERVERLESS = {"help", "version", "--help", "-h", "--version", "collectstatic", "spectacular"}


def main(argv: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipforge.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    from clipforge import embedded

    command = argv[1] if len(argv) > 1 else "help"
    try:
        wanted = settings.EMBEDDED and command not in SERVERLESS
        with embedded.hold(settings.DATA_DIR) if wanted else contextlib.nullcontext():
            execute_from_command_line(argv)
    except (ImproperlyConfigured, embedded.EmbeddedError) as error:
        sys.exit(f"manage.py {command}: {error}")
    except OperationalError as error:
        sys.exit(f"manage.py {command}: the database cannot be used.\n{error}".rstrip())


if __name__ == "__main__":
    main(sys.argv)

#!/usr/bin/env python
"""Run a ClipForge command. Starts PostgreSQL and Redis on demand where none are configured."""

from __future__ import annotations

import os
import sys


def main(argv: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipforge.settings")
    from clipforge.management.running import run

    sys.exit(run(argv))


if __name__ == "__main__":
    main(sys.argv)

"""Keep, show or stop the servers of a data directory: python -m clipforge.embedded status DATA"""

import argparse
import sys
from pathlib import Path

from clipforge.embedded import EmbeddedError, keeper_pid, stop, urls
from clipforge.embedded.keeper import keep
from clipforge.embedded.paths import Site
from clipforge.embedded.processes import noted_pids


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m clipforge.embedded", description=__doc__)
    parser.add_argument("verb", choices=["status", "stop", "keep"])
    parser.add_argument("data", type=Path, help="the data directory, usually .clipforge")
    parser.add_argument("--throw-away", action="store_true", help="with keep: fast, not durable")
    options = parser.parse_args()
    try:
        if options.verb == "keep":
            keep(options.data, durable=not options.throw_away)
        elif options.verb == "stop":
            sys.stdout.write("stopped\n" if stop(options.data) else "nothing to stop\n")
        else:
            sys.stdout.write(_status(options.data))
    except (EmbeddedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _status(data: Path) -> str:
    keeper = keeper_pid(data)
    if not keeper:
        return "not running\n"
    pids = " ".join(map(str, noted_pids(Site.of(data))))
    where = urls(data)
    return f"running: keeper {keeper}, servers {pids}\n{where.database}\n{where.redis}\n"


if __name__ == "__main__":
    sys.exit(main())

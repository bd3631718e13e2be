"""Exit 0 when what runs in this container is well: the web server is ready, or, with `alive`, its file is new."""

import os
import sys
import time
import urllib.error
import urllib.request

# A worker touches it every five seconds, also while it waits for a database that is away.
SILENT_SECONDS = 30


def require_web() -> None:
    port = os.environ.get("WEB_BIND", "127.0.0.1:8000").rpartition(":")[2]
    # The name that Django accepts, whatever address the request comes to.
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
    url = f"http://127.0.0.1:{port}/health/ready"
    request = urllib.request.Request(url, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=4):  # noqa: S310
            pass
    except (urllib.error.URLError, TimeoutError) as error:
        sys.exit(f"not ready: {error}")


def require_signs_of_life() -> None:
    path = os.environ.get("ALIVE_FILE", "")
    try:
        silent = time.time() - os.stat(path).st_mtime  # noqa: PTH116 - an empty path is none
    except OSError:
        sys.exit(f"nothing runs here: there is no {path or 'ALIVE_FILE'}")
    if silent > SILENT_SECONDS:
        sys.exit(f"it has given no sign of life for {silent:.0f} s")


if sys.argv[1:] == ["alive"]:
    require_signs_of_life()
else:
    require_web()

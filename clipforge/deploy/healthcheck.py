"""Exit 0 when the web server on this machine is ready: the health check of the container."""

import os
import sys
import urllib.error
import urllib.request

port = os.environ.get("WEB_BIND", "127.0.0.1:8000").rpartition(":")[2]
# The name that Django accepts, whatever address the request comes to.
host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
request = urllib.request.Request(f"http://127.0.0.1:{port}/health/ready", headers={"Host": host})
try:
    with urllib.request.urlopen(request, timeout=4):  # noqa: S310
        pass
except (urllib.error.URLError, TimeoutError) as error:
    sys.exit(f"not ready: {error}")

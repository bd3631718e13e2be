"""The stand-in as a program of its own, which delivers its events by itself."""

from __future__ import annotations

import argparse
import sys
import threading

from clipforge.devtools.testing.stripe.account import WEBHOOK_SECRET
from clipforge.devtools.testing.stripe.server import running_stripe


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a Stripe of our own, for development.")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--webhook", required=True, help="where events are delivered")
    parser.add_argument("--secret", default=WEBHOOK_SECRET, help="signs the events")
    options = parser.parse_args()
    with running_stripe(
        port=options.port, webhook=options.webhook, secret=options.secret
    ) as stripe:
        sys.stderr.write(f"Stand-in Stripe at {stripe.url}\n")
        threading.Event().wait()


if __name__ == "__main__":
    main()

"""The stand-in over HTTP: its API, and the pages where a person pays or changes a plan."""

from __future__ import annotations

import contextlib
import html
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from clipforge.devtools.testing.stripe.account import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    Object,
    Refused,
    Stripe,
)


class _Handler(BaseHTTPRequestHandler):
    stripe: Stripe
    protocol_version = "HTTP/1.1"
    # An answer in one piece: in two, the second waits 40 ms for the first to be acknowledged.
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer("GET", dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self._answer("POST", dict(parse_qsl(body)))

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self, method: str, params: dict[str, str]) -> None:
        path = urlsplit(self.path).path
        if not path.startswith("/v1/"):
            return self._page(method, path)
        fault = self.stripe.faults.pop(0) if self.stripe.faults else ""
        if fault == "hang":
            self.stripe.release.wait(60)
            fault = "junk"
        if fault == "junk":
            return self._send(200, "<html>a page of somebody's proxy</html>", "text/html")
        if fault == "down":
            return self._send_json(503, {"error": {"type": "api_error", "message": "down"}})
        try:
            if fault == "busy":
                raise Refused(409, "idempotency_error", "The same request is running.")
            if self.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
                raise Refused(401, "invalid_request_error", "Invalid API Key provided.")
            key = self.headers.get("Idempotency-Key") if method == "POST" else None
            status, answer, replayed = self.stripe.call(
                method, path, _nested(params), key, breaks=fault == "broken"
            )
        except Refused as refused:
            return self._send_json(refused.status, refused.body)
        if fault == "hold":
            self.stripe.held.set()
            self.stripe.release.wait(60)
        if fault == "lost":
            return self._send_json(502, {"error": {"type": "api_error", "message": "lost"}})
        return self._send_json(status, answer, replayed=replayed)

    def _page(self, method: str, path: str) -> None:
        """The pages for people: the checkout and the portal."""
        match method, path.strip("/").split("/"):
            case "GET", ["checkout", session_id]:
                session = self.stripe.objects[session_id]
                price = f"{session['amount_total'] / 100:.2f} {session['currency']}"
                return self._form(f"Pay {price}", [("Pay", f"/checkout/{session_id}/pay")])
            case "POST", ["checkout", session_id, "pay"]:
                return self._redirect(self.stripe.pay(session_id)["success_url"])
            case "GET", ["portal", customer]:
                return self._form("Your plan", self._choices(customer))
            case "POST", ["portal", subscription_id, "cancel"]:
                self.stripe.cancel(subscription_id)
                return self._form("Cancelled at the end of the period", [])
            case "POST", ["portal", subscription_id, "change", lookup_key]:
                self.stripe.change_plan(subscription_id, lookup_key)
                return self._form("Changed", [])
        return self._send(404, "Nothing here.", "text/plain")

    def _choices(self, customer: str) -> list[tuple[str, str]]:
        choices = []
        for subscription in self.stripe._all("sub"):
            if subscription["customer"] == customer and subscription["status"] == "active":
                here = f"/portal/{subscription['id']}"
                choices.append(("Cancel", f"{here}/cancel"))
                choices += [
                    (f"Change to {price['name']}", f"{here}/change/{price['lookup_key']}")
                    for price in self.stripe._all("price")
                ]
        return choices

    def _form(self, title: str, buttons: list[tuple[str, str]]) -> None:
        forms = "".join(
            f'<form method="post" action="{html.escape(action)}">'
            f"<button>{html.escape(label)}</button></form>"
            for label, action in buttons
        )
        page = f"<!doctype html><title>Stand-in</title><h1>{html.escape(title)}</h1>{forms}"
        self._send(200, page, "text/html; charset=utf-8")

    def _redirect(self, url: str) -> None:
        self.send_response(303)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_json(self, status: int, answer: Object, *, replayed: bool = False) -> None:
        headers = {"idempotent-replayed": "true"} if replayed else {}
        self._send(status, json.dumps(answer), "application/json", **headers)

    def _send(self, status: int, text: str, kind: str, **headers: str) -> None:
        body = text.encode()
        with contextlib.suppress(ConnectionError):  # it gave up waiting
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Twenty may come at once. Beyond the usual five the kernel drops a connection, and lets it try
    # again after a second, then three, then seven.
    request_queue_size = 100


@contextlib.contextmanager
def running_stripe(
    *, port: int = 0, webhook: str = "", secret: str = WEBHOOK_SECRET
) -> Iterator[Stripe]:
    """Serve on loopback until the block ends."""
    stripe = Stripe(webhook=webhook, secret=secret)
    handler = type("Handler", (_Handler,), {"stripe": stripe})
    server = _Server(("127.0.0.1", port), handler)
    stripe.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stripe
    finally:
        stripe.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _nested(params: dict[str, str]) -> Object:
    """`a[b][0]=c` as {"a": {"b": {"0": "c"}}}."""
    nested: Object = {}
    for name, value in params.items():
        *path, last = re.findall(r"[^\[\]]+", name)
        here = nested
        for part in path:
            here = here.setdefault(part, {})
        here[last] = value
    return nested

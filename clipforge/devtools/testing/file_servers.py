"""Files on a real HTTP server, and the ways in which such a server fails whoever fetches them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any


@dataclass
class Served:
    """A reply of `receivers.Receiver` with a file: whole, or from where a `Range` says.

    `breaks` are the bytes of the file after which a connection ends, one after the other; then none does.
    """

    content: bytes
    etag: str = '"v1"'
    type: str = "video/mp4"
    breaks: list[int] = field(default_factory=list)
    # What it says its length is; None: nothing, the end of the connection is that of the file.
    says: int | None = -1
    headers: dict[str, str] = field(default_factory=dict)
    # The `Range` and `If-Range` of each request.
    asked: list[tuple[str | None, str | None]] = field(default_factory=list)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        sent: Any = handler.headers
        self.asked.append((sent["Range"], sent["If-Range"]))
        begins = 0
        if (found := re.fullmatch(r"bytes=(\d+)-", sent["Range"] or "")) and (
            sent["If-Range"] in {None, self.etag}
        ):
            begins = int(found[1])
        ends = self.breaks.pop(0) if self.breaks else len(self.content)
        handler.send_response(206 if begins else 200)
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Type", self.type)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        if begins:
            whole = len(self.content)
            handler.send_header("Content-Range", f"bytes {begins}-{whole - 1}/{whole}")
        if self.says is not None:
            length = len(self.content) - begins if self.says < 0 else self.says
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(self.content[begins:ends])
        if ends < len(self.content) or self.says != -1:
            handler.close_connection = True

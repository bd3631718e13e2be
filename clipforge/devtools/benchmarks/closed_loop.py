"""Requests over connections that are kept, each sent when the answer before it has come."""

from __future__ import annotations

import select
import socket

CONNECTIONS = 16
END = b"\r\n\r\n"


def ask(port: int, path: str, key: str, requests: int) -> None:
    """Send so many GETs and read their answers, which must be 200."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        "Accept: */*\r\nUser-Agent: benchmark\r\n\r\n"
    ).encode()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    received = {each.fileno(): (each, b"") for each in connections}
    poller, sent, answered = select.epoll(), 0, 0
    for each in connections:
        poller.register(each, select.EPOLLIN)
        each.sendall(head)
        sent += 1
    while answered < requests:
        for number, _ in poller.poll():
            connection, before = received[number]
            data = before + connection.recv(65536)
            if is_whole(data):
                if not data.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"{path}: {data.decode(errors='replace')}")
                data, answered = b"", answered + 1
                if sent < requests:
                    connection.sendall(head)
                    sent += 1
            received[number] = connection, data
    for each in connections:
        each.close()


def is_whole(data: bytes) -> bool:
    head, found, body = data.partition(END)
    if not found:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.split(b"\r\n")[0])

"""Requests over connections that are kept, each sent when the answer before it has come."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass

CONNECTIONS = 16
END = b"\r\n\r\n"


def ask(port: int, path: str, key: str, requests: int) -> None:
    """Send so many GETs and read their answers, which must be 200."""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        "Accept: */*\r\nUser-Agent: benchmark\r\n\r\n"
    ).encode()
    clients: dict[int, _Client] = {}
    poller, sent, answered = select.epoll(), 0, 0

    def ask_on(client: _Client) -> None:
        clients[client.connection.fileno()] = client
        poller.register(client.connection, select.EPOLLIN)
        client.connection.sendall(head)

    for _ in range(CONNECTIONS):
        ask_on(_Client(_connect(port)))
        sent += 1
    while answered < requests:
        for number, _ in poller.poll():
            client = clients[number]
            data = client.connection.recv(65536)
            client.received += data
            if not data:
                # A process that has answered its share ends, and its connections with it.
                poller.unregister(number)
                client.connection.close()
                ask_on(_Client(_connect(port)))
                continue
            if is_whole(client.received):
                if not client.received.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"{path}: {client.received.decode(errors='replace')}")
                client.received, answered = b"", answered + 1
                if sent < requests:
                    client.connection.sendall(head)
                    sent += 1
    for client in clients.values():
        client.connection.close()


@dataclass
class _Client:
    connection: socket.socket
    received: bytes = b""


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def is_whole(data: bytes) -> bool:
    head, found, body = data.partition(END)
    if not found:
        return False
    _, _, length = head.lower().partition(b"content-length:")
    return len(body) >= int(length.split(b"\r\n")[0])

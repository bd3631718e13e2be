"""The address that a request comes from."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address of the client, as its network has it and not as it says.

    The peer of the connection, unless that is one of TRUSTED_PROXIES: then what the nearest of them
    wrote last into X-Forwarded-For. What stands before that in the header is the client's own word.
    """
    address = str(request.META.get("REMOTE_ADDR") or "")
    forwarded = request.headers.get("X-Forwarded-For", "").split(",")
    while _is_trusted(address) and forwarded:
        named = forwarded.pop().strip()
        if not _is_address(named):
            break
        address = named
    return address if _is_address(address) else "0.0.0.0"  # noqa: S104 - a Unix socket has none


def _is_trusted(address: str) -> bool:
    return _is_address(address) and any(
        ipaddress.ip_address(address) in network for network in settings.TRUSTED_PROXIES
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

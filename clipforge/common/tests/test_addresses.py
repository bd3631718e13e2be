"""Whose address a request has, whatever it says."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from django.test import RequestFactory

from clipforge.common.addresses import client_address


def address(settings: Any, peer: str, forwarded: str | None, *trusted: str) -> str:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(text) for text in trusted]
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers))


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("203.0.113.9", None, (), "203.0.113.9"),
        # No proxy is trusted: the header is set by the client.
        ("203.0.113.9", "10.0.0.1", (), "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", ("172.16.0.0/12",), "203.0.113.9"),
        # One proxy: what it wrote last; what the client sent stands before that.
        ("172.16.0.5", "203.0.113.9", ("172.16.0.0/12",), "203.0.113.9"),
        ("172.16.0.5", "1.2.3.4, 203.0.113.9", ("172.16.0.0/12",), "203.0.113.9"),
        # Two proxies.
        ("172.16.0.5", "1.2.3.4, 203.0.113.9, 172.16.0.7", ("172.16.0.0/12",), "203.0.113.9"),
        # A proxy that says nothing, or nonsense, is as far as we know.
        ("172.16.0.5", None, ("172.16.0.0/12",), "172.16.0.5"),
        ("172.16.0.5", "nonsense", ("172.16.0.0/12",), "172.16.0.5"),
        ("172.16.0.5", "", ("172.16.0.0/12",), "172.16.0.5"),
        ("172.16.0.5", "172.16.0.6, 172.16.0.7", ("172.16.0.0/12",), "172.16.0.6"),
        ("::1", "2001:db8::7", ("::1/128",), "2001:db8::7"),
        ("", "203.0.113.9", (), "0.0.0.0"),  # noqa: S104 - a Unix socket has no peer address
    ],
)
def test_the_address_is_that_of_the_last_hop_that_nobody_of_ours_made(
    settings: Any, peer: str, forwarded: str | None, trusted: tuple[str, ...], found: str
):
    assert address(settings, peer, forwarded, *trusted) == found

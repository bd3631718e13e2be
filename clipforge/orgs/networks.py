"""Networks that a key works from: addresses and CIDR blocks of either version, by blanks."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable

from clipforge.common.errors import Invalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Offices and servers of a customer come from a few.
MAX_NETWORKS = 20


def normalized(texts: Iterable[str]) -> str:
    """The networks as they are stored, each once. Raises Invalid for what is none, or too many."""
    networks = list(dict.fromkeys(str(_network(each)) for each in texts))
    if len(networks) > MAX_NETWORKS:
        raise Invalid(f"At most {MAX_NETWORKS} networks are allowed.")
    return " ".join(networks)


def contains(stored: str, address: str) -> bool:
    """Is the address in one of the stored networks?

    One of version 4 that came in the clothes of version 6 (`::ffff:192.0.2.1`) is of version 4.
    """
    found = _plain(ipaddress.ip_address(address))
    return any(found in network for network in parsed(stored))


def is_within(stored: str, outer: str) -> bool:
    """Is every stored network in one of the outer ones? Nothing stored is everywhere."""
    if not outer:
        return True
    return bool(stored) and all(
        any(
            each.version == other.version and each.subnet_of(other)  # type: ignore[arg-type]
            for other in parsed(outer)
        )
        for each in parsed(stored)
    )


@functools.lru_cache(maxsize=1024)
def parsed(stored: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(each) for each in stored.split())


def _network(text: str) -> Network:
    try:
        if "%" in text:  # a zone, which means something on one machine only
            raise ValueError(text)
        network = ipaddress.ip_network(text.strip())
    except ValueError:
        raise Invalid(
            f"{text[:100]} is no network. Write an address, or a block like 203.0.113.0/24 or "
            "2001:db8::/32 whose last bits are zero.",
            code="invalid_network",
        ) from None
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

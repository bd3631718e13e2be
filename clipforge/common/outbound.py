"""Requests to addresses that a customer chose: they reach the public internet, and nothing of ours.

Those to addresses of the operator go the same way, but wherever they lead.

The name is resolved once, every address that it has is judged, and the connection is made to one of
those that were judged: a name that means something else a moment later changes nothing. TLS is
verified against the name. Redirects are not followed, a proxy of the environment is not used, and
all of it (name, connection, request, answer) has one time limit, so that an answer which comes a
byte at a time takes no longer than one that never comes.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import httpx
from django.conf import settings

from clipforge.common.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Characters of an address of the web.
MAX_URL = 500
# For all of a request, from the look-up of the name to the last byte that is kept. Seconds.
SECONDS = 5.0
# Bytes of an answer that are kept; the rest is not read.
ANSWER_BYTES = 1024

# What Python of today's version takes for public and yet leads to what may not be reached: relays,
# and networks that are written inside the address. Of IPv6 only 2000::/3 is public at all.
_PUBLIC_6 = ipaddress.ip_network("2000::/3")
_NEVER = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # what the IETF keeps for protocols
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # Teredo, ORCHID and the rest of what the IETF keeps for protocols
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
]

# A name of a host, as it travels.
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

# Look-ups of names that hang occupy these and nothing else.
_RESOLVERS = ThreadPoolExecutor(16, thread_name_prefix="resolver")


class Answer(NamedTuple):
    """The status of an answer, and the beginning of its body."""

    status: int
    body: bytes


class Unanswered(Exception):
    """No answer came, or none may come from there. `code` is stable, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def require_address(url: str, *, most: int = MAX_URL) -> str:
    """The address as it will be used. Raises Invalid for one that requests are never sent to.

    It has `most` characters at most. A name is not looked up: whatever it means is judged when something
    is sent.
    """
    if len(url) > most:
        raise _too_long(most)
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise _refused("This is no address: write it as https://host/path.") from None
    if parsed.scheme not in _schemes():
        raise _refused("The address must begin with https://.")
    address = _literal(parsed.host)
    if address is None and not _NAME.fullmatch(parsed.raw_host.decode("ascii")):
        raise _refused("The address names no host.")
    if parsed.userinfo or parsed.fragment:
        raise _refused("The address may have neither a user and password nor a fragment.")
    if address is not None and not _may_be_reached(address):
        raise _refused(f"{address} is not an address of the public internet.")
    # A letter that is not of ASCII travels as up to twelve characters.
    if len(str(parsed)) > most:
        raise _too_long(most)
    return str(parsed)


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet, and not by a detour one of somewhere else.

    Not public: private, loopback, link-local (with the metadata of clouds), shared (carrier-grade
    NAT), multicast, reserved; and IPv6 that holds an IPv4 address (mapped, NAT64, 6to4, Teredo).
    """
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    if address.version == 6 and address not in _PUBLIC_6:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve_name(host: str, port: int) -> list[str]:
    """Every address of the host, in the order of preference of this machine. Raises OSError."""
    look_up = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVERS, look_up)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@functools.cache
def public_authorities() -> ssl.SSLContext:
    """Trusts the certificates that browsers trust. Made once: reading them takes 10 ms."""
    return httpx.create_ssl_context(trust_env=False)


@dataclass(frozen=True)
class Outbound:
    """A client for addresses that a customer chose, or with `anywhere` the operator. Every request has a connection of its own."""

    seconds: float = SECONDS
    answer_bytes: int = ANSWER_BYTES
    resolve: Resolve = resolve_name
    authorities: Callable[[], ssl.SSLContext] = public_authorities
    # The operator chose the address: it may be anywhere, and without TLS.
    anywhere: bool = False

    async def post(self, url: str, *, headers: Mapping[str, str], content: bytes) -> Answer:
        """Send it once. Any status is an answer, a redirect included. Raises Unanswered."""
        try:
            async with asyncio.timeout(self.seconds):
                return await self._exchange(url, headers, content)
        except TimeoutError:
            raise Unanswered("timeout", f"No whole answer within {self.seconds:g} s.") from None
        except httpx.ConnectError as error:
            raise unconnected(error) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise Unanswered("broken_answer", "The connection broke, or was no HTTP.") from error

    async def _exchange(self, url: str, headers: Mapping[str, str], content: bytes) -> Answer:
        transport = Pinned(self.resolve, self.authorities(), anywhere=self.anywhere)
        async with httpx.AsyncClient(
            transport=transport, timeout=self.seconds, trust_env=False, follow_redirects=False
        ) as client:
            # Not decompressed: a kilobyte of it may stand for a gigabyte.
            sent = {"Accept-Encoding": "identity", **headers}
            async with client.stream("POST", url, headers=sent, content=content) as response:
                kept = bytearray()
                async for part in response.aiter_raw():
                    kept += part[: self.answer_bytes - len(kept)]
                    if len(kept) == self.answer_bytes:
                        break
                return Answer(response.status_code, bytes(kept))


class Pinned(httpx.AsyncBaseTransport):
    """Connects to an address that was judged, and verifies the certificate of the name."""

    def __init__(
        self, resolve: Resolve, authorities: ssl.SSLContext, *, anywhere: bool = False
    ) -> None:
        self._resolve, self._anywhere = resolve, anywhere
        self._inner = httpx.AsyncHTTPTransport(
            verify=authorities,
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        address = await self._address_of(request.url)
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host=str(address))
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _address_of(self, url: httpx.URL) -> Address:
        """One of its addresses, if all of them may be reached. Raises Unanswered."""
        if (literal := _literal(url.host)) is not None:
            found = [literal]
        else:
            try:
                port = url.port or (443 if url.scheme == "https" else 80)
                names = await self._resolve(url.host, port)
                found = [ipaddress.ip_address(name) for name in names]
            except (OSError, ValueError, UnicodeError):
                raise Unanswered("unknown_host", f"{url.host} cannot be resolved.") from None
        if not found:
            raise Unanswered("unknown_host", f"{url.host} has no address.")
        for address in () if self._anywhere else found:
            if not _may_be_reached(address) or (url.scheme == "http" and not address.is_loopback):
                raise Unanswered(
                    "address_refused", f"{url.host} leads to an address that is not public."
                )
        return found[0]


def _schemes() -> set[str]:
    return {"https", "http"} if settings.OUTBOUND_LOOPBACK else {"https"}


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _may_be_reached(address: Address) -> bool:
    if settings.OUTBOUND_LOOPBACK and address.is_loopback:
        return True
    # An address with a zone is one of a network that this machine is in.
    return getattr(address, "scope_id", None) is None and is_public(address)


def _too_long(most: int) -> Invalid:
    return _refused(f"An address has at most {most} characters, as it travels.")


def _refused(message: str) -> Invalid:
    return Invalid(message, code="address_refused")


def unconnected(error: httpx.ConnectError) -> Unanswered:
    """Why no connection came about, as it is told."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return Unanswered("tls_failed", "Its certificate could not be verified.")
        cause = cause.__cause__ or cause.__context__
    return Unanswered("unreachable", "The connection was refused.")

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from clipforge.common.errors import Invalid
from clipforge.common.outbound import (
    ANSWER_BYTES,
    MAX_URL,
    Answer,
    Outbound,
    Unanswered,
    is_public,
    require_address,
    resolve_name,
)
from clipforge.devtools.testing.receivers import Receiver, receiving, status


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    settings.OUTBOUND_LOOPBACK = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def post(url: str, client: Outbound | None = None) -> Answer:
    headers = {"X-Test": "1"}
    return asyncio.run((client or Outbound()).post(url, headers=headers, content=b"hello"))


def refusal(url: str, client: Outbound | None = None) -> str:
    with pytest.raises(Unanswered) as caught:
        post(url, client)
    return caught.value.code


class Names:
    """A resolver whose answers change with every question, as one of an attacker does."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:  # noqa: ARG002
        self.asked.append(host)
        return self.answers.pop(0)


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *["10.0.0.1", "127.0.0.1", "127.255.255.254", "172.16.0.1", "172.31.255.255"],
        *["192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "198.18.0.1"],
        *["192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255"],
        *["240.0.0.1", "255.255.255.255", "192.88.99.1"],
        *["::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "::808:808"],
        *["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001::1"],
        *["2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"],
        *["100::1", "5f00::1", "fe80::1%eth0"],
    ],
)
def test_an_address_that_is_not_public_is_refused_also_by_a_detour(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2001:4860:4860::8888", "2606:4700::1111"],
)
def test_an_address_of_the_public_internet_is_not(address: str):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *["", "example.com/hook", "ftp://example.com/", "file:///etc/passwd", "https://"],
        *["http://example.com/", "https://user:secret@example.com/", "https://example.com/#x"],
        *["https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://10.1.2.3"],
        *["https://169.254.169.254/latest/meta-data", "https://exa mple.com", "https://[::1"],
        "https://example.com/" + "x" * (MAX_URL - 19),
        "https://example.com/x" + "é" * 80,  # each travels as six
    ],
)
def test_an_address_that_nothing_is_sent_to_is_no_address(url: str, settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    with pytest.raises(Invalid) as caught:
        require_address(url)
    assert caught.value.error_code == "address_refused"


def test_the_longest_address_has_500_characters(settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    longest = "https://example.com/" + "x" * (MAX_URL - 20)
    assert require_address(longest) == longest
    assert len(require_address("https://example.com/" + "é" * 80)) == MAX_URL
    assert require_address("https://EXAMPLE.com:443/a?b=c") == "https://example.com/a?b=c"
    assert require_address("https://bücher.example") == "https://xn--bcher-kva.example"


def test_this_machine_is_an_address_only_where_a_setting_says_so(receiver: Receiver, settings: Any):
    assert require_address("http://127.0.0.1:8/") == "http://127.0.0.1:8/"
    assert post(receiver.url()).status == 200
    settings.OUTBOUND_LOOPBACK = False
    for url in [receiver.url(), receiver.url(host="localhost")]:
        assert refusal(url) == "address_refused"
    assert len(receiver.received) == 1


def test_plain_http_reaches_no_other_machine_whatever_the_setting():
    assert refusal("http://name.test/", Outbound(resolve=Names(["8.8.8.8"]))) == "address_refused"


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"]],
)
def test_a_name_with_one_address_that_is_not_public_is_refused(addresses: list[str]):
    assert refusal("https://name.test/", Outbound(resolve=Names(addresses))) == "address_refused"


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged(receiver: Receiver):
    """The second answer would lead elsewhere: nobody asks for it."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    url = receiver.url(host="rebinding.test")
    assert post(url, Outbound(resolve=names)) == Answer(200, b"ok")
    assert names.asked == ["rebinding.test"]
    assert receiver.received[0].headers["Host"] == f"rebinding.test:{receiver.port}"


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "localhost", "127.1"])
def test_another_spelling_of_this_machine_is_this_machine(host: str, settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    assert refusal(f"https://{host}/") in {"address_refused", "unknown_host"}


def test_a_name_that_means_nothing_is_an_unknown_host():
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    assert refusal("https://name.test/", Outbound(resolve=nothing)) == "unknown_host"
    assert refusal("https://name.test/", Outbound(resolve=Names([]))) == "unknown_host"
    assert "127.0.0.1" in asyncio.run(resolve_name("localhost", 80))


# --- answers ---------------------------------------------------------------------------------


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver):
    receiver.replies["/"] = status(302, b"", Location=receiver.url("/elsewhere"))
    assert post(receiver.url()).status == 302
    assert [each.path for each in receiver.received] == ["/"]


def test_of_a_huge_answer_a_kilobyte_is_kept_and_the_rest_is_not_read(receiver: Receiver):
    broke, sent = threading.Event(), 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
                sent += 65536
        except OSError:
            broke.set()

    receiver.replies["/"] = endless
    assert post(receiver.url()) == Answer(200, b"x" * ANSWER_BYTES)
    assert broke.wait(60)
    assert sent < 64 * 1024**2  # what the kernel holds for a reader that is slow, and no more


def test_a_compressed_answer_is_not_unpacked(receiver: Receiver):
    receiver.replies["/"] = status(200, b"\x1f\x8b\x08 not really", Content_Encoding="gzip")
    assert post(receiver.url()) == Answer(200, b"\x1f\x8b\x08 not really")
    assert receiver.received[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("part", ["silence", "head", "body"])
def test_an_answer_that_drips_has_the_same_time_as_one_that_never_comes(
    receiver: Receiver, part: str
):
    """Each byte would renew a limit on single reads: after a thousand of them we would still wait."""
    over = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "900")
            handler.end_headers()
        elif part == "head":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        try:
            while not over.wait(0.02):
                if part != "silence":
                    handler.wfile.write(b"x")
        except OSError:
            pass

    receiver.replies["/"] = drip
    try:
        assert refusal(receiver.url(), Outbound(seconds=0.3)) == "timeout"
    finally:
        over.set()


def test_a_name_that_is_looked_up_for_ever_is_a_timeout():
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert refusal("https://name.test/", Outbound(seconds=0.2, resolve=never)) == "timeout"


def test_an_address_of_the_operator_may_be_anywhere(receiver: Receiver, settings: Any):
    settings.OUTBOUND_LOOPBACK = False
    assert refusal(receiver.url()) == "address_refused"
    assert post(receiver.url(), Outbound(anywhere=True)) == Answer(200, b"ok")


def test_a_whole_request_has_five_seconds():
    assert Outbound().seconds == 5


def test_a_port_that_nobody_listens_at_is_unreachable():
    with receiving() as gone:
        url = gone.url()
    assert refusal(url) == "unreachable"


def test_what_is_no_http_is_a_broken_answer(receiver: Receiver):
    def greet(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    receiver.replies["/"] = greet
    assert refusal(receiver.url()) == "broken_answer"


# --- TLS ---------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of `hooks.test`, signed by itself; with its key in the same file."""
    made, cert = tmp_path / "both.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            *["-nodes", "-days", "2", "-subj", "/CN=hooks.test", "-addext"],
            *["subjectAltName=DNS:hooks.test", "-keyout", str(made), "-out", str(cert)],
        ],
        check=True,
        capture_output=True,
    )
    made.write_bytes(made.read_bytes() + cert.read_bytes())
    return made


def test_tls_is_verified_against_the_name_and_not_against_the_address(certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with receiving(context) as receiver:

        def ask(host: str, authorities: ssl.SSLContext | None) -> str | int:
            client = Outbound(resolve=Names(["127.0.0.1"]))
            if authorities is not None:
                client = Outbound(resolve=client.resolve, authorities=lambda: authorities)
            try:
                return post(receiver.url(host=host), client).status
            except Unanswered as error:
                return error.code

        assert ask("hooks.test", trusting) == 200
        assert ask("other.test", trusting) == "tls_failed"
        assert ask("hooks.test", None) == "tls_failed"
        assert len(receiver.received) == 1


def test_the_check_before_deployment_refuses_to_send_to_this_machine():
    found = run_checks(include_deployment_checks=True, tags=["security"])
    assert "clipforge.E002" in {each.id for each in found}

"""Digests that a client sends along: read as RFC 9530 has them, or refused."""

from __future__ import annotations

import base64
import hashlib

import pytest

from clipforge.common.api.digests import expected_digests, require_match
from clipforge.common.errors import Invalid

FILE, BODY, OTHER = (hashlib.sha256(text).digest() for text in (b"file", b"body", b"other"))


def field(digest: bytes, algorithm: str = "sha-256") -> str:
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def test_none_is_asked_for():
    assert expected_digests({}) == {}


@pytest.mark.parametrize(
    "value",
    [
        field(FILE),
        f"  {field(FILE)} ",
        f"{field(FILE)};note=1",
        f"{field(b'x' * 64, 'sha-512')}, {field(FILE)}",
        f"{field(FILE)},\t{field(b'x' * 16, 'md5')}",
        f"{field(OTHER)}, {field(FILE)}",  # of a key given twice the last counts
    ],
)
def test_the_sha_256_is_found_among_what_else_is_there(value):
    assert expected_digests({"Repr-Digest": value}) == {"Repr-Digest": FILE}


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            ",",
            "sha-256",
            "sha-256=",
            "sha-256=::",
            "sha-256=abc",
            "sha-256=:abc",
            "sha-256=:a=b:",
        ),
        *(field(FILE)[:-1], field(FILE) + "x", field(FILE) + ",", f"{field(FILE)} {field(FILE)}"),
        field(FILE, "SHA-256"),
        field(FILE[:31]),
        field(b"x" * 64),
        field(b"x" * 64, "sha-512"),  # not checked, so it must not look as if it were
        FILE.hex(),
        f"sha-256={FILE.hex()}",
        "sha-256=:" + "A" * 100_000 + ":",
        field(FILE) + ";" * 10_000,
        "\u0661" * 44,
    ],
)
def test_what_cannot_be_read_is_refused(value):
    with pytest.raises(Invalid) as refusal:
        expected_digests({"Content-Digest": value})
    assert refusal.value.error_code == "invalid_digest"
    assert refusal.value.message.startswith("Content-Digest must be")


def test_either_the_file_or_the_body_has_to_match():
    require_match({"Content-Digest": BODY, "Repr-Digest": FILE}, body=BODY, file=FILE)
    require_match({"Content-Digest": BODY}, body=BODY, file=None)


@pytest.mark.parametrize("file", [FILE, None])
def test_what_matches_neither_is_refused_with_what_arrived(file):
    with pytest.raises(Invalid) as refusal:
        require_match({"Content-Digest": BODY, "Repr-Digest": OTHER}, body=BODY, file=file)
    assert refusal.value.error_code == "digest_mismatch"
    assert "Repr-Digest is not" in refusal.value.message
    assert refusal.value.extra == {"received": field(file or BODY)}

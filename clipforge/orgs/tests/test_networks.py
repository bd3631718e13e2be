"""Networks that a key works from."""

from __future__ import annotations

import pytest

from clipforge.common.errors import Invalid
from clipforge.orgs import networks


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (["203.0.113.0/24"], "203.0.113.0/24"),
        (["203.0.113.7"], "203.0.113.7/32"),
        ([" 2001:DB8::/32 ", "2001:db8::/32"], "2001:db8::/32"),
        (["::ffff:192.0.2.1"], "192.0.2.1/32"),
        (["::ffff:192.0.2.0/120"], "192.0.2.0/24"),
        ([], ""),
    ],
)
def test_they_are_stored_in_one_form_each_once(given: list[str], stored: str):
    assert networks.normalized(given) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "here",
        "203.0.113.1/24",
        "203.0.113.0/33",
        "1",
        "203.0.113.0/24 0.0.0.0/0",
        "fe80::1%eth0/128",
    ],
)
def test_what_is_no_network_is_refused(text: str):
    with pytest.raises(Invalid) as refused:
        networks.normalized([text])
    assert refused.value.error_code == "invalid_network"


def test_twenty_fit_and_one_more_does_not():
    twenty = [f"10.0.{number}.0/24" for number in range(20)]
    assert len(networks.normalized([*twenty, twenty[0]]).split()) == 20
    with pytest.raises(Invalid):
        networks.normalized([*twenty, "10.1.0.0/24"])


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("203.0.112.255", False),
        ("::ffff:203.0.113.9", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("0.0.0.0", False),  # noqa: S104 - of a Unix socket
    ],
)
def test_an_address_is_in_its_network_to_the_last_and_no_further(address: str, inside: bool):
    stored = networks.normalized(["203.0.113.0/24", "2001:db8::/32"])
    assert networks.contains(stored, address) is inside


@pytest.mark.parametrize(
    ("stored", "outer", "within"),
    [
        ("", "", True),
        ("", "10.0.0.0/8", False),
        ("10.1.0.0/16", "10.0.0.0/8", True),
        ("10.0.0.0/8", "10.1.0.0/16", False),
        ("10.1.0.0/16 2001:db8::/64", "10.0.0.0/8", False),
        ("10.1.0.0/16 2001:db8::/64", "10.0.0.0/8 2001:db8::/32", True),
        ("10.0.0.0/8", "", True),
    ],
)
def test_nothing_stored_is_everywhere(stored: str, outer: str, within: bool):
    assert networks.is_within(stored, outer) is within

"""The text of an API key."""

from __future__ import annotations

import hashlib
import hmac
import re
import string
import zlib

import pytest

from clipforge.orgs import keys

GARBAGE = {
    "nothing": "",
    "blank": "   ",
    "a word": "secret",
    "only the prefix": "cf_live_",
    "another product's": "sk_live_" + "a" * 58,
    "the right length of nothing": "x" * 66,
    "not ASCII": "cf_live_" + "é" * 58,
    "digits of another script": "cf_live_" + "٣" * 58,
    "emoji": "cf_live_" + "🔑" * 58,
    "NUL bytes": "cf_live_" + "\0" * 58,
    "line breaks": "cf_live_" + "\n" * 58,
    "underscores": "cf_live_" + "_" * 58,
    "SQL": "cf_live_' OR 1=1 --" + "a" * 47,
    "very long": "cf_live_" + "a" * 100_000,
}


def with_checksum(body: str) -> str:
    return body + keys._checksum(body)


def test_a_key_is_its_prefix_an_id_of_8_a_secret_of_43_and_a_checksum_of_6():
    public_id, key = keys.generate()
    assert re.fullmatch(r"cf_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}[0-9A-Za-z]{6}", key)
    assert len(key) == 66
    assert key[8:16] == public_id == keys.public_id_of(key)


@pytest.mark.parametrize("prefix", keys.PREFIXES)
def test_without_its_prefix_a_key_begins_with_its_id(prefix: str):
    public_id, key = keys.generate(prefix)
    assert keys.without_prefix(key).startswith(f"{public_id}_")
    assert keys.without_prefix(public_id) == public_id


def test_the_secret_carries_256_bits():
    assert 62**keys.SECRET_LENGTH >= 2**256


def test_a_thousand_keys_are_a_thousand_ids_and_a_thousand_secrets():
    made = [keys.generate() for _ in range(1000)]
    assert len({public_id for public_id, _ in made}) == 1000
    assert len({key[17:60] for _, key in made}) == 1000


def test_the_checksum_is_the_crc_32_of_all_before_it_in_base_62():
    body = "cf_live_AbCd1234_" + "s" * 43
    digits = [(string.digits + string.ascii_letters.swapcase()).index(each) for each in "45jleH"]
    assert sum(digit * 62**place for place, digit in enumerate(reversed(digits))) == zlib.crc32(
        body.encode()
    )
    assert keys.public_id_of(body + "45jleH") == "AbCd1234"


def test_the_checksum_catches_every_change_of_a_single_character():
    _, key = keys.generate()
    changed = [
        key[:place] + other + key[place + 1 :]
        for place in range(len(key))
        for other in keys.ALPHABET + "_"
        if other != key[place]
    ]
    assert len(changed) == 66 * 63 - len([c for c in key if c in keys.ALPHABET + "_"])
    assert [each for each in changed if keys.public_id_of(each) is not None] == []


def test_the_checksum_catches_two_neighbours_that_changed_places():
    _, key = keys.generate()
    swapped = {
        key[:place] + key[place + 1] + key[place] + key[place + 2 :]
        for place in range(len(key) - 1)
    } - {key}
    assert [each for each in swapped if keys.public_id_of(each) is not None] == []


def test_a_key_that_lost_or_gained_characters_is_none():
    _, key = keys.generate()
    broken = [key[:length] for length in range(len(key))] + [key + "a", key + key, f" {key}"]
    assert [each for each in broken if keys.public_id_of(each) is not None] == []


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_key(text):
    assert keys.public_id_of(text) is None


@pytest.mark.parametrize("public_id", ["AbCd\0234", "AbCd_234", "AbCd 234", "AbCd'234", "AbCd1é34"])
def test_a_forged_id_is_refused_even_under_a_right_checksum(public_id):
    forged = with_checksum(f"cf_live_{public_id}_{'s' * 43}")
    assert keys.public_id_of(forged) is None


def test_what_is_stored_is_an_hmac_of_the_whole_key_under_the_pepper(settings):
    settings.API_KEY_PEPPER = "pepper"
    expected = hmac.new(b"pepper", b"cf_live_key", hashlib.sha256).hexdigest()
    assert keys.digest("cf_live_key") == expected
    assert len(expected) == 64


def test_another_pepper_is_another_digest(settings):
    _, key = keys.generate()
    stored = keys.digest(key)
    assert keys.matches(key, stored)
    settings.API_KEY_PEPPER = "another pepper"
    assert keys.digest(key) != stored
    assert not keys.matches(key, stored)


def test_digests_are_compared_in_constant_time(monkeypatch):
    compared = []
    original = hmac.compare_digest

    def spy(one: str, other: str) -> bool:
        compared.append((one, other))
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    _, key = keys.generate()
    stored = keys.digest(key)
    assert keys.matches(key, stored)
    assert not keys.matches(key, "0" * 64)
    assert compared == [(stored, stored), (stored, "0" * 64)]


def test_a_longer_secret_makes_no_key_though_its_checksum_is_right():
    body = f"{keys.PREFIX}{'a' * keys.ID_LENGTH}_{'b' * (keys.SECRET_LENGTH + 1)}"
    assert keys.public_id_of(body + keys._checksum(body)) is None
    body = body[:-1]
    assert keys.public_id_of(body + keys._checksum(body)) == "a" * keys.ID_LENGTH

"""The meaning of a text as people paste it: out of a mail, a sentence, or the address of a page."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote, urlsplit

ADDRESS = re.compile(r"[^\s<>\"',;:()\[\]]+@[^\s<>\"',;:()\[\]]+")
IN_HEADER = re.compile(rf"<(?:mailto:)?({ADDRESS.pattern})>")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
OF_STRIPE = re.compile(r"\b(?:cs|in|pi|sub|cus|evt)_[A-Za-z0-9_]{3,}")
DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", re.IGNORECASE)
# The beginning of an id: six digits at least, of which one is a letter or more than a number has.
PREFIX = re.compile(r"[0-9a-f]{6,8}(?:-[0-9a-f-]{0,26}|[0-9a-f]{0,24})", re.IGNORECASE)
DIGITS = 32
AROUND = " \t\n,;.:!?\"'`“”‘’()[]{}«»"


def meant(text: str) -> str:
    """The address, id or words that were copied along with what stood around them.

    `Jane <jane@acme.example>,` is the address, `https://…/api/v1/projects/01a2…/moments` the last id in
    it. Anything else is what it is, without the punctuation at its ends.
    """
    if header := IN_HEADER.search(text):
        return header[1].rstrip(".")
    bare = text.strip(AROUND)
    if bare.lower().startswith("mailto:"):
        return unquote(bare[len("mailto:") :].partition("?")[0]).strip(AROUND)
    if bare.startswith(("http://", "https://", "/")):
        return _of_address(bare)
    return bare


def _of_address(address: str) -> str:
    """The last id in the address of a page or of the API; of others its host. Else what it is."""
    if found := UUID.findall(address) or OF_STRIPE.findall(address):
        return str(found[-1])
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address


def range_of(prefix: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """The first and the last id that begin so; None for a text that no id begins with."""
    digits = prefix.replace("-", "")
    if not PREFIX.fullmatch(prefix) or not 6 <= len(digits) < DIGITS:
        return None
    return uuid.UUID(digits.ljust(DIGITS, "0")), uuid.UUID(digits.ljust(DIGITS, "f"))


def is_domain(text: str) -> bool:
    return DOMAIN.fullmatch(text) is not None

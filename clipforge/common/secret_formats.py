"""The formats of our own secrets, so that searches and stored texts can keep them out.

The app that issues a secret registers its format when it starts: a prefix that marks it, then a
public part that finds its row, then the secret part.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class SecretFormat(NamedTuple):
    """The format of one kind of secret. `warning` is shown to a person that pasted a whole one."""

    prefix: str
    public_length: int
    warning: str


_formats: dict[str, SecretFormat] = {}


def register(secret_format: SecretFormat) -> None:
    """Make a format known. The same prefix again replaces it."""
    _formats[secret_format.prefix] = secret_format


def public_part(text: str) -> tuple[str, str]:
    """The text, and no warning; the public part and its warning for a text with a whole secret."""
    for prefix, length, warning in _formats.values():
        match = re.search(rf"{re.escape(prefix)}([0-9A-Za-z]{{0,{length}}})(\S*)", text)
        if match is not None and match[2]:
            return f"{prefix}{match[1]}", warning
    return text, ""


def without_prefix(text: str) -> str:
    """The public part alone, as its row has it; any other text as it is."""
    for prefix in _formats:
        text = text.removeprefix(prefix)
    return text


def redacted(text: str, instead: str) -> str:
    """The text with `instead` for every secret, whole or in part."""
    for prefix in _formats:
        text = re.sub(rf"\b{re.escape(prefix)}\w*", instead, text)
    return text

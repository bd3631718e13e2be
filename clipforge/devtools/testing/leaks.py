"""Secrets in logs: their patterns, and a handler that finds them while the tests run."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

# A whole API key; its public part alone may be logged. The token of a signed link. Stripe's secrets.
LOOKS_SECRET = re.compile(
    r"cf_(?:live|test|page)_\w{8}_\w{20}|/files/[\w-]{8,}:|\b(?:[sr]k_(?:test|live)|whsec)_\w{6}"
)
# What is shorter is found in innocent words.
SHORTEST = 10
SETTINGS = (
    *("SECRET_KEY", "API_KEY_PEPPER", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    "EMAIL_HOST_PASSWORD",
)
# Which may have a password in them.
URLS = ("DATABASE_URL", "REDIS_URL")


def of_settings(value_of: Callable[[str], str]) -> set[str]:
    """The secrets of a service, by the name of a setting; "" is none."""
    values = {value_of(name) for name in SETTINGS}
    for name in URLS:
        password = urlsplit(value_of(name)).password or ""
        values |= {password, unquote(password)}
    return {value for value in values if len(value) >= SHORTEST}


def is_leak(text: str, values: Iterable[str] = ()) -> bool:
    """Whether the text has something that looks like a secret, or one of these."""
    return bool(LOOKS_SECRET.search(text)) or any(value in text for value in values)


def in_files(folder: Path, values: Iterable[str]) -> list[str]:
    """Every such line in a log in the folder or below, whose other folders may come and go meanwhile."""
    logs = [
        Path(inside, name)
        for inside, _, names in os.walk(folder)
        for name in names
        if ".log" in name
    ]
    return [
        f"{log.name}: {line}"
        for log in sorted(logs)
        for line in log.read_text(errors="replace").splitlines()
        if is_leak(line, values)
    ]


class Leaks(logging.Handler):
    """Keeps every record, of any logger above it, that has a secret: of the settings, or one remembered."""

    def __init__(self) -> None:
        from clipforge.common.logs import JSONFormatter  # Django is not set up where plugins load

        super().__init__()
        self.setFormatter(JSONFormatter())  # the sentence, what is beside it, and the traceback
        self.remembered: set[str] = set()
        self._found: list[str] = []

    def remember(self, secret: str) -> None:
        if len(secret) >= SHORTEST:
            self.remembered.add(secret)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if is_leak(text, self.secrets()):
            self._found.append(text)

    def secrets(self) -> set[str]:
        from django.conf import settings

        return self.remembered | of_settings(lambda name: str(getattr(settings, name)))

    def take(self) -> list[str]:
        """The leaks found since the last call."""
        found, self._found = self._found, []
        return found

    def listen(self) -> None:
        """At the root, and where records end before they come there. A test may have taken it away."""
        for name in (None, "django.server"):
            logger = logging.getLogger(name)
            if self not in logger.handlers:
                logger.addHandler(self)

    def learn(self) -> None:
        """Remember the secret part of every key that is made, and every password that is stored or tried."""
        from django.contrib.auth import hashers

        from clipforge.orgs import keys

        def of_key(generated: tuple[str, str]) -> None:
            self.remember(generated[1].rpartition("_")[2][: keys.SECRET_LENGTH])

        keys.generate = _watched(keys.generate, lambda _, made: of_key(made))
        for kind in (hashers.PBKDF2PasswordHasher, hashers.MD5PasswordHasher):
            encode = _watched(kind.encode, lambda arguments, _: self.remember(str(arguments[1])))
            kind.encode = encode  # type: ignore[method-assign]


def _watched(
    function: Callable[..., Any], look: Callable[[tuple[Any, ...], Any], None]
) -> Callable[..., Any]:
    """The function, with its arguments and its result inspected."""

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        look(args, result)
        return result

    return watched

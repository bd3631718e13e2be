"""Reading the environment, for the settings. A bad value stops the process with a sentence about it."""

from __future__ import annotations

import ipaddress
import os
import re

from django.core.exceptions import ImproperlyConfigured

# Every name that was asked for.
asked: set[str] = set()


def env(name: str, default: str | None = None) -> str:
    """The variable, or the default; without a default it is required."""
    asked.add(name)
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(
            f"{name} is not set. Set it in the environment; every variable is listed in "
            "clipforge/docs/configuration.md."
        )
    return value


def env_bool(name: str, default: bool) -> bool:
    value = env(name, "true" if default else "false").lower()
    if value not in {"true", "false"}:
        raise ImproperlyConfigured(f'{name} is "{value}"; it must be "true" or "false".')
    return value == "true"


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    value = env(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f'{name} is "{value}"; it must be a whole number.') from None
    if number < minimum:
        raise ImproperlyConfigured(f"{name} is {number}; it must be at least {minimum}.")
    return number


def env_list(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in env(name, default).split(",") if item.strip()]


def env_networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses and networks, comma separated: `10.0.0.5, 172.16.0.0/12`."""
    try:
        return [ipaddress.ip_network(item) for item in env_list(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} has what is no network: {error}.") from None


def env_choice(name: str, default: str, choices: set[str]) -> str:
    value = env(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f'{name} is "{value}"; it must be one of {sorted(choices)}.')
    return value


def env_like(name: str, pattern: str, example: str) -> str:
    """The variable, which has to match the whole pattern where it is set; empty where it is not."""
    value = env(name, "")
    if value and not re.fullmatch(pattern, value):
        raise ImproperlyConfigured(f"{name} must be like {example}.")
    return value

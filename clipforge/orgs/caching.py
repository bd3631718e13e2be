"""The rows that every request asks for: API key, organization, limits of its tier.

Cached one by one, each under the version of its row, so that revoking a key, suspending an
organization, or changing a tier, an override or a limit holds from the next request on. The keys
are also in `lua/admit.lua`, which reads all three in one round trip:

    orgs:key:<public id>          orgs:organization:<id>          orgs:limits:<tier>
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.db.models import DateTimeField, Model, UUIDField

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.news import publish_on_commit
from clipforge.common.cache.versioned_cache import Versioned
from clipforge.common.models import CachedRow
from clipforge.orgs.models import APIKey, Organization, TierLimits

# Seconds. The longest that a lost invalidation lasts: Redis was unreachable for the writer, and the
# writer died before it could send it again.
SECONDS = 300

R = TypeVar("R", bound=CachedRow)


def api_key(public_id: str) -> APIKey:
    """The key with this public id. Raises APIKey.DoesNotExist, which is not cached."""
    return _cached(APIKey, public_id)


def organization(pk: uuid.UUID | str) -> Organization:
    """The organization with this id. Raises Organization.DoesNotExist."""
    return _cached(Organization, str(pk))


def limits(tier: str) -> TierLimits:
    """The limits of this tier. Raises TierLimits.DoesNotExist."""
    return _cached(TierLimits, tier)


def limits_of(organization: Organization) -> TierLimits:
    """The limits of its tier. For the organization of a request they are those that it was admitted with."""
    known: TierLimits | None = organization.__dict__.get("admitted_with")
    if known is not None and known.tier == organization.tier:
        return known
    return limits(organization.tier)


def admitted_with(organization: Organization, limits: TierLimits) -> None:
    """Let the request whose organization this is ask Redis for its limits no more."""
    organization.__dict__["admitted_with"] = limits


def key_of(row: CachedRow) -> str:
    """The cache key of a row."""
    kind, field = KINDS[type(row)]
    return f"orgs:{kind}:{getattr(row, field)}"


def changed(row: CachedRow) -> None:
    """Forget the row. Call in the transaction that changed it, after the change."""
    rows_changed(type(row), [row.pk])


def deleting(row: CachedRow) -> None:
    """Forget the row, and lock it. Call in the transaction that deletes it, before it does."""
    locked = type(row)._default_manager.select_for_update().get(pk=row.pk)
    default_cache().invalidate(key_of(locked), locked.version + 1)


def rows_changed(model: type[CachedRow], pks: Iterable[Any]) -> None:
    """As `changed`, for rows that were changed in bulk. The trigger has given them their versions."""
    for row in model._default_manager.filter(pk__in=list(pks)):
        default_cache().invalidate(key_of(row), row.version)


def channel_of(row: CachedRow) -> str:
    """Where the end of a row's rights is published, for requests that wait under it."""
    return f"news:{key_of(row)}"


def tell_waiting(row: CachedRow) -> None:
    """Have the requests that wait look again, once this transaction has committed: they may no longer."""
    publish_on_commit(channel_of(row))


def to_json(row: CachedRow) -> dict[str, Any]:
    """The row as it is cached. Times and ids are text; a key has its end in milliseconds besides."""
    cached: dict[str, Any] = {
        field.attname: value
        if (value := getattr(row, field.attname)) is None or isinstance(value, int | str)
        else field.value_to_string(row)
        for field in row._meta.concrete_fields
    }
    if isinstance(row, APIKey):
        cached["expires_ms"] = row.expires_at and int(row.expires_at.timestamp() * 1000)
    return cached


def from_json(model: type[R], cached: dict[str, Any] | str | bytes) -> R:
    """The row again, as if it had been read from the database.

    Raises KeyError where it lacks a column, which another release that still runs did not know.
    """
    names, _ = _columns(model)
    values = _values(model, cached) if isinstance(cached, dict) else _parsed(model, cached)
    return model.from_db("default", names, values)


KINDS: dict[type[CachedRow], tuple[str, str]] = {
    APIKey: ("key", "prefix"),
    Organization: ("organization", "id"),
    TierLimits: ("limits", "tier"),
}


def stored(model: type[R], value: str) -> R:
    """The row as the database has it. Raises DoesNotExist."""
    _, field = KINDS[model]
    return model._default_manager.get(**{field: value})


def _cached(model: type[R], value: str) -> R:
    def load() -> Versioned:
        row = stored(model, value)
        return Versioned(to_json(row), row.version)

    kind, _ = KINDS[model]
    found = default_cache().get_or_load(f"orgs:{kind}:{value}", load, seconds=SECONDS)
    try:
        return from_json(model, found)
    except KeyError:  # a release that does not know all columns cached it
        return stored(model, value)


@functools.lru_cache(maxsize=1024)
def _parsed(model: type[Model], text: str | bytes) -> tuple[Any, ...]:
    """Rows come as the same text again and again. What is in them cannot be changed, so is shared."""
    return _values(model, json.loads(text))


def _values(model: type[Model], cached: dict[str, Any]) -> tuple[Any, ...]:
    names, readers = _columns(model)
    return tuple(
        reader(cached[name]) if reader else cached[name]
        for name, reader in zip(names, readers, strict=True)
    )


@functools.cache
def _columns(model: type[Model]) -> tuple[list[str], list[Callable[[Any], Any] | None]]:
    """The columns of a model, and how each is read from JSON; None as it is."""
    fields = model._meta.concrete_fields
    return [field.attname for field in fields], [
        field.to_python
        if isinstance(field, DateTimeField | UUIDField) or field.is_relation
        else None
        for field in fields
    ]

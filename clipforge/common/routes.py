"""The route of a path, looked up once per shape of path and not for every request.

A shape is what is between the UUIDs of a path: `/api/v1/projects/`, `/moments`. Django's resolver tries
the patterns one after the other, which takes as long as reading a cached balance.
"""

from __future__ import annotations

import functools
import re
import uuid

from django.urls import URLResolver, get_resolver
from django.urls.resolvers import ResolverMatch

# As Django's UUIDConverter takes them.
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Paths of other converters, or a typed-in address, are resolved each time.
MOST_SHAPES = 1000


def resolve(path: str) -> ResolverMatch:
    """As `django.urls.resolve`. Raises Resolver404."""
    ids = UUID.findall(path) if len(path) > 36 else []
    shape = tuple(UUID.split(path)) if ids else (path,)
    resolver = get_resolver()
    known = _matches(resolver).get(shape)
    if known is None:
        return _learn(resolver, path, shape, ids)
    if not ids:
        return known
    match = ResolverMatch.__new__(ResolverMatch)  # it refuses to be copied
    match.__dict__.update(known.__dict__)
    match.kwargs = dict(zip(known.kwargs, map(uuid.UUID, ids), strict=True))
    return match


def _learn(
    resolver: URLResolver, path: str, shape: tuple[str, ...], ids: list[str]
) -> ResolverMatch:
    match = resolver.resolve(path)
    matches = _matches(resolver)
    # All that its kwargs hold is in its UUIDs, in their order: so they are for every path like it.
    is_all = list(match.kwargs.values()) == [uuid.UUID(each) for each in ids] and not match.args
    if is_all and len(matches) < MOST_SHAPES:
        matches[shape] = match
    return match


@functools.cache
def _matches(resolver: URLResolver) -> dict[tuple[str, ...], ResolverMatch]:  # noqa: ARG001 - the key
    """The shapes that are known of a table of routes, of which tests have several."""
    return {}

"""The admission of a request: the principal of its key, and whether it fits the limits of the tier.

Warm, it is one round trip to Redis (`lua/admit.lua`). Else the rows come from the database, and
where Redis cannot be reached this process limits by itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.log import record
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.redis import RedisError
from clipforge.orgs import caching, keys, networks
from clipforge.orgs.models import APIKey, Organization, TierLimits
from clipforge.orgs.principal import Principal
from clipforge.orgs.windows import (
    ADMIT,
    SCOPES,
    Costs,
    WindowResult,
    charge,
    local_windows,
    window_results,
)

# The three rows, found in the cache.
HITS = tuple(f"cache|orgs:{row}|hit" for row in ("key", "organization", "limits"))

# The networks of keys that were used here, by their public ids: what a key had last time is compared
# with what it has now in the round trip that admits it, which then is one.
_networks_of: dict[str, str] = {}
MAX_REMEMBERED = 10_000
NOWHERE = "0.0.0.0"  # noqa: S104 - as `client_address` says it


@dataclass(frozen=True, slots=True)
class Admission:
    """A recognised caller, with the result of each window that its request was charged to.

    `results` is empty when the organization is suspended, or the key does not work from the address. `shared` is False when only this process
    counted, because Redis could not be reached. `prefetched` is the cached value that was asked for
    along with it, None where there is none. `is_outdated`: the digest of the key is under an earlier
    pepper, to be renewed.
    """

    principal: Principal
    results: list[WindowResult]
    shared: bool = True
    prefetched: bytes | None = None
    is_outdated: bool = False

    @property
    def refusal(self) -> WindowResult | None:
        """The window that the request does not fit, the one that takes longest; None if it fits all."""
        refusals = [result for result in self.results if not result.passed]
        if not refusals:
            return None
        return max(refusals, key=lambda result: (result.retry_ms < 0, result.retry_ms))


def admit(
    key: str,
    *,
    costs: Costs,
    prefetch: str = "",
    prefetch_life: float = 0,
    address: Callable[[], str] = lambda: NOWHERE,
    before_database: Callable[[], None] = lambda: None,
) -> Admission | None:
    """Recognise an API key and count its request. None for a key that is no good.

    `address` is the client's: a request from outside the networks of the key is not counted.

    `prefetch` names a family of cached values, `<prefetch>:<organization>`: that of the caller's
    organization is read in the same round trip. `=<key>` names one that all organizations share. It is read
    only if it has `prefetch_life` seconds left. `before_database` is called before a key that is
    not cached is looked up; it may raise.
    """
    public_id = keys.public_id_of(key)
    if public_id is None:
        return None
    try:
        life = round(prefetch_life * 1000)
        admission = _admit_cached(key, public_id, costs, (prefetch, life), address)
    except _NotCached:
        before_database()
        admission = _admit_stored(key, public_id, costs, address)
    if admission is not None and admission.results:
        outcome = "passed" if admission.refusal is None else "limited"
        metrics.count(f"requests|{admission.principal.organization.tier}|{outcome}")
    return admission


class _NotCached(Exception):
    """Redis does not know, or cannot say."""


def _admit_cached(
    key: str, public_id: str, costs: Costs, prefetch: tuple[str, int], address: Callable[[], str]
) -> Admission | None:
    cache, cached_key = default_cache(), f"orgs:key:{public_id}"
    windows = [word for scope, cost in costs.items() for word in (scope, SCOPES[scope], cost)]

    def ask(known: str) -> list[bytes]:
        told = [keys.digest(key), *prefetch, known, *windows]
        answer: list[bytes] = ADMIT.run(cache.redis, [cached_key], told)
        return answer

    try:
        cache.flush_pending_invalidations()
        expected = _networks_of.get(public_id, "")
        answer = ask(expected if is_at(expected, address) else "")
        if answer[0] == b"elsewhere":  # or its networks are not those that this process knew
            stored = caching.from_json(APIKey, answer[1]).allowed_addresses
            if is_at(stored, address):
                _remember_networks(public_id, stored)
                answer = ask(stored)
    except RedisError as error:
        record(cached_key, "error")
        raise _NotCached from error
    except KeyError as error:  # see `caching.from_json`
        raise _NotCached from error
    outcome = answer[0].decode()
    if outcome == "unknown":
        raise _NotCached
    if outcome == "refused":
        record(cached_key, "hit")
        if settings.API_KEY_PEPPER_FALLBACKS:
            # Its digest may be under an earlier pepper, which the script does not know.
            raise _NotCached
        return None
    metrics.count_each(HITS)
    try:
        principal = _principal_of(*answer[1:4])
    except KeyError as error:  # see `caching.from_json`
        raise _NotCached from error
    if outcome in {"inactive", "elsewhere"}:
        return Admission(principal, [])
    _, *found = answer[5:]  # the life of a window comes before their results
    return Admission(principal, window_results(list(costs), found), prefetched=answer[4])


@functools.lru_cache(maxsize=1024)
def _principal_of(key: bytes, organization: bytes, limits: bytes) -> Principal:
    """The principal that these rows make: for as long as their bytes stay the same, the same one.

    Redis is asked for the bytes with every request, so a change holds at once. Requests share what
    this returns: nobody changes a row of a principal (see `services`, which lock their own).
    """
    api_key = caching.from_json(APIKey, key)
    api_key.organization = caching.from_json(Organization, organization)
    principal = Principal(api_key, caching.from_json(TierLimits, limits))
    caching.admitted_with(principal.organization, principal.limits)
    return principal


def charge_more(admission: Admission, costs: Costs) -> Admission:
    """The admission with what the request turned out to cost besides, once its body was read.

    Counted nowhere where it does not fit: then the admission has a `refusal`.
    """
    principal = admission.principal
    organization, limits = principal.organization, principal.limits
    try:
        results, shared = charge(default_cache().redis, organization, limits, costs), True
    except RedisError:
        results, shared = local_windows.charge(organization, limits, costs), False
    return dataclasses.replace(
        admission,
        results=[*admission.results, *results],
        shared=admission.shared and shared,
    )


def is_at(stored: str, address: Callable[[], str]) -> bool:
    """Does a key with these networks work from this address? Asked only where there are any."""
    return not stored or networks.contains(stored, address())


def _remember_networks(public_id: str, stored: str) -> None:
    if not stored:
        return
    if len(_networks_of) >= MAX_REMEMBERED:
        _networks_of.clear()
    _networks_of[public_id] = stored


def _admit_stored(
    key: str, public_id: str, costs: Costs, address: Callable[[], str]
) -> Admission | None:
    try:
        api_key = caching.api_key(public_id)
    except APIKey.DoesNotExist:
        return None
    if not keys.matches(key, api_key.digest) or not api_key.is_usable(timezone.now()):
        return None
    is_outdated = not keys.is_current(key, api_key.digest)
    organization = api_key.organization = caching.organization(api_key.organization_id)
    limits = caching.limits(organization.tier)
    caching.admitted_with(organization, limits)
    principal = Principal(api_key, limits)
    if not organization.is_active or not is_at(api_key.allowed_addresses, address):
        return Admission(principal, [], is_outdated=is_outdated)
    _remember_networks(public_id, api_key.allowed_addresses)
    try:
        results = charge(default_cache().redis, organization, limits, costs)
        return Admission(principal, results, is_outdated=is_outdated)
    except RedisError:
        local = local_windows.charge(organization, limits, costs)
        return Admission(principal, local, shared=False, is_outdated=is_outdated)

"""Writes to API keys: made, rotated, limited, revoked. Callers use them through `services`.

A key that is asked for with another key can do no more than that one: `Grants.require_within`. Nor
can one that is changed with another be given more.
Whatever changes a key also changes its tokens, which end when it does.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict, Unpack, cast

from django.db import transaction
from django.db.models import Field, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.audit.actor import Actor
from clipforge.audit.services import sufficient_reason, write_entry
from clipforge.common.errors import Conflict, Invalid
from clipforge.orgs import caching, keys, networks
from clipforge.orgs.grants import Grants, beyond
from clipforge.orgs.models import APIKey, Organization, Scope, User
from clipforge.orgs.selectors import descendants_of

if TYPE_CHECKING:
    from clipforge.common.models import AnnouncingQuerySet

    APIKeyRows: TypeAlias = AnnouncingQuerySet[APIKey]

logger = logging.getLogger(__name__)

# Written at most this often, so that a busy key costs no UPDATE a request.
LAST_USED_PRECISION = datetime.timedelta(hours=1)
# Keys of an organization that work, without tokens.
MAX_KEYS = 100
# Credits a month. More is a slip of the keyboard.
MAX_CAP = 10**12
# Hours that a rotated key goes on for: long enough to replace it everywhere.
OVERLAP, MAX_OVERLAP = 24, 24 * 7
# The task that mails the owners.
MAIL = "orgs.mail_rotated"


class Limits(TypedDict, total=False):
    """Of a key, as `create_api_key` takes them."""

    scopes: str
    allowed_addresses: Iterable[str]
    monthly_cap: int | None


class NewKey(NamedTuple):
    api_key: APIKey
    secret: str  # the whole key; this is the only time that it exists in clear


def create_api_key(
    *,
    organization: Organization,
    name: str,
    created_by: User | None = None,
    created_with: APIKey | None = None,
    expires_at: datetime.datetime | None = None,
    scopes: str = "",
    allowed_addresses: Iterable[str] = (),
    monthly_cap: int | None = None,
    reason: str,
    actor: Actor,
) -> NewKey:
    """Make a key. Its text is in the answer and nowhere else: it cannot be shown again.

    `scopes` are what it may do, by blanks; empty for all. With `created_with`, the key that asks for
    it, it may do no more than that one, and shares its cap where that has one. Raises Invalid for a
    name that is empty or too long, an end that has passed, or a bad scope, network or cap; Forbidden
    for more than the asking key has; Conflict for one more than MAX_KEYS.
    """
    grants = Grants(
        organization,
        _scopes(scopes),
        expires_at,
        networks.normalized(allowed_addresses),
        _cap(monthly_cap),
    )
    with transaction.atomic():
        _lock_keys_of(organization)
        if created_with is not None:
            asking = _usable(created_with)
            if asking.monthly_cap is not None and asking.organization_id == organization.pk:
                grants = grants._replace(family=asking.family_id)
            grants.require_within(asking)
        if _working(organization).count() >= MAX_KEYS:
            raise Conflict(
                f"{MAX_KEYS} keys work already. Revoke one that is not used.", code="too_many_keys"
            )
        return _made(
            grants,
            name=name,
            created_by=created_by,
            created_with=created_with,
            reason=reason,
            actor=actor,
        )


def create_token(
    *,
    created_with: APIKey,
    scopes: str,
    expires_at: datetime.datetime,
    reason: str,
    actor: Actor,
) -> NewKey:
    """A token for a page, which ends with the key that asks for it, and shares its cap.

    The networks of the key are not the token's: pages are read anywhere. Raises Forbidden for a
    scope that the key has not.
    """
    with transaction.atomic():
        asking = _usable(created_with)
        ends = min(expires_at, asking.expires_at) if asking.expires_at else expires_at
        grants = Grants.of(asking)._replace(scopes=_scopes(scopes), expires_at=ends)
        grants.require_within(asking)
        return _made(
            grants._replace(allowed_addresses=""),
            name=f"Token of {asking.prefix}",
            created_with=asking,
            is_publishable=True,
            reason=reason,
            actor=actor,
        )


def rotate_api_key(
    *,
    api_key: APIKey,
    overlap_hours: int = OVERLAP,
    latest_end: datetime.datetime | None = None,
    created_by: User | None = None,
    created_with: APIKey | None = None,
    reason: str,
    actor: Actor,
) -> NewKey:
    """A key that may do the same under the same cap, in place of this one, which ends after the overlap.

    The owners get mail. It ends when this one would have, and at `latest_end` at the latest. Raises Conflict for one that was rotated, revoked or has ended already;
    Invalid for an overlap that is no number of hours from 0 to MAX_OVERLAP; Forbidden as
    `create_api_key` does.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP:
        raise Invalid(f"The overlap must be a number of hours from 0 to {MAX_OVERLAP}.")
    reason = sufficient_reason(reason)
    now = timezone.now()
    with transaction.atomic():
        _lock_keys_of(api_key.organization)
        old, asking = _locked_both(api_key, created_with)
        if not old.is_usable(now) or old.is_publishable:
            raise Conflict("This key is over. Make a new one.", code="key_not_usable")
        if APIKey.objects.filter(replaces=old).exists():
            raise Conflict(
                "This key was rotated already. Rotate its successor, or make a new one.",
                code="key_rotated",
            )
        if asking is not None:
            _require_usable(asking)
            Grants.of(old).require_within(asking)
        ends = [end for end in (old.expires_at, latest_end) if end is not None]
        new = _made(
            Grants.of(old)._replace(expires_at=min(ends, default=None)),
            name=old.name,
            replaces=old,
            created_by=created_by,
            created_with=created_with,
            reason=reason,
            actor=actor,
        )
        over = now + datetime.timedelta(hours=overlap_hours)
        _end(old, min(over, old.expires_at) if old.expires_at else over)
        app.configure_task(MAIL).defer(key_id=str(new.api_key.pk))
    return new


def revoke_api_key(*, api_key: APIKey, reason: str, actor: Actor) -> bool:
    """Revoke the key at once, and its tokens. False when it was revoked already."""
    reason = sufficient_reason(reason)
    with transaction.atomic():
        _lock_keys_of(api_key.organization)
        return bool(_revoke([api_key], reason=reason, actor=actor))


def revoke_with_descendants(*, api_key: APIKey, reason: str, actor: Actor) -> list[APIKey]:
    """Revoke the key at once, and whatever was made with it or in its place; those that worked, oldest first.

    For a key in wrong hands, which may have made others. Repeating it finds what is left.
    """
    reason = sufficient_reason(reason)
    with transaction.atomic():
        _lock_keys_of(api_key.organization)
        family = _locked().filter(pk__in=[api_key.pk, *descendants_of(api_key)])
        return _revoke(family.order_by("pk"), reason=reason, actor=actor)


def limit_api_key(
    *,
    api_key: APIKey,
    changed_with: APIKey | None = None,
    reason: str,
    actor: Actor,
    **limits: Unpack[Limits],
) -> bool:
    """Let the key do this and no more, from the next request on. False when nothing changed.

    What is left out stays as it is by then. Scopes that it loses, its tokens lose; a cap is that of all
    keys that share it. With `changed_with`, the key that asks for it, any key may be narrowed; one that
    is given more can then do no more than that one. Raises Invalid and Forbidden as `create_api_key`
    does; Conflict for a key that is over.
    """
    asked, reason = _as_stored(limits), sufficient_reason(reason)
    with transaction.atomic():
        _lock_keys_of(api_key.organization)
        # All that share the cap: what is made of one of them meanwhile would keep the old one.
        family = Q(pk=api_key.family_id) | Q(family=api_key.family_id)
        theirs = APIKey.objects.filter(family, organization=api_key.organization_id)
        asking = [] if changed_with is None else [changed_with.pk]
        involved = Q(pk__in=theirs.values("pk")) | Q(pk__in=asking)
        rows = {row.pk: row for row in _locked().filter(involved).order_by("pk")}
        locked = rows[api_key.pk]
        if not locked.is_usable(timezone.now()):
            raise Conflict("This key is over. Make a new one.", code="key_not_usable")
        before = {name: getattr(locked, name) for name in Limits.__annotations__}
        after = before | asked
        if changed_with is not None:
            _require_usable(rows[changed_with.pk])
            wanted = Grants.of(locked)._replace(**after)
            if not wanted.is_narrower_than(Grants.of(locked)):
                wanted.require_within(rows[changed_with.pk])
        if before == after:
            return False
        APIKey.objects.filter(pk=locked.pk).update(**after)
        theirs.update(monthly_cap=after["monthly_cap"])
        caching.tell_waiting(locked)
        kept = str(after["scopes"]).split() or Scope.values
        for token in _tokens_of([locked]).filter(revoked_at=None):
            if not set(token.scope_list) <= set(kept):
                APIKey.objects.filter(pk=token.pk).update(revoked_at=Now())
                caching.tell_waiting(token)
        changed = [name for name in after if before[name] != after[name]]
        write_entry(
            actor=actor,
            verb="limit_key",
            subject=locked,
            org=locked.organization,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
            reason=reason,
        )
    return True


def record_key_use(*, api_key: APIKey) -> None:
    """Note that the key was used, at most once an hour."""
    now = timezone.now()
    if api_key.last_used_at and now - api_key.last_used_at < LAST_USED_PRECISION:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_PRECISION)
    APIKey.objects.filter(stale, pk=api_key.pk).update(last_used_at=now)


def renew_digest(*, api_key: APIKey, key: str) -> None:
    """Store the digest of the key under today's pepper, in place of one under an earlier pepper.

    Once all keys in use were used since, the earlier pepper can go.
    """
    renewed = keys.digest(key)
    APIKey.objects.filter(pk=api_key.pk, digest=api_key.digest).update(digest=renewed)
    api_key.digest = renewed


# --- inside ---------------------------------------------------------------------------


def _made(
    grants: Grants,
    *,
    name: str,
    reason: str,
    actor: Actor,
    created_by: User | None = None,
    created_with: APIKey | None = None,
    replaces: APIKey | None = None,
    is_publishable: bool = False,
) -> NewKey:
    """The row and its audit entry. Requires a transaction."""
    _require_name(name)
    if grants.expires_at and grants.expires_at <= timezone.now():
        raise Invalid("The key would have expired already. Choose a later date.")
    organization = grants.organization
    public_id, secret = keys.generate(_prefix(organization, is_publishable))
    api_key = APIKey.objects.create(
        organization=organization,
        name=name,
        prefix=public_id,
        digest=keys.digest(secret),
        created_by=created_by,
        created_with=created_with,
        replaces=replaces,
        family=grants.family,
        expires_at=grants.expires_at,
        scopes=grants.scopes,
        allowed_addresses=grants.allowed_addresses,
        monthly_cap=grants.monthly_cap,
        is_publishable=is_publishable,
    )
    limits = {
        "scopes": grants.scopes,
        "allowed_addresses": grants.allowed_addresses,
        "monthly_cap": grants.monthly_cap,
        "replaces": replaces and replaces.prefix,
    }
    write_entry(
        actor=actor,
        verb="issue_key" if replaces is None else "rotate_key",
        subject=api_key,
        org=organization,
        after={
            "name": name,
            "prefix": public_id,
            "expires_at": grants.expires_at,
            **{name: value for name, value in limits.items() if value not in (None, "")},
        },
        reason=reason,
    )
    logger.info(
        "API key created",
        extra={"org": str(organization.pk), "key_id": public_id, "actor": str(actor)},
    )
    return NewKey(api_key, secret)


def _prefix(organization: Organization, is_publishable: bool) -> str:
    if is_publishable:
        return keys.TOKEN_PREFIX
    return keys.TEST_PREFIX if organization.is_sandbox else keys.PREFIX


def _end(api_key: APIKey, ends: datetime.datetime) -> None:
    """Let the key and its tokens end then, if not before. Requires a transaction."""
    APIKey.objects.filter(pk=api_key.pk).update(expires_at=ends)
    _tokens_of([api_key]).filter(expires_at__gt=ends).update(expires_at=ends)
    for each in [api_key, *_tokens_of([api_key])]:
        caching.tell_waiting(each)


def _revoke(found: Iterable[APIKey], *, reason: str, actor: Actor) -> list[APIKey]:
    """Revoke those that are not, with their tokens and an audit entry each. Requires a transaction."""
    revoked = [
        key
        for key in found
        if APIKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now())
    ]
    # After the keys: a token that was being made meanwhile is there now, and no other can be.
    tokens = _tokens_of(revoked).filter(revoked_at=None)
    ended = [*revoked, *tokens]
    tokens.update(revoked_at=Now())
    for key in ended:
        caching.tell_waiting(key)
    for key in revoked:
        key.refresh_from_db(fields=["revoked_at"])
        write_entry(
            actor=actor,
            verb="revoke_key",
            subject=key,
            org=key.organization,
            before={"revoked_at": None},
            after={"revoked_at": key.revoked_at},
            reason=reason,
        )
        logger.info(
            "API key revoked",
            extra={"org": str(key.organization_id), "key_id": key.prefix, "actor": str(actor)},
        )
    return revoked


def _tokens_of(found: Iterable[APIKey]) -> APIKeyRows:
    made_with = [key.pk for key in found]
    return APIKey.objects.filter(created_with__in=made_with, is_publishable=True)


def _working(organization: Organization) -> APIKeyRows:
    ends = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return APIKey.objects.filter(
        ends, organization=organization, is_publishable=False, revoked_at=None
    )


def _usable(api_key: APIKey) -> APIKey:
    """The asking key as it is now, locked against being revoked meanwhile. Raises Forbidden."""
    locked = _locked().get(pk=api_key.pk)
    _require_usable(locked)
    return locked


def _require_usable(api_key: APIKey) -> None:
    if not api_key.is_usable(timezone.now()):
        raise beyond("it is over")


def _locked_both(api_key: APIKey, other: APIKey | None) -> tuple[APIKey, APIKey | None]:
    """Both as they are now, locked in one order whichever asks for the other."""
    pks = {api_key.pk} if other is None else {api_key.pk, other.pk}
    rows = {row.pk: row for row in _locked().filter(pk__in=pks).order_by("pk")}
    return rows[api_key.pk], None if other is None else rows[other.pk]


def _locked() -> QuerySet[APIKey]:
    return APIKey.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "organization"
    )


def _lock_keys_of(organization: Organization) -> None:
    """One write at a time to the keys of an organization and its sandbox, which have one another's descendants."""
    live = organization.sandbox_of_id or organization.pk
    Organization.objects.select_for_update(no_key=True).get(pk=live)


def _as_stored(limits: Limits) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    if "scopes" in limits:
        stored["scopes"] = _scopes(limits["scopes"])
    if "allowed_addresses" in limits:
        stored["allowed_addresses"] = networks.normalized(limits["allowed_addresses"])
    if "monthly_cap" in limits:
        stored["monthly_cap"] = _cap(limits["monthly_cap"])
    return stored


def _scopes(text: str) -> str:
    asked = text.split()
    for scope in asked:
        if scope not in Scope.values:
            raise Invalid(f"There is no scope `{scope[:30]}`; there are {', '.join(Scope.values)}.")
    return " ".join(scope for scope in Scope.values if scope in asked)


def _cap(credits_: int | None) -> int | None:
    if credits_ is not None and not 0 <= credits_ <= MAX_CAP:
        raise Invalid(f"A monthly cap is a number of credits from 0 to {MAX_CAP}.")
    return credits_


def _require_name(name: str) -> None:
    if not name.strip():
        raise Invalid("A key needs a name that says what it is for.")
    longest = cast("Field[str, str]", APIKey._meta.get_field("name")).max_length or 0
    if len(name) > longest:
        raise Invalid(f"The name of a key may have {longest} characters; this one has {len(name)}.")

"""Writes to organizations, memberships and keys. Each change by a service here leaves its audit row."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, cast

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import F, Field, Model, Q
from django.db.models.functions import Now
from django.utils.text import slugify

from clipforge.audit.actor import Actor
from clipforge.audit.services import sufficient_reason, write_entry
from clipforge.common.cache.backend import default_cache
from clipforge.common.errors import Conflict, Invalid
from clipforge.orgs import caching, windows
from clipforge.orgs.api_keys import (
    MAX_OVERLAP,
    OVERLAP,
    Limits,
    NewKey,
    create_api_key,
    create_token,
    limit_api_key,
    record_key_use,
    renew_digest,
    revoke_api_key,
    revoke_with_descendants,
    rotate_api_key,
)
from clipforge.orgs.events import sandbox_made
from clipforge.orgs.models import Membership, Organization, Role, Tier, User
from clipforge.orgs.selectors import sandbox_of

__all__ = [
    "MAX_OVERLAP",
    "MAX_RATE",
    "OVERLAP",
    "Limits",
    "NewKey",
    "allow_origins",
    "change_tier",
    "create_api_key",
    "create_organization",
    "create_token",
    "end_sessions",
    "ensure_sandbox",
    "limit_api_key",
    "override_rate_limit",
    "record_key_use",
    "renew_digest",
    "require_live",
    "reset_limits",
    "restore",
    "revoke_api_key",
    "revoke_with_descendants",
    "rotate_api_key",
    "suspend",
]

logger = logging.getLogger(__name__)

# Pages of a customer come from a few.
MAX_ORIGINS = 20
_HOST = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
ORIGIN = re.compile(
    rf"(?:https://{_HOST}(?:\.{_HOST})*|http://(?:localhost|127\.0\.0\.1))(?::[1-9][0-9]{{0,4}})?",
    re.ASCII,
)
# Requests a minute. More is a slip of the keyboard: a window keeps an entry for each in Redis.
MAX_RATE = 1_000_000


def create_organization(
    *,
    name: str,
    tier: str = Tier.FREE,
    owner_email: str | None = None,
    reason: str,
    actor: Actor,
) -> Organization:
    """Create an organization, and its owner if there is no user with this address yet.

    Raises Invalid for an unknown tier, a name that is too long or of which no slug can be made,
    or an address that is none; Conflict when the slug or the owner's user name is taken.
    """
    slug = slugify(name)[:80]
    if not slug:
        raise Invalid("The name needs at least one letter of a to z, or a digit.")
    _require_length("The name of an organization", name, Organization, "name")
    _require_tier(tier)
    with transaction.atomic():
        try:
            with transaction.atomic():
                organization = Organization.objects.create(name=name, slug=slug, tier=tier)
        except IntegrityError:
            raise Conflict(
                f'There is an organization "{slug}" already. Choose another name.',
                code="organization_exists",
            ) from None
        if owner_email:
            user = _user_with_address(owner_email.lower())
            Membership.objects.create(user=user, organization=organization, role=Role.OWNER)
        owner = {"owner_email": owner_email} if owner_email else {}
        write_entry(
            actor=actor,
            verb="add",
            subject=organization,
            org=organization,
            after={"name": name, "tier": tier, **owner},
            reason=reason,
        )
    logger.info("organization created", extra={"org": str(organization.pk), "actor": str(actor)})
    return organization


def ensure_sandbox(*, organization: Organization, reason: str, actor: Actor) -> Organization:
    """The organization for the tests of this one, made if there is none. It has the same tier.

    Raises Conflict for one that is a sandbox itself.
    """
    require_live(organization)
    with transaction.atomic():
        live = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        if (found := sandbox_of(live)) is not None:
            return found
        sandbox = Organization.objects.create(
            name=f"{live.name[:192]} (tests)",
            # Its own, whatever others are called.
            slug=f"{live.slug[:60]}-tests-{live.pk.hex[-8:]}",
            tier=live.tier,
            is_active=live.is_active,
            sandbox_of=live,
        )
        _write(sandbox, "add", {}, {"sandbox_of": str(live.pk)}, reason, actor)
        sandbox_made.send(sender=Organization, sandbox=sandbox)
    return sandbox


def require_live(organization: Organization) -> None:
    """Raises Conflict for a sandbox."""
    if organization.is_sandbox:
        raise Conflict("This is the sandbox itself. Ask with a live key.", code="is_sandbox")


def change_tier(
    *, organization: Organization, tier: str, reason: str, actor: Actor
) -> tuple[str, str]:
    """Move the organization to a tier, at once. Returns the tier before and after.

    The tier that it has already is no change, and leaves no audit row.
    """
    _require_tier(tier)
    reason = sufficient_reason(reason)
    with transaction.atomic():
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before, locked.tier = locked.tier, tier
        locked.save(update_fields=["tier", "updated_at"])
        # What is tested is what is had: the sandbox has no tier of its own.
        Organization.objects.filter(sandbox_of=locked).update(tier=tier, updated_at=Now())
        if before != tier:
            _write(locked, "change_tier", {"tier": before}, {"tier": tier}, reason, actor)
    organization.tier = tier
    logger.info(
        "tier changed",
        extra={
            "org": str(organization.pk),
            "before": before,
            "after": tier,
            "reason": reason,
            "actor": str(actor),
        },
    )
    return before, tier


def override_rate_limit(
    *, organization: Organization, requests_per_minute: int | None, reason: str, actor: Actor
) -> tuple[int | None, int | None]:
    """Let the organization make so many requests a minute, from the next one on.

    None: as many as its tier may. Returns the override before and after. Raises Invalid for less
    than one, which is a suspension, or more than MAX_RATE.
    """
    after = requests_per_minute
    if after is not None and not 1 <= after <= MAX_RATE:
        raise Invalid(f"The limit must be a number of requests from 1 to {MAX_RATE}.")
    reason = sufficient_reason(reason)
    with transaction.atomic():
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before, locked.rate_limit_override = locked.rate_limit_override, after
        locked.save(update_fields=["rate_limit_override", "updated_at"])
        if before != after:
            name = "requests_per_minute"
            _write(locked, "override_limit", {name: before}, {name: after}, reason, actor)
    organization.rate_limit_override = after
    logger.info(
        "rate limit overridden",
        extra={
            "org": str(organization.pk),
            "before": before,
            "after": after,
            "actor": str(actor),
        },
    )
    return before, after


def reset_limits(*, organization: Organization, reason: str, actor: Actor) -> None:
    """Forget the requests of the last minute: all of the limits is free again.

    Raises RedisError when Redis, which counts them, cannot be reached; then nothing was changed.
    """
    reason = sufficient_reason(reason)
    with transaction.atomic():
        _write(organization, "reset_limits", {}, {"requests_of_the_last_minute": 0}, reason, actor)
        windows.forget(default_cache().redis, organization)


def suspend(*, organization: Organization, reason: str, actor: Actor) -> bool:
    """Refuse every request of the organization from the next one on.

    Work that is queued or runs is finished, and charged as it was reserved. False when it was
    suspended already.
    """
    return _set_active(organization, False, reason, actor)


def restore(*, organization: Organization, reason: str, actor: Actor) -> bool:
    """Let a suspended organization in again, with the keys it had. False when it was not suspended."""
    return _set_active(organization, True, reason, actor)


def _set_active(organization: Organization, is_active: bool, reason: str, actor: Actor) -> bool:
    reason = sufficient_reason(reason)
    with transaction.atomic():
        changed = Organization.objects.filter(pk=organization.pk, is_active=not is_active).update(
            is_active=is_active, updated_at=Now()
        )
        Organization.objects.filter(sandbox_of=organization.pk).update(
            is_active=is_active, updated_at=Now()
        )
        if changed:
            for each in Organization.objects.filter(
                Q(pk=organization.pk) | Q(sandbox_of=organization.pk)
            ):
                caching.tell_waiting(each)
            name, verb = "is_active", "restore" if is_active else "suspend"
            _write(organization, verb, {name: not is_active}, {name: is_active}, reason, actor)
    if changed:
        organization.is_active = is_active
        logger.info(
            "organization restored" if is_active else "organization suspended",
            extra={"org": str(organization.pk), "actor": str(actor)},
        )
    return bool(changed)


def _write(
    organization: Organization,
    verb: str,
    before: dict[str, Any],
    after: dict[str, Any],
    reason: str,
    actor: Actor,
) -> None:
    write_entry(
        actor=actor,
        verb=verb,
        subject=organization,
        org=organization,
        before=before,
        after=after,
        reason=reason,
    )


def allow_origins(
    *, organization: Organization, origins: Sequence[str], reason: str, actor: Actor
) -> list[str]:
    """Let pages of these origins, and of no others, read answers to this organization, at once.

    Returns them as browsers write them. Raises Invalid for one that is no origin, or more than
    MAX_ORIGINS.
    """
    after = " ".join(dict.fromkeys(_origin(each) for each in origins))
    if len(after.split()) > MAX_ORIGINS:
        raise Invalid(f"At most {MAX_ORIGINS} origins are allowed.")
    with transaction.atomic():
        locked = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        before, locked.allowed_origins = locked.allowed_origins, after
        locked.save(update_fields=["allowed_origins", "updated_at"])
        if before != after:
            name = "allowed_origins"
            _write(locked, "allow_origins", {name: before}, {name: after}, reason, actor)
    return after.split()


def _origin(text: str) -> str:
    origin = text.strip().lower()
    if not ORIGIN.fullmatch(origin):
        raise Invalid(
            f"{text[:100]} is no origin. Write it as https://app.example.com: no path, and no star; "
            "http only for localhost.",
            code="invalid_origin",
        )
    return origin


def end_sessions(*, user: User, actor: Actor) -> None:
    """Sign a person out everywhere, at once. The caller renews the session that shall go on.

    Part of another change of the account, whose row in the audit is enough.
    """
    User.objects.filter(pk=user.pk).update(session_version=F("session_version") + 1)
    user.refresh_from_db(fields=["session_version"])
    logger.info("sessions ended", extra={"user": user.pk, "actor": str(actor)})


def _user_with_address(email: str) -> User:
    """The user with this address, made if there is none. Raises Invalid, Conflict."""
    try:
        validate_email(email)
        User._meta.get_field("username").run_validators(email)
    except ValidationError:
        raise Invalid(f'"{email}" is not an e-mail address that can sign in.') from None
    try:
        with transaction.atomic():
            user, _ = User.objects.get_or_create(
                email=email, defaults={"username": email, "password": make_password(None)}
            )
            return user
    except IntegrityError:
        raise Conflict(
            f'There is a user named "{email}" with another address.', code="user_exists"
        ) from None


def _require_length(what: str, text: str, model: type[Model], field: str) -> None:
    longest = cast("Field[str, str]", model._meta.get_field(field)).max_length
    if longest is not None and len(text) > longest:
        raise Invalid(f"{what} may have {longest} characters; this one has {len(text)}.")


def _require_tier(tier: str) -> None:
    if tier not in Tier.values:
        raise Invalid(f'There is no tier "{tier}". The tiers are {", ".join(Tier.values)}.')

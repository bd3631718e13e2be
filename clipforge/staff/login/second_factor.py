"""The second factor of staff: a code of their phone, or one of ten recovery codes.

A password alone opens nothing but the pages that ask for the second factor. Staff without one set it
up right after the password, in the same session; from then on the old one is needed for a new one.
Devices, codes and the wait that doubles with every wrong code are django-otp's.
"""

from __future__ import annotations

import base64
import logging
import math
import time
from typing import Any, cast

import segno
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django_otp import verify_token
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Conflict, Invalid, NotFound, RateLimited
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services as org_services
from clipforge.orgs.models import User

logger = logging.getLogger(__name__)

RECOVERY_CODES = 10
WRONG = (
    "That code is not right. Each code of your phone works once and for half a minute: wait for the "
    "next one. If it is never right, see that the clock of your phone sets itself."
)

# The reason of changes that people make to their own second factor.
OWN = "their own second factor"


def is_shown(request: HttpRequest) -> bool:
    """Whether this session has shown a second factor that the user still has."""
    return getattr(request.user, "otp_device", None) is not None


def is_missing(request: HttpRequest) -> bool:
    """Whether staff have signed in by password and have yet to show the second factor."""
    staff = request.user.is_active and request.user.is_staff
    return staff and settings.STAFF_SECOND_FACTOR and not is_shown(request)


def device_of(user: User) -> TOTPDevice | None:
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def find_person(name: str) -> User:
    """The user with this address or user name, as operators type them. Raises NotFound."""
    found = org_selectors.user_by_name_or_address(name)
    if found is None:
        raise NotFound(f'No user has the address or user name "{name}".')
    return found


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


# --- setting up ------------------------------------------------------------------------


def new_secret() -> str:
    """A new secret for an authenticator app. Only the session keeps it until it is confirmed."""
    return str(default_key())


def secret_as_text(secret: str) -> str:
    """The secret in base32, in groups of four, to be typed by hand."""
    text = base64.b32encode(bytes.fromhex(secret)).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def secret_as_picture(user: User, secret: str) -> SafeString:
    """The QR code that an authenticator reads, as SVG that needs no style and no script."""
    url = TOTPDevice(user=user, key=secret).config_url
    picture = segno.make(url, error="m").svg_inline(
        scale=5, border=4, light="#ffffff", svgclass="cf-qr", lineclass=None, title="QR code"
    )
    return mark_safe(picture)  # noqa: S308 - of segno, which escapes what it is given


def is_code_of(secret: str, code: str) -> bool:
    """Whether an app with this secret shows the code about now. The code stays usable."""
    code = _plain(code)
    device = TOTPDevice(key=secret)
    totp = TOTP(device.bin_key, device.step, device.t0, device.digits)
    totp.time = time.time()
    return code.isdecimal() and totp.verify(int(code), device.tolerance)


def set_up(
    *, user: User, secret: str, code: str, replacing: TOTPDevice | None, actor: Actor
) -> tuple[TOTPDevice, list[str]]:
    """Make the secret the person's second factor, proven by a first code; with new recovery codes.

    Ends all sessions of the person. `replacing` is the device that the caller has asked for a code;
    raises Conflict when it is no longer the one that there is: two sessions set one up at once.
    Raises Invalid for a wrong code.
    """
    with transaction.atomic():
        org_selectors.lock_user(user)
        if device_of(user) != replacing:
            raise Conflict("Your second factor was changed somewhere else. Sign in again.")
        _forget(user)
        device = TOTPDevice.objects.create(user=user, key=secret, name="phone")
        if not device.verify_token(_plain(code)):
            raise Invalid(WRONG)
        codes = _make_codes(user)
        org_services.end_sessions(user=user, actor=actor)
        verb = "replace_second_factor" if replacing else "set_up_second_factor"
        write_entry(actor=actor, verb=verb, subject=user, reason=OWN)
    return device, codes


def new_recovery_codes(*, user: User, actor: Actor) -> list[str]:
    """Replace the recovery codes and end all sessions of the user. The caller has checked a code."""
    with transaction.atomic():
        org_selectors.lock_user(user)
        StaticDevice.objects.filter(user=user).delete()
        codes = _make_codes(user)
        org_services.end_sessions(user=user, actor=actor)
        write_entry(actor=actor, verb="new_recovery_codes", subject=user, reason=OWN)
    return codes


def reset(*, user: User, actor: Actor, reason: str) -> None:
    """Remove the second factor and end all sessions. The user sets up a new one at the next sign-in."""
    with transaction.atomic():
        org_selectors.lock_user(user)
        _forget(user)
        org_services.end_sessions(user=user, actor=actor)
        write_entry(actor=actor, verb="reset_second_factor", subject=user, reason=reason)
    logger.warning(
        "second factor reset", extra={"user": user.pk, "actor": str(actor), "reason": reason}
    )


def note_recovery(*, user: User, actor: Actor) -> int:
    """Leave in the audit that a recovery code was used. Returns how many are left.

    A person who did not use it themselves finds it there.
    """
    left = recovery_codes_left(user)
    write_entry(
        actor=actor,
        verb="use_recovery_code",
        subject=user,
        after={"recovery codes left": left},
        reason="signed in with a recovery code",
    )
    return left


def _forget(user: User) -> None:
    for model in (TOTPDevice, StaticDevice):
        model.objects.filter(user=user).delete()


def _make_codes(user: User) -> list[str]:
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return [f"{code[:4]}-{code[4:]}" for code in codes]


# --- showing it ------------------------------------------------------------------------


def check_code(*, user: User, code: str) -> TOTPDevice | StaticDevice:
    """The device whose code it is: the app, or the list of recovery codes. Each code works once.

    Raises Invalid for a wrong code, RateLimited when it comes too soon after wrong ones. Not to be
    called in a transaction: what is counted of a wrong code must stay.
    """
    code = _plain(code)
    kind: Any = TOTPDevice if len(code) == 6 and code.isdigit() else StaticDevice
    device = kind.objects.filter(user=user, confirmed=True).first()
    if device is None:
        raise Invalid(WRONG)
    # Asks again under a lock, so that of two with the same code one is let in.
    if found := verify_token(user, device.persistent_id, code):
        return cast("TOTPDevice | StaticDevice", found)
    device = kind.objects.filter(pk=device.pk).first()
    raise _refusal(device) if device else Invalid(WRONG)  # taken away meanwhile


def _refusal(device: TOTPDevice | StaticDevice) -> Invalid | RateLimited:
    allowed, why = device.verify_is_allowed()
    if allowed or device.throttling_failure_count < 3:  # a second or two: no need to speak of it
        return Invalid(WRONG)
    seconds = math.ceil((why["locked_until"] - timezone.now()).total_seconds())
    wait = f"{seconds} seconds" if seconds < 120 else f"{math.ceil(seconds / 60)} minutes"
    return RateLimited(
        f"{device.throttling_failure_count} wrong codes. Wait {wait} before the next try; "
        "every further wrong one doubles that.",
        retry_after=seconds,
    )


def _plain(code: str) -> str:
    """The code without the spaces, hyphens and capitals that people type."""
    return "".join(code.split()).replace("-", "").lower()

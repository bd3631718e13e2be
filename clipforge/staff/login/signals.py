"""Receivers of sign-ins and failed sign-ins: they are logged with name and address."""

from __future__ import annotations

import datetime
import logging
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY

from clipforge.common.addresses import client_address
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import User

logger = logging.getLogger(__name__)

# Characters of an unknown name that are logged: it may be a password in the wrong field.
LOGGED_CHARACTERS = 3


@receiver(user_logged_in)
def begin_session(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Give the session a fixed end and a new key, and forget a second factor that was shown before.

    Django would count the end from the last write to the session. When the same person signs in
    again it would also keep key and second factor of the running session.
    """
    request.session.pop(DEVICE_ID_SESSION_KEY, None)
    request.session.cycle_key()
    end = timezone.now() + datetime.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    request.session.set_expiry(end)
    logger.info("signed in", extra={"user": user.pk, "address": client_address(request)})


@receiver(user_login_failed)
def log_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    name = str(credentials.get("username") or "")
    tried = org_selectors.user_id_of(name)
    logger.warning(
        "failed to sign in",
        extra={
            "user": tried,
            "name_tried": name if tried else f"{name[:LOGGED_CHARACTERS]}…",
            "address": client_address(request) if request else None,
        },
    )

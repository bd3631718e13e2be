"""A session begins, or somebody tries to begin one: the log says who, from where."""

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

# Of an unknown name, which may be a password typed into the wrong field.
SHOWN = 3


@receiver(user_logged_in)
def begin_session(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """It ends by the clock, whatever is done in it, and the second factor has yet to be shown.

    Django would count from the last write to the session, and would leave key and second factor of
    a session as they were when its own person signs in again.
    """
    request.session.pop(DEVICE_ID_SESSION_KEY, None)
    request.session.cycle_key()
    end = timezone.now() + datetime.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    request.session.set_expiry(end)
    logger.info("signed in", extra={"user": user.pk, "address": client_address(request)})


@receiver(user_login_failed)
def tell_of_failure(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    name = str(credentials.get("username") or "")
    tried = org_selectors.user_id_of(name)
    logger.warning(
        "failed to sign in",
        extra={
            "user": tried,
            "name_tried": name if tried else f"{name[:SHOWN]}…",
            "address": client_address(request) if request else None,
        },
    )

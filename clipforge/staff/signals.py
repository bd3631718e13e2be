"""A session begins."""

from __future__ import annotations

import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY


@receiver(user_logged_in)
def begin_session(sender: Any, request: HttpRequest, **kwargs: Any) -> None:
    """It ends by the clock, whatever is done in it, and the second factor has yet to be shown.

    Django would count from the last write to the session, and would leave key and second factor of
    a session as they were when its own person signs in again.
    """
    request.session.pop(DEVICE_ID_SESSION_KEY, None)
    request.session.cycle_key()
    end = timezone.now() + datetime.timedelta(seconds=settings.SESSION_COOKIE_AGE)
    request.session.set_expiry(end)

"""Load times of the pages for people: the admin, and the docs of the API."""

from __future__ import annotations

import secrets
import time

import httpx
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.orgs.models import User

PAGES = [
    "/admin/",
    "/admin/orgs/organization/",
    "/admin/projects/project/",
    "/admin/exports/export/",
    "/admin/credits/credittransaction/",
    "/api/v1/docs",
    "/api/v1/schema",
]


def load_times(url: str) -> dict[str, float]:
    """Seconds of each page. Raises httpx.HTTPError when one is not there."""
    user = User.objects.create_superuser(f"loadtest-{secrets.token_hex(4)}")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    phone = TOTPDevice.objects.create(user=user, name="of a load test")
    session[DEVICE_ID_SESSION_KEY] = phone.persistent_id
    session.save()
    cookies = {settings.SESSION_COOKIE_NAME: session.session_key or ""}
    try:
        with httpx.Client(base_url=url, cookies=cookies, timeout=30) as client:
            return {page: _seconds(client, page) for page in PAGES}
    finally:
        session.delete()
        user.delete()


def _seconds(client: httpx.Client, page: str) -> float:
    started = time.perf_counter()
    client.get(page).raise_for_status()
    return round(time.perf_counter() - started, 3)

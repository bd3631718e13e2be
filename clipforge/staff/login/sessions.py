"""The session of the person who is signed in."""

from __future__ import annotations

from typing import cast

from django.contrib.auth import HASH_SESSION_KEY
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import User


def lock_current_user(request: HttpRequest) -> None:
    """Read and lock the row of the signed-in user, until the transaction ends.

    Raises PermissionDenied when the session has ended since the request came. Without this check a
    change of the password or the second factor would undo that end, or let the session go on.
    """
    person = cast("User", request.user)
    person.refresh_from_db(from_queryset=org_selectors.all_users().select_for_update(no_key=True))
    is_same = request.session.get(HASH_SESSION_KEY) == person.get_session_auth_hash()
    if not (is_same and person.is_active and person.is_staff):
        raise PermissionDenied

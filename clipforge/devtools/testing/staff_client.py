"""The test client of a member of staff, and the forms of the admin."""

from __future__ import annotations

import re
from typing import Any

from django.test import Client

from clipforge.devtools.testing.staff import make_staff, signed_in

HIDDEN = re.compile(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"')
REASON = "asked for in writing"


def staff_client(*permissions: str) -> Client:
    """A client that is signed in as a member of staff with these permissions."""
    return signed_in(make_staff(permissions=permissions))


def hidden_fields(answer: Any) -> dict[str, str]:
    """The hidden fields of the form on a page, without the CSRF token, which tests need not send."""
    found = dict(HIDDEN.findall(answer.content.decode()))
    found.pop("csrfmiddlewaretoken", None)
    return found


def open_form(client: Client, url: str, /, **fields: Any) -> dict[str, Any]:
    """The fields that a person sends who opens the form and fills it in."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return {**hidden_fields(answer), "reason": REASON, **fields}

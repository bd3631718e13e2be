"""The token that makes a form act once; the form carries it from when it is first shown.

It names one transaction or key that the form may make. Sent again, twice at once, or after going
back, it is the same token, and the earlier result is found by it.
"""

from __future__ import annotations

import uuid
from typing import cast

from django.core import signing
from django.db.models import Model
from django.http import HttpRequest

from clipforge.common.errors import Invalid
from clipforge.common.models import uuid7
from clipforge.orgs.models import User

SALT = "clipforge.staff.form"
# Seconds. A form that was left open longer shows the balance of another day.
LIFE = 24 * 3600


def make(request: HttpRequest, form: str, subject: Model) -> str:
    """A token for this person, this form and this subject. It is invalid for any other."""
    return signing.dumps([str(uuid7()), *_bound_to(request, form, subject)], salt=SALT)


def read(text: str, request: HttpRequest, form: str, subject: Model) -> uuid.UUID:
    """The id in the token. Raises Invalid for one that is too old, or made for another form."""
    try:
        token, *bound_to = signing.loads(text, salt=SALT, max_age=LIFE)
    except signing.SignatureExpired:
        raise Invalid(
            "This form was open for more than a day. Look over what it says and send it again."
        ) from None
    except signing.BadSignature:
        raise _not_this_form() from None
    if bound_to != _bound_to(request, form, subject):
        raise _not_this_form()
    return uuid.UUID(token)


def _bound_to(request: HttpRequest, form: str, subject: Model) -> list[str]:
    person = cast("User", request.user)
    return [str(person.pk), form, subject._meta.label_lower, str(subject.pk)]


def _not_this_form() -> Invalid:
    return Invalid(
        "This was not sent by a form of yours. Look over what it says and send it again."
    )

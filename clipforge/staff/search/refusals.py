"""The refusals that have a request id: every error hands one to a customer, who quotes it to us."""

from __future__ import annotations

import datetime
import re

from django.http import HttpRequest

from clipforge.common.lists.search import uuid_of
from clipforge.common.middleware import ACCEPTABLE_ID
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Refusal

# A client may choose its ids, and choose one twice.
SHOWN = 5
# What ids are made of, as they stand among other text.
WORDS = re.compile(r"[A-Za-z0-9-]+")


def of(request: HttpRequest, term: str) -> list[Refusal]:
    """The refusals of the requests whose ids are in the text, the newest first, for who may look at organizations."""
    ids = [word for word in WORDS.findall(term) if ACCEPTABLE_ID.fullmatch(word)]
    if not (ids and request.user.has_perm("orgs.view_organization")):
        return []
    return list(org_selectors.refusals_of(ids)[:SHOWN])


def made_at(term: str) -> datetime.datetime | None:
    """The time that an id of ours was made, which is in it; None for any other text."""
    pk = uuid_of(term)
    if pk is None or pk.version != 7:
        return None
    try:
        return datetime.datetime.fromtimestamp((pk.int >> 80) / 1000, datetime.UTC)
    except ValueError:  # after the year 9999: not one of ours
        return None

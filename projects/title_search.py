"""Finding the projects of one organization by a part of their title or external id, in any case.

The groups of three letters of both are kept as numbers that depend on the organization: one index
serves all of them, and a search reads only where the organization and the letters meet. The functions
are made by a migration of this app.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, Func, Q, QuerySet, UUIDField, Value


class ProjectGroups(Func):
    """The numbers of all groups in a row: `(organization, title, external id)`."""

    function = "projects_groups"
    arity = 3
    output_field = ArrayField(BigIntegerField())


class SoughtGroups(Func):
    """The numbers that every row with this text has; for one or two letters, that begins with them."""

    function = "projects_sought"
    arity = 2
    output_field = ArrayField(BigIntegerField())


def having(rows: QuerySet[Any], org_id: uuid.UUID, text: str) -> QuerySet[Any]:
    """Rows in whose title or external id each word of the text is; those of `org_id` alone.

    A word of one or two letters is found where a title or an id begins with it.
    """
    rows = rows.alias(_groups=ProjectGroups("org_id", "title", "external_id"))
    for word in text.split():
        # The groups find through the index, the comparison makes sure: groups can be scattered.
        sought = SoughtGroups(Value(org_id, UUIDField()), Value(word))
        how = "icontains" if len(word) > 2 else "istartswith"
        rows = rows.filter(
            Q(**{f"title__{how}": word}) | Q(**{f"external_id__{how}": word}),
            _groups__contains=sought,
        )
    return rows

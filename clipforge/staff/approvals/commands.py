"""The base of the commands that move credits by hand, under the limits of the pages of staff."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.urls import reverse

from clipforge.audit.commands import AuditedCommand, staff_named
from clipforge.common.errors import Forbidden
from clipforge.orgs.models import Organization
from clipforge.staff.approvals.selectors import REQUEST_LIFE
from clipforge.staff.approvals.services import NEEDED
from clipforge.staff.models import ApprovalKind, ApprovalRequest


class ProposingCommand(AuditedCommand):
    """Above the limit of one person it leaves a request, which a second person has to confirm.

    Then somebody has to ask: `--operator`, who needs the permission of the page that does the same.
    """

    kind: ClassVar[ApprovalKind]

    def perform(self, **options: Any) -> dict[str, Any]:
        operator = staff_named(options["operator"])
        if operator is not None and not operator.has_perm(NEEDED[self.kind]):
            raise Forbidden(f"{operator} may not do this: {NEEDED[self.kind]} is missing.")
        return super().perform(**options)

    def pending(self, asked: ApprovalRequest) -> dict[str, Any]:
        """Say that nothing has moved, and where a second person confirms it."""
        page = reverse("admin:approval", args=[asked.pk])
        self.say(
            f"Nothing has moved yet: {asked} for {asked.org.name} is more than one person may move.\n"
            f"A second person confirms it within {REQUEST_LIFE.days} days, in the admin: {page}"
        )
        return {"org": asked.org_id, "request": asked.pk, "approve_at": page}


def token_of(org: Organization, key: str | None) -> uuid.UUID:
    """The token of a proposal: the same for the same key, new without one."""
    return uuid.uuid4() if key is None else uuid.uuid5(uuid.NAMESPACE_URL, f"{org.pk}:{key}")

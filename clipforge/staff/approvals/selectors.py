"""Reads of the requests that need a second person."""

from __future__ import annotations

import datetime

from django.db.models import QuerySet
from django.db.models.functions import Now

from clipforge.staff.models import ApprovalRequest, RequestStatus

# A request that is not decided in this time has to be made again.
REQUEST_LIFE = datetime.timedelta(days=7)


def open_requests() -> QuerySet[ApprovalRequest]:
    """Requests of all organizations that can still be confirmed or refused."""
    return ApprovalRequest.objects.filter(
        status=RequestStatus.PENDING, requested_at__gt=Now() - REQUEST_LIFE
    )

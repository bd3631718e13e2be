"""Periodic tasks about organizations."""

from __future__ import annotations

import datetime

from django.db.models.functions import Now
from procrastinate.contrib.django import app

from clipforge.orgs.models import IdempotencyRecord

# Long enough for any client to have given up repeating itself.
IDEMPOTENCY_RETENTION = datetime.timedelta(days=30)


@app.periodic(cron="47 3 * * *")
@app.task(queue="maintenance", queueing_lock="orgs.idempotency", name="orgs.forget_idempotency")
def forget_old_idempotency_records(timestamp: int) -> None:
    IdempotencyRecord.objects.filter(created_at__lt=Now() - IDEMPOTENCY_RETENTION).delete()

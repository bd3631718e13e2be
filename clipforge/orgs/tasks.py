"""Periodic tasks about organizations."""

from __future__ import annotations

import datetime

from django.core.mail import send_mail
from django.db.models.functions import Now
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from clipforge.orgs import keys
from clipforge.orgs.models import APIKey, IdempotencyRecord, Refusal, RefusedRequests
from clipforge.orgs.selectors import addressees

# Long enough for any client to have given up repeating itself.
IDEMPOTENCY_RETENTION = datetime.timedelta(days=30)

# As long as a customer takes to write to us.
REFUSED_ID_RETENTION = datetime.timedelta(days=30)
REFUSED_IDS_AT_ONCE = 5000

# Tokens of pages end within an hour; what one did is looked into on the day, if ever.
TOKEN_RETENTION = datetime.timedelta(days=1)
TOKENS_AT_ONCE = 1000

# As far back as the pages of staff look.
REFUSAL_RETENTION = datetime.timedelta(days=31)
REFUSALS_AT_ONCE = 10_000


@app.periodic(cron="47 3 * * *")
@app.task(queue="maintenance", queueing_lock="orgs.idempotency", name="orgs.forget_idempotency")
def forget_old_idempotency_records(timestamp: int) -> None:
    IdempotencyRecord.objects.filter(created_at__lt=Now() - IDEMPOTENCY_RETENTION).delete()


@app.task(
    queue="maintenance",
    name="orgs.mail_rotated",
    retry=RetryStrategy(max_attempts=20, exponential_wait=2),
)
def mail_rotated(key_id: str) -> None:
    """Tell the owners and admins that a key was rotated, and until when the one before works."""
    new = APIKey.objects.select_related("organization", "replaces").filter(pk=key_id).first()
    if new is None or new.replaces is None or not (to := addressees(new.organization)):
        return
    old, ends = new.replaces, new.replaces.expires_at
    send_mail(
        f"{new.organization.name[:100]}: an API key was rotated",
        f"The key “{old.name}” ({keys.label(old.prefix, new.text_prefix)}) was rotated. "
        f"{keys.label(new.prefix, new.text_prefix)} takes its place and may do the same. "
        f"The one before works until {ends:%Y-%m-%d %H:%M} UTC.\n\n"
        "If nobody of yours did this, revoke both.\n",
        None,
        to,
    )


@app.periodic(cron="9,39 * * * *")
@app.task(queue="maintenance", queueing_lock="orgs.tokens", name="orgs.forget_tokens")
def forget_ended_tokens(timestamp: int) -> None:
    """Delete tokens that ended a day ago, so many in a transaction."""
    ended = APIKey.objects.filter(is_publishable=True, expires_at__lt=Now() - TOKEN_RETENTION)
    oldest = ended.order_by("expires_at").values_list("pk", flat=True)
    # To the last: one organization may make more in a day than a batch each half hour comes to.
    while batch := list(oldest[:TOKENS_AT_ONCE]):
        APIKey.objects.filter(pk__in=batch).delete()


@app.periodic(cron="31 3 * * *")
@app.task(queue="maintenance", queueing_lock="orgs.refusals", name="orgs.forget_refusals")
def forget_refusals(timestamp: int) -> None:
    """Delete the counts of hours that began 31 days ago, so many in a transaction."""
    past = RefusedRequests.objects.filter(hour__lt=Now() - REFUSAL_RETENTION)
    oldest = past.order_by("hour", "id").values_list("pk", flat=True)
    while batch := list(oldest[:REFUSALS_AT_ONCE]):
        RefusedRequests.objects.filter(pk__in=batch).delete()


@app.periodic(cron="37 3 * * *")
@app.task(queue="maintenance", queueing_lock="orgs.refused_ids", name="orgs.forget_refused_ids")
def forget_refused_ids(timestamp: int) -> None:
    """Delete what is known of requests that were refused 30 days ago, so many in a transaction."""
    past = Refusal.objects.filter(at__lt=Now() - REFUSED_ID_RETENTION).order_by("at")
    while batch := list(past.values_list("pk", flat=True)[:REFUSED_IDS_AT_ONCE]):
        Refusal.objects.filter(pk__in=batch).delete()

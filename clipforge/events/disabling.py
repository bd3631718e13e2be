"""The end of an endpoint that takes nothing: disabled, with an entry in the audit and mail."""

from __future__ import annotations

import datetime

from django.db.models.functions import Now
from procrastinate.contrib.django import app

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.events.models import Endpoint

# Without a single success.
PATIENCE = datetime.timedelta(days=5)
# The name of the task that mails the owners.
MAIL = "events.mail_disabled"
DISPATCHER = Actor.of_system("webhooks")


def disable(endpoint: Endpoint, *, because: str, reason: str, actor: Actor) -> bool:
    """Send nothing to it any more. Requires a transaction. False: it was disabled already.

    What waits for it stays, and is sent when it is enabled again.
    """
    enabled = Endpoint.objects.filter(pk=endpoint.pk, is_enabled=True)
    if not enabled.update(
        is_enabled=False, disabled_at=Now(), disabled_because=because, updated_at=Now()
    ):
        return False
    write_entry(
        actor=actor,
        verb="disable",
        subject=endpoint,
        org=endpoint.org,
        before={"is_enabled": True},
        after={"is_enabled": False},
        reason=reason,
    )
    return True


def disable_after_failures(endpoint: Endpoint) -> bool:
    """Disable an endpoint that took nothing for five days, and queue the mail about it.

    Requires a transaction. False: it is not so long, or it was disabled already.
    """
    failing = Endpoint.objects.filter(pk=endpoint.pk, failing_since__lte=Now() - PATIENCE)
    if not failing.exists() or not disable(
        endpoint,
        because=Endpoint.Disabled.FAILURES,
        reason=f"Every attempt of {PATIENCE.days} days failed",
        actor=DISPATCHER,
    ):
        return False
    app.configure_task(MAIL).defer(endpoint_id=str(endpoint.pk))
    return True

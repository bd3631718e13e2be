"""Telling people: by mail to ALARM_EMAILS, and by JSON to ALARM_WEBHOOK_URL. Always in the log."""

from __future__ import annotations

import datetime
import logging

import httpx
from django.conf import settings
from django.core.mail import send_mail

from clipforge.staff import formatting
from clipforge.staff.watching.conditions import Condition

logger = logging.getLogger(__name__)

RUNBOOK = "clipforge/docs/runbook.md"
# For an answer of the webhook.
SECONDS = 10


class NobodyTold(Exception):
    """No way that is set up worked."""


def tell(condition: Condition, said: str, *, since: datetime.datetime) -> None:
    """Raises NobodyTold: it is tried again when the condition is looked at next."""
    logger.error("alarm", extra={"alarm": condition.code, "says": said})
    _send(condition, f"{condition.title}.", said, state="raised", since=since)


def tell_over(condition: Condition, *, since: datetime.datetime) -> None:
    """Raises NobodyTold."""
    logger.warning("alarm over", extra={"alarm": condition.code})
    _send(condition, f"Over: {condition.title}.", "It is over.", state="over", since=since)


def _send(
    condition: Condition, subject: str, said: str, *, state: str, since: datetime.datetime
) -> None:
    link = f"{RUNBOOK}#{condition.code.replace('_', '-')}"
    body = f"{said}\n\nSince {formatting.moment(since)}. What to do: {link}\n"
    message = {
        "alarm": condition.code,
        "state": state,
        "since": since.isoformat(),
        "text": f"{subject} {said} {link}",
    }
    worked = []
    if settings.ALARM_EMAILS:
        worked.append(_mail(f"ClipForge: {subject}", body))
    if settings.ALARM_WEBHOOK_URL:
        worked.append(_post(message))
    if worked and not any(worked):
        raise NobodyTold(condition.code)


def _mail(subject: str, body: str) -> bool:
    try:
        send_mail(subject, body, None, settings.ALARM_EMAILS)
    except OSError:  # SMTPException is one
        logger.exception("an alarm could not be mailed")
        return False
    return True


def _post(message: dict[str, str]) -> bool:
    try:
        answer = httpx.post(settings.ALARM_WEBHOOK_URL, json=message, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        logger.exception("an alarm could not be sent to the webhook")
        return False
    if not answer.is_success:
        # httpx's own error has the address, and whoever knows that may write there.
        logger.error(
            "an alarm could not be sent to the webhook", extra={"status": answer.status_code}
        )
    return answer.is_success

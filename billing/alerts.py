"""Mails to the owners and admins of an organization about its credits: each once."""

from __future__ import annotations

import datetime
import logging

from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError
from django.db.models import CharField, Exists, F, OuterRef, Value
from django.db.models.functions import Cast, Concat
from django.db.transaction import atomic
from django.utils import timezone

from billing.models import Alert, AlertKind, AlertStatus, BillingAccount
from clipforge.events import outbox
from clipforge.orgs.models import Membership, Organization, Role
from credits.models import CreditGrant, GrantKind

logger = logging.getLogger(__name__)

# Told so long before credits end.
NOTICE = datetime.timedelta(days=7)
# Characters, as in the column.
MAX_SUBJECT = 200
# A run stops here; the next one, a minute later, goes on.
BATCH = 1000


def notice(*, now: datetime.datetime | None = None) -> int:
    """Write a row for each balance that is low and each lot about to end. Returns how many.

    Low balance: at the crossing, and not again before a fifth more than the threshold was there.
    Plan credits are not told of: they end every month.
    """
    _forget_recovered()
    return _notice_low() + _notice_expiring(now or timezone.now())


def send() -> int:
    """Mail the rows that are committed. Returns how many were handed over.

    Each is marked before it is handed over, in a transaction of its own. While the mail server
    cannot be reached they wait.
    """
    waiting = list(
        Alert.objects.filter(status=AlertStatus.PENDING)
        .select_related("org")
        .order_by("id")[:BATCH]
    )
    if not waiting:
        return 0
    connection = get_connection()
    try:
        connection.open()
    except OSError:
        logger.exception("the mail server cannot be reached")
        return 0
    try:
        return sum(_send(alert, connection) for alert in waiting)
    finally:
        connection.close()


def _send(alert: Alert, connection: BaseEmailBackend) -> bool:
    mine = Alert.objects.filter(pk=alert.pk, status=AlertStatus.PENDING)
    if not mine.update(status=AlertStatus.SENT, sent_at=timezone.now()):
        return False
    to = list(
        Membership.objects.filter(organization=alert.org, role__in=[Role.OWNER, Role.ADMIN])
        .order_by("user__email")
        .values_list("user__email", flat=True)
    )
    try:
        if not to:
            raise LookupError("The organization has no owner and no admin.")
        EmailMessage(alert.subject, alert.body, to=to, connection=connection).send()
    except Exception as error:  # whatever it was, trying again could send it twice
        logger.exception("alert was not sent", extra={"alert": alert.pk})
        Alert.objects.filter(pk=alert.pk).update(status=AlertStatus.FAILED, error=str(error))
        return False
    return True


def _watched() -> list[BillingAccount]:
    return list(
        BillingAccount.objects.filter(
            low_balance_threshold__isnull=False,
            is_low=False,
            org__credit_account__posted__lt=F("low_balance_threshold")
            + F("org__credit_account__held"),
        ).select_related("org__credit_account")[:BATCH]
    )


def _notice_low() -> int:
    """One organization that fails is logged and left, so that the others are told."""
    noticed = 0
    for account in _watched():
        try:
            with atomic():
                noticed += _cross(account)
        except DatabaseError:
            logger.exception("low balance was not noticed", extra={"org": str(account.pk)})
    return noticed


def _cross(account: BillingAccount) -> bool:
    """Note that the balance fell below the threshold. False: another process has."""
    here = BillingAccount.objects.filter(pk=account.pk)
    if not here.filter(is_low=False).update(is_low=True, crossings=F("crossings") + 1):
        return False
    outbox.record("credits.low", account, org=account.org)
    available = account.org.credit_account.available
    Alert.objects.create(
        org=account.org,
        kind=AlertKind.LOW_BALANCE,
        key=f"crossing:{here.get().crossings}",
        subject=_subject(account.org, f"{available} credits left"),
        body=(
            f"{account.org.name} has {available} credits left, fewer than the "
            f"{account.low_balance_threshold} at which you wanted to be told.\n"
        ),
    )
    return True


def _forget_recovered() -> None:
    """In whole numbers: 5 × available ≥ 6 × threshold."""
    available = F("org__credit_account__posted") - F("org__credit_account__held")
    recovered = BillingAccount.objects.filter(is_low=True).annotate(five=available * 5)
    ids = recovered.filter(five__gte=F("low_balance_threshold") * 6).values("pk")
    BillingAccount.objects.filter(pk__in=ids).update(is_low=False)


def _notice_expiring(now: datetime.datetime) -> int:
    key = Concat(Value("grant:"), Cast("pk", CharField()))
    told = Alert.objects.filter(org=OuterRef("org"), kind=AlertKind.EXPIRING, key=OuterRef("key"))
    lots = (
        CreditGrant.objects.filter(
            remaining__gt=0, expires_at__gt=now, expires_at__lte=now + NOTICE
        )
        .filter(remaining__gt=F("held"))
        .exclude(kind=GrantKind.PLAN)
        .annotate(key=key)
        .filter(~Exists(told))
        .select_related("org")
        .order_by("expires_at")[:BATCH]
    )
    noticed = 0
    for lot in lots:
        try:
            with atomic():
                Alert.objects.bulk_create([_expiring(lot)], ignore_conflicts=True)
            noticed += 1
        except DatabaseError:
            logger.exception("credits about to end were not noticed", extra={"grant": lot.pk})
    return noticed


def _expiring(lot: CreditGrant) -> Alert:
    free = lot.remaining - lot.held
    return Alert(
        org=lot.org,
        kind=AlertKind.EXPIRING,
        key=f"grant:{lot.pk}",
        subject=_subject(lot.org, f"{free} credits end on {lot.expires_at:%Y-%m-%d}"),
        body=(
            f"{free} of the credits of {lot.org.name} that have not been used end on "
            f"{lot.expires_at:%Y-%m-%d at %H:%M} UTC.\n"
        ),
    )


def _subject(org: Organization, what: str) -> str:
    """Of a long name the beginning, so that what is said fits."""
    room = MAX_SUBJECT - len(f": {what}")
    name = org.name if len(org.name) <= room else f"{org.name[: room - 1]}…"
    return f"{name}: {what}"

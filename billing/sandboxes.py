"""The free credits of sandboxes. Nobody paid for them, and nothing but tests can be bought with them."""

from __future__ import annotations

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from clipforge.audit.actor import Actor
from clipforge.orgs.models import Organization
from credits import services as credit_services
from credits.models import CreditAccount, GrantKind

BY = Actor.of_system("sandboxes")


def fill_up(sandbox: Organization) -> int:
    """Give the sandbox what it lacks of SANDBOX_CREDITS, at most once a day. Returns how many credits."""
    account = CreditAccount.objects.filter(org=sandbox).first()
    missing = settings.SANDBOX_CREDITS - (account.available if account else 0)
    if missing <= 0:
        return 0
    key = f"sandbox:{timezone.now():%Y-%m-%d}"
    if sandbox.credit_transactions.filter(idempotency_key=key).exists():
        return 0
    credit_services.grant(
        org=sandbox,
        amount=missing,
        kind=GrantKind.PROMO,
        reason="Free credits, for tests",
        actor=BY,
        audit=False,
        idempotency_key=key,
    )
    return missing


def fill_up_all() -> int:
    """Fill up every sandbox that has less than half. Returns how many they are."""
    low = CreditAccount.objects.filter(
        org__sandbox_of__isnull=False, posted__lt=F("held") + settings.SANDBOX_CREDITS // 2
    )
    return sum(bool(fill_up(account.org)) for account in low.select_related("org"))

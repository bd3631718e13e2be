from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from billing import gateway
from billing.models import Payment, PaymentStatus, PriceKind
from billing.selectors import mismatches
from clipforge.devtools.testing.stripe import SECRET_KEY, WEBHOOK_SECRET, Stripe, running_stripe
from credits.models import CreditTransaction, TransactionType


@pytest.fixture(autouse=True)
def payments_add_up(request):
    """After every test: what was paid is what the ledger gave, and credits sold are purchases."""
    if request.node.get_closest_marker("django_db") is None:
        yield
        return
    request.getfixturevalue("_django_db_helper")  # set up before, so torn down after this one
    yield
    if request.node.get_closest_marker("breaks_ledger") is None:
        assert mismatches() == []
        sold = Payment.objects.filter(status=PaymentStatus.PAID, price__kind=PriceKind.PACK)
        purchases = CreditTransaction.objects.filter(type=TransactionType.PURCHASE)
        assert sum(sold.values_list("credits", flat=True)) == sum(
            purchases.values_list("amount", flat=True)
        )


@pytest.fixture
def stripe(settings: Any) -> Iterator[Stripe]:
    """A Stripe of our own, which the settings name. It is not given up, however slow the machine."""
    with running_stripe() as stand_in, pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "TIMEOUT", 120)
        settings.STRIPE_SECRET_KEY = SECRET_KEY
        settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
        settings.STRIPE_API_BASE = stand_in.url
        yield stand_in

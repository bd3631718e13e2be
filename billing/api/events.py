"""The events of payments, with the body of `GET /billing/payments/{id}`; and that of a low balance."""

from __future__ import annotations

from rest_framework.renderers import JSONRenderer

from billing import selectors
from billing.api.serializers import LowBalanceSerializer, PaymentSerializer
from billing.models import BillingAccount, Payment
from clipforge.events.registry import EventType, register
from credits import selectors as credit_selectors


def body_of_payment(payment: Payment) -> bytes:
    """As it is now in the database, whatever the instance knows."""
    found = selectors.get_payment(payment.org, payment.pk)
    return bytes(JSONRenderer().render(PaymentSerializer(found).data))


def body_of_balance(account: BillingAccount) -> bytes:
    """As `GET /credits/balance` answers."""
    return bytes(JSONRenderer().render(credit_selectors.balance(account.org)._asdict()))


register(
    EventType(
        name="credits.low",
        told_when="The balance fell below the threshold that was set.",
        body=body_of_balance,
        answer=LowBalanceSerializer,
    )
)
for name, told_when in {
    "succeeded": "The money came; what it buys is there, or begins later.",
    "failed": "Its page was closed, or its time ended, before it was paid.",
    "refunded": "Money went back, in part or in whole: `reversed_amount` says how much.",
}.items():
    register(
        EventType(
            name=f"payment.{name}",
            told_when=told_when,
            body=body_of_payment,
            answer=PaymentSerializer,
        )
    )

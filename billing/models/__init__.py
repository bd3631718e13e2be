"""The models of billing: the price list, payments and subscriptions, alerts.

Money is in minor units of its currency (cents), whole numbers. The services write every row
except the price list.
"""

from billing.models.alerts import Alert, AlertKind, AlertStatus
from billing.models.catalogue import Catalogue, Price, PriceKind, PriceQuerySet
from billing.models.payments import (
    BillingAccount,
    EventStatus,
    Payment,
    PaymentMethod,
    PaymentStatus,
    PlanPeriod,
    Refund,
    RefundStatus,
    StripeEvent,
    Subscription,
    SubscriptionStatus,
    blankless,
)

__all__ = [
    "Alert",
    "AlertKind",
    "AlertStatus",
    "BillingAccount",
    "Catalogue",
    "EventStatus",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "PlanPeriod",
    "Price",
    "PriceKind",
    "PriceQuerySet",
    "Refund",
    "RefundStatus",
    "StripeEvent",
    "Subscription",
    "SubscriptionStatus",
    "blankless",
]

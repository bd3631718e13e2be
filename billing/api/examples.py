"""Examples of what the API of billing answers, for its schema."""

PLAN = {
    "code": "plan-pro",
    "name": "Pro",
    "tier": "PRO",
    "credits_per_month": 1000,
    "amount": 4900,
    "currency": "usd",
}
PACK = {
    "code": "pack-500",
    "name": "500 credits",
    "credits": 500,
    "validity_days": 365,
    "amount": 3900,
    "currency": "usd",
}
PAYMENT = {
    "id": "01a20e30-77d1-7f02-9c44-8e1f5a6b7c21",
    "status": "PAID",
    "method": "STRIPE",
    "price": "pack-500",
    "amount": 3900,
    "currency": "usd",
    "credits": 500,
    "reversed_amount": 0,
    "created_at": "2026-11-30T09:00:00.000000Z",
    "paid_at": "2026-11-30T09:01:30.000000Z",
}
SUBSCRIPTION = {
    "id": "01a20e2f-1b0a-7d11-8a02-3c4d5e6f7a81",
    "status": "ACTIVE",
    "plan": "plan-pro",
    "tier": "PRO",
    "period_start": "2026-11-15T00:00:00Z",
    "period_end": "2026-12-15T00:00:00Z",
}
CHECKOUT = {
    "payment": "01a20e30-77d1-7f02-9c44-8e1f5a6b7c21",
    "url": "https://checkout.stripe.com/c/pay/cs_live_a1b2c3",
}
PORTAL = {"url": "https://billing.stripe.com/p/session/a1b2c3"}
CHECKOUT_REQUEST = {"price": "pack-500"}

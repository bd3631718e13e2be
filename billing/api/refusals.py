"""The codes of refusals that the operations of billing have beside those of all, for the schema."""

STRIPE = {
    503: {
        "payments_not_configured": "Payments are not set up here.",
        "payments_unavailable": "Stripe does not answer. Send the request again.",
    }
}
CHECKOUT = {
    **STRIPE,
    409: {
        "plan_already_active": "A plan is active already. Change or cancel it in the portal.",
        "checkout_superseded": "A newer page for a plan is open. Pay there.",
        "checkout_expired": "The page is closed. Ask for another, under another key.",
    },
    422: {
        "unknown_price": "There is no such price.",
        "price_inactive": "It is not sold any more.",
        "wrong_currency": "It is sold in another currency.",
        "not_for_sale": "It costs nothing and needs no payment.",
    },
}

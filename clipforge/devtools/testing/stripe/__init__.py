"""A Stripe of our own: enough of its API that the real client buys packs and plans from it.

In a test: `with running_stripe() as stripe:`; what happened waits in `stripe.events`, to be
delivered by the test as often and in whatever order it likes (`stripe.signed`). As a program,
`python -m clipforge.devtools.testing.stripe --port 8010 --webhook http://…`, it delivers by itself and
repeats what was refused, and a person pays with a button in the browser.

What goes wrong on request, once each, through `stripe.faults.append(…)`: "lost" (done, but the answer
is a 502), "down" (a 503, not done), "broken" (a 500, not done, which is the answer to that idempotency
key from then on), "busy" (the same request is running), "hold" (done, and answered once
`stripe.release` is set; until then `stripe.held` is), "hang" (not even that), "junk" (a page of HTML).
Through `stripe.deliveries`, how each event is treated: "twice", "drop", "late" by the program that
delivers; "no endpoint", never tried, and so never failed, by both.

It knows nothing of taxes, coupons, trials, cards that are declined, or several items.
"""

from clipforge.devtools.testing.stripe.account import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    Object,
    Stripe,
)
from clipforge.devtools.testing.stripe.server import running_stripe

__all__ = ["SECRET_KEY", "WEBHOOK_SECRET", "Object", "Stripe", "running_stripe"]

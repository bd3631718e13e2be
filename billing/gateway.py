"""Stripe, and the only file that knows its library.

Everything is asked within 5 seconds and never again by itself: the caller decides whether to
repeat, under the same idempotency key. What comes back are plain dictionaries.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

import stripe
from django.conf import settings

from billing.models import Price
from clipforge.common.errors import Conflict, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from stripe import RequestOptions
    from stripe.params.checkout import SessionCreateParams

    from clipforge.orgs.models import Organization

T = TypeVar("T")

# Seconds, for connecting and for each part of the answer.
TIMEOUT = 5
# Of a list, how much Stripe gives at once.
PAGE = 100
# Under how many idempotency keys a request is tried.
KEYS = 3


# Whether Stripe is asked in its test mode, as for everything about a sandbox.
_is_test: ContextVar[bool] = ContextVar("stripe_test_mode", default=False)


@contextlib.contextmanager
def mode(*, is_test: bool) -> Iterator[None]:
    """Ask Stripe in this mode, with the keys of that, inside the block."""
    token = _is_test.set(is_test)
    try:
        yield
    finally:
        _is_test.reset(token)


def mode_of(org: Organization) -> contextlib.AbstractContextManager[None]:
    """The mode in which Stripe is asked about an organization."""
    return mode(is_test=org.is_sandbox)


def is_test() -> bool:
    """Whether what is asked now is about sandboxes."""
    return _is_test.get()


def modes() -> list[bool]:
    """Those that are set up, by whether they are for sandboxes."""
    keys = {False: settings.STRIPE_SECRET_KEY, True: settings.STRIPE_TEST_SECRET_KEY}
    return [is_test for is_test, key in keys.items() if key]


def is_configured() -> bool:
    return bool(_secret_key())


def _secret_key() -> str:
    key: str = settings.STRIPE_TEST_SECRET_KEY if is_test() else settings.STRIPE_SECRET_KEY
    return key


def require_configured() -> None:
    """Raises Unavailable."""
    if not is_configured():
        raise Unavailable(
            "Payments through Stripe are not set up here. Write to us to pay by transfer.",
            code="payments_not_configured",
            retry_after=3600,
        )


def is_live() -> bool:
    """Whether our key moves real money. Events of the other mode are not ours."""
    return _secret_key().startswith(("sk_live_", "rk_live_"))


# --- asking for money ------------------------------------------------------------------


def create_customer(*, org_id: str, name: str, idempotency_key: str) -> str:
    """Returns the id."""
    with _translated():
        customer = _once(
            idempotency_key,
            lambda options: _client().v1.customers.create(
                {"name": name, "metadata": {"org": org_id}}, options
            ),
        )
    return str(customer.id)


def price_id(price: Price) -> str:
    """Stripe's id of a version of a plan, which is made there when it has none yet."""
    key = lookup_key(price)
    with _translated():
        found = _client().v1.prices.list({"lookup_keys": [key]}).data
        if found:
            return str(found[0].id)
        made = _once(
            f"price:{price.pk}",
            lambda options: _client().v1.prices.create(
                {
                    "currency": price.currency,
                    "unit_amount": price.amount,
                    "recurring": {"interval": "month"},
                    "product_data": {"name": price.name},
                    "lookup_key": key,
                },
                options,
            ),
        )
    return str(made.id)


def lookup_key(price: Price) -> str:
    """How Stripe's price and our version of it find each other."""
    return f"{price.code}:{price.version}"


def create_checkout(
    *, price: Price, customer: str, metadata: dict[str, str], idempotency_key: str
) -> dict[str, Any]:
    """A page where the customer pays: once for a pack, every month for a plan."""
    params: dict[str, Any] = {
        "customer": customer,
        "metadata": metadata,
        "client_reference_id": metadata["payment"],
        "success_url": settings.BILLING_RETURN_URL,
        "cancel_url": settings.BILLING_RETURN_URL,
    }
    if price.is_plan:
        params["mode"] = "subscription"
        params["line_items"] = [{"price": price_id(price), "quantity": 1}]
        params["subscription_data"] = {"metadata": metadata}
    else:
        params["mode"] = "payment"
        params["line_items"] = [
            {
                "quantity": 1,
                "price_data": {
                    "currency": price.currency,
                    "unit_amount": price.amount,
                    "product_data": {"name": price.name},
                },
            }
        ]
        params["payment_intent_data"] = {"metadata": metadata}
    with _translated():
        session = _once(
            idempotency_key,
            lambda options: _client().v1.checkout.sessions.create(
                cast("SessionCreateParams", params), options
            ),
        )
    return _plain(session)


def close_checkout(session_id: str) -> bool:
    """Close the page where a customer pays. False: it was paid already."""
    with _translated(), contextlib.suppress(stripe.InvalidRequestError):  # it is closed, either way
        _client().v1.checkout.sessions.expire(session_id)
    return bool(checkout(session_id)["status"] == "expired")


def create_portal(*, customer: str) -> str:
    """Returns the address of the page where a customer changes or cancels its plan."""
    with _translated():
        portal = _client().v1.billing_portal.sessions.create(
            {"customer": customer, "return_url": settings.BILLING_RETURN_URL}
        )
    return str(portal.url)


# --- what became of it -----------------------------------------------------------------


def checkout(session_id: str) -> dict[str, Any]:
    with _translated():
        return _plain(_client().v1.checkout.sessions.retrieve(session_id))


def subscription(subscription_id: str) -> dict[str, Any]:
    with _translated():
        return _plain(_client().v1.subscriptions.retrieve(subscription_id))


def paid_invoices(subscription_id: str) -> list[dict[str, Any]]:
    """Every paid invoice of a subscription, the oldest first, with what paid it."""
    with _translated():
        invoices = _client().v1.invoices.list(
            {
                "subscription": subscription_id,
                "status": "paid",
                "limit": PAGE,
                "expand": ["data.payments"],
            }
        )
        found = [_plain(each) for each in invoices.auto_paging_iter()]
    return sorted(found, key=lambda each: (each["created"], each["id"]))


def price(stripe_price_id: str) -> dict[str, Any]:
    with _translated():
        return _plain(_client().v1.prices.retrieve(stripe_price_id))


def payment_intent(payment_intent_id: str) -> dict[str, Any]:
    with _translated():
        return _plain(_client().v1.payment_intents.retrieve(payment_intent_id))


def refunds(payment_intent_id: str) -> list[dict[str, Any]]:
    with _translated():
        found = _client().v1.refunds.list({"payment_intent": payment_intent_id, "limit": PAGE})
        return [_plain(each) for each in found.auto_paging_iter()]


def refund(
    *, payment_intent_id: str, amount: int, metadata: dict[str, str], idempotency_key: str
) -> dict[str, Any]:
    """Give so much of a payment back. Raises Invalid where Stripe refuses that."""
    with _translated():
        try:
            made = _client().v1.refunds.create(
                {"payment_intent": payment_intent_id, "amount": amount, "metadata": metadata},
                {"idempotency_key": idempotency_key},
            )
        except stripe.InvalidRequestError as error:
            raise Invalid(f"Stripe refuses it: {error.user_message or error}") from error
    return _plain(made)


def page_of(payment_intent_id: str) -> str:
    """The address of a payment in Stripe's dashboard."""
    test = "" if is_live() else "test/"
    return f"https://dashboard.stripe.com/{test}payments/{payment_intent_id}"


def disputes(payment_intent_id: str) -> list[dict[str, Any]]:
    with _translated():
        found = _client().v1.disputes.list({"payment_intent": payment_intent_id, "limit": PAGE})
        return [_plain(each) for each in found.auto_paging_iter()]


def events(types: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    """The events of the last 30 days, a page at a time, the newest first.

    All of it: what Stripe could not deliver is a part only, without the time when there was no
    endpoint, or one that was switched off.
    """
    with _translated():
        page = _client().v1.events.list({"types": list(types), "limit": PAGE})
        while not page.is_empty:
            yield [_plain(each) for each in page.data]
            page = page.next_page()


# --- webhooks --------------------------------------------------------------------------


def signature_holds(payload: bytes, header: str, *, now: float, tolerance: int) -> bool:
    """Whether Stripe signed these bytes, not longer ago, nor later, than `tolerance` seconds.

    The library's own check lets through what is dated in the future.
    """
    try:
        secret = (
            settings.STRIPE_TEST_WEBHOOK_SECRET if is_test() else settings.STRIPE_WEBHOOK_SECRET
        )
        stripe.WebhookSignature.verify_header(payload.decode(), header, secret, None)
        stamps = [int(part[2:]) for part in header.split(",") if part.startswith("t=")]
    except (stripe.SignatureVerificationError, ValueError):
        return False
    return len(stamps) == 1 and abs(now - stamps[0]) <= tolerance


# --- inside ----------------------------------------------------------------------------


def _client() -> stripe.StripeClient:
    require_configured()
    return _client_of(_secret_key(), settings.STRIPE_API_BASE, TIMEOUT)


@functools.lru_cache(maxsize=2)  # one a mode
def _client_of(key: str, base: str, timeout: float) -> stripe.StripeClient:
    """Kept, because it keeps its connections: each thread has its own."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        http_client=stripe.RequestsClient(timeout=timeout),
        max_network_retries=0,
    )


def _once(key: str, create: Callable[[RequestOptions], T]) -> T:
    """Make something under an idempotency key: however often that is repeated, it is one.

    When something broke at Stripe, it gives that answer again to every repetition of the request, for a
    day. Then the next key leads on. An object made under the first key, if any, was shown to no customer:
    a page whose address is unknown cannot be paid.
    """
    for number in range(1, KEYS + 1):
        try:
            return create({"idempotency_key": key if number == 1 else f"{key}:{number}"})
        except stripe.APIError as error:
            if number == KEYS or not _is_stored(error):
                raise
    raise AssertionError("not reached")


def _is_stored(error: stripe.APIError) -> bool:
    headers = error.headers or {}
    return (error.http_status or 0) >= 500 and headers.get("Idempotent-Replayed") == "true"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Stripe's errors as ours. What it refuses as such is a fault of ours and stays what it is."""
    try:
        yield
    except stripe.InvalidRequestError as error:
        if error.http_status == 404:
            raise NotFound("Stripe does not know this object.") from error
        raise
    except (stripe.IdempotencyError, stripe.AuthenticationError, stripe.PermissionError):
        raise
    except stripe.StripeError as error:
        if error.http_status == 409:  # the library has no class for it
            raise Conflict(
                "The same request is still running at Stripe. Ask again in a second.",
                code="request_in_progress",
                retry_after=1,
            ) from error
        raise Unavailable(
            "Stripe cannot be reached right now. Nothing was charged; send the request again, "
            "under the same Idempotency-Key.",
            code="payments_unavailable",
        ) from error


def _plain(found: Any) -> dict[str, Any]:
    plain: dict[str, Any] = found.to_dict()
    return plain

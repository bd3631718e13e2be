"""The account at the stand-in: its objects, the events about them, and the API that reads and writes them."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import secrets
import threading
import time
from typing import Any

import httpx

SECRET_KEY = "sk_test_stand_in"
WEBHOOK_SECRET = "whsec_stand_in"
MONTH = 30 * 24 * 3600

Object = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body: Object = {"error": {"type": kind, "message": message}}


class Stripe:
    """The state, and what can happen to it."""

    def __init__(self, *, webhook: str = "", secret: str = WEBHOOK_SECRET) -> None:
        self.url = ""
        self.secret = secret
        self.webhook = webhook
        self.events: list[Object] = []
        self.undelivered: set[str] = set()
        self.faults: list[str] = []
        self.deliveries: list[str] = []
        self.delay = 3.0  # seconds that "late" is late
        self.held = threading.Event()
        self.release = threading.Event()
        self.calls: list[str] = []  # "POST /v1/customers", in the order they came
        self.objects: dict[str, Object] = {}
        self._waiting: dict[str, Object] = {}  # prices that begin with the next period
        self._answers: dict[str, tuple[str, int, Object]] = {}
        self._numbers = itertools.count(1)
        # The database outlives us: what the next stand-in makes must not look like ours.
        self._run = secrets.token_hex(4)
        self._lock = threading.RLock()

    # --- what a customer, or the bank, does --------------------------------------------

    def pay(self, session_id: str) -> Object:
        """Press the button of the checkout page. Once; a page that was paid or ended says so."""
        with self._lock:
            session = self._get("cs", session_id)
            if session["status"] != "open":
                return session
            session |= {"status": "complete", "payment_status": "paid"}
            if session["mode"] == "subscription":
                session["subscription"] = self._subscribe(session)["id"]
            else:
                intent = self._charge(
                    session["customer"], session["amount_total"], session["currency"]
                )
                session["payment_intent"] = intent
            self._emit("checkout.session.completed", session)
            return session

    def expire(self, session_id: str) -> None:
        with self._lock:
            session = self._get("cs", session_id)
            session["status"] = "expired"
            self._emit("checkout.session.expired", session)

    def renew(self, subscription_id: str) -> None:
        """Let the next period begin, and be paid; a change that was waiting takes effect."""
        with self._lock:
            subscription = self._get("sub", subscription_id)
            (item,) = subscription["items"]["data"]
            item["price"] = self._waiting.pop(subscription_id, item["price"])
            item["current_period_start"] = item["current_period_end"]
            item["current_period_end"] += MONTH
            self._bill(subscription, "subscription_cycle", item["price"]["unit_amount"])
            self._emit("customer.subscription.updated", subscription)

    def change_plan(self, subscription_id: str, lookup_key: str) -> None:
        """A dearer plan at once, for the difference; a cheaper one from the next period on."""
        with self._lock:
            subscription = self._get("sub", subscription_id)
            (item,) = subscription["items"]["data"]
            price = next(each for each in self._all("price") if each["lookup_key"] == lookup_key)
            difference = price["unit_amount"] - item["price"]["unit_amount"]
            if difference < 0:
                self._waiting[subscription_id] = price
                return
            old, item["price"] = item["price"], price
            self._bill(subscription, "subscription_update", difference, given_back=old)
            self._emit("customer.subscription.updated", subscription)

    def cancel(self, subscription_id: str) -> None:
        """From the end of the period on."""
        with self._lock:
            subscription = self._get("sub", subscription_id)
            subscription["cancel_at_period_end"] = True
            self._emit("customer.subscription.updated", subscription)

    def end(self, subscription_id: str) -> None:
        with self._lock:
            subscription = self._get("sub", subscription_id)
            subscription |= {"status": "canceled", "ended_at": int(time.time())}
            self._emit("customer.subscription.deleted", subscription)

    def refund(self, payment_intent: str, amount: int) -> str:
        """Returns the id, to let it fail with."""
        with self._lock:
            charge = self._charge_of(payment_intent)
            charge["amount_refunded"] += amount
            refund = self._new(
                "re",
                "refund",
                amount=amount,
                currency=charge["currency"],
                payment_intent=payment_intent,
                status="succeeded",
                metadata={},
            )
            self._emit("charge.refunded", charge)
            return str(refund["id"])

    def fail_refund(self, refund_id: str) -> None:
        """The customer's bank sends the money back."""
        with self._lock:
            refund = self._get("re", refund_id)
            refund["status"] = "failed"
            self._charge_of(refund["payment_intent"])["amount_refunded"] -= refund["amount"]
            self._emit("refund.failed", refund)

    def dispute(self, payment_intent: str) -> str:
        """Returns the id, to close it with."""
        with self._lock:
            charge = self._charge_of(payment_intent)
            dispute = self._new(
                "dp",
                "dispute",
                amount=charge["amount"],
                currency=charge["currency"],
                payment_intent=payment_intent,
                status="needs_response",
            )
            self._emit("charge.dispute.created", dispute)
            return str(dispute["id"])

    def close_dispute(self, dispute_id: str, *, won: bool) -> None:
        with self._lock:
            dispute = self._get("dp", dispute_id)
            dispute["status"] = "won" if won else "lost"
            self._emit("charge.dispute.closed", dispute)

    # --- events ------------------------------------------------------------------------

    def signed(self, event: Object, *, at: float | None = None) -> tuple[bytes, str]:
        """The body and the Stripe-Signature header of an event."""
        body = json.dumps(event).encode()
        stamp = int(time.time() if at is None else at)
        mac = hmac.new(self.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
        return body, f"t={stamp},v1={mac.hexdigest()}"

    def _emit(self, kind: str, thing: Object) -> None:
        event = self._new("evt", "event", type=kind, data={"object": json.loads(json.dumps(thing))})
        self.events.append(event)
        how = self.deliveries.pop(0) if self.deliveries else ""
        if how == "no endpoint":
            return
        self.undelivered.add(event["id"])
        if self.webhook:
            threading.Thread(target=self._deliver, args=(event, how), daemon=True).start()

    def _deliver(self, event: Object, how: str) -> None:
        if how == "drop":
            return
        times = 2 if how == "twice" else 1
        pause = self.delay if how == "late" else 0.0
        while times:
            time.sleep(pause)
            body, signature = self.signed(event)
            headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
            pause = min(60.0, pause * 2 or 1.0)
            with contextlib.suppress(httpx.TransportError):
                if httpx.post(self.webhook, content=body, headers=headers, timeout=20).is_success:
                    self.undelivered.discard(event["id"])
                    times, pause = times - 1, 0.0

    # --- the API -----------------------------------------------------------------------

    def call(
        self, method: str, path: str, params: Object, key: str | None, *, breaks: bool = False
    ) -> tuple[int, Object, bool]:
        """Answer a request of the client: status, body, and whether it is an answer given before.

        The same idempotency key replays the first answer, also that something broke.
        """
        with self._lock:
            self.calls.append(f"{method} {path}")
            asked = json.dumps([path, params], sort_keys=True)
            if key is not None and key in self._answers:
                before, status, answer = self._answers[key]
                if before != asked:
                    raise Refused(400, "idempotency_error", "The key was used for something else.")
                return status, answer, True
            if breaks:
                status, answer = 500, {"error": {"type": "api_error", "message": "broken"}}
            else:
                status, answer = 200, self._route(method, path, params)
            answer = json.loads(json.dumps(answer))  # what is sent later is as it was now
            if key is not None:
                self._answers[key] = (asked, status, answer)
            return status, answer, False

    def _route(self, method: str, path: str, params: Object) -> Object:
        match method, path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                return self._new("cus", "customer", name=params["name"])
            case "POST", ["prices"]:
                return self._new_price(params)
            case "GET", ["prices"]:
                wanted = set(params["lookup_keys"].values())
                found = [e for e in self._all("price") if e["lookup_key"] in wanted]
                return _page(path, params, found)
            case "POST", ["checkout", "sessions"]:
                return self._new_session(params)
            case "POST", ["checkout", "sessions", thing_id, "expire"]:
                if self._get("cs", thing_id)["status"] != "open":
                    raise Refused(400, "invalid_request_error", "Only an open page can expire.")
                self.expire(thing_id)
                return self._get("cs", thing_id)
            case "POST", ["billing_portal", "sessions"]:
                # Any id is accepted: our database may have customers of an earlier stand-in.
                url = f"{self.url}/portal/{params['customer']}"
                return self._new("bps", "billing_portal.session", url=url)
            case "GET", ["invoices"]:
                of_it = {"subscription_": params["subscription"], "status": params["status"]}
                return _page(path, params, self._matching("in", of_it))
            case "POST", ["refunds"]:
                return self._refund_asked(params)
            case "GET", ["refunds" | "disputes" as kind]:
                prefix = {"refunds": "re", "disputes": "dp"}[kind]
                of_it = {"payment_intent": params["payment_intent"]}
                return _page(path, params, self._matching(prefix, of_it))
            case "GET", ["events"]:
                found = [e for e in reversed(self.events) if self._is_wanted(e, params)]
                return _page(path, params, found)
            case "GET", ["checkout", "sessions", thing_id]:
                return self._get("cs", thing_id)
            case "GET", ["subscriptions" | "prices" | "payment_intents", thing_id]:
                return self._get(thing_id.partition("_")[0], thing_id)
        raise Refused(404, "invalid_request_error", f"The stand-in has no {method} {path}.")

    def _refund_asked(self, params: Object) -> Object:
        charge = self._charge_of(params["payment_intent"])
        amount = int(params["amount"])
        if amount > charge["amount"] - charge["amount_refunded"]:
            raise Refused(400, "invalid_request_error", "More than is left of the charge.")
        refund = self._get("re", self.refund(params["payment_intent"], amount))
        refund["metadata"] = params.get("metadata", {})
        return refund

    def _is_wanted(self, event: Object, params: Object) -> bool:
        wanted = {"true": False, "false": True}.get(params.get("delivery_success", ""))
        if wanted is not None and (event["id"] in self.undelivered) is not wanted:
            return False
        types = params.get("types")
        if types is not None and len(types) > 20:
            raise Refused(400, "invalid_request_error", "At most 20 types.")
        return types is None or event["type"] in types.values()

    def _new_price(self, params: Object) -> Object:
        return self._new(
            "price",
            "price",
            lookup_key=params["lookup_key"],
            unit_amount=int(params["unit_amount"]),
            currency=params["currency"],
            name=params["product_data"]["name"],
        )

    def _new_session(self, params: Object) -> Object:
        line = params["line_items"]["0"]
        price = self._get("price", line["price"]) if "price" in line else line["price_data"]
        session = self._new(
            "cs",
            "checkout.session",
            mode=params["mode"],
            status="open",
            payment_status="unpaid",
            amount_total=int(price["unit_amount"]),
            currency=price["currency"],
            customer=params["customer"],
            metadata=params["metadata"],
            payment_intent=None,
            subscription=None,
            success_url=params["success_url"],
            price_=line.get("price"),
        )
        session["url"] = f"{self.url}/checkout/{session['id']}"
        return session

    # --- inside ------------------------------------------------------------------------

    def _subscribe(self, session: Object) -> Object:
        now = int(time.time())
        price = self._get("price", session["price_"])
        item = {
            "id": f"si_{self._run}{next(self._numbers):06}",
            "object": "subscription_item",
            "price": price,
            "current_period_start": now,
            "current_period_end": now + MONTH,
        }
        subscription = self._new(
            "sub",
            "subscription",
            status="active",
            customer=session["customer"],
            metadata=session["metadata"],
            cancel_at_period_end=False,
            ended_at=None,
            items=_list([item]),
        )
        self._emit("customer.subscription.created", subscription)
        self._bill(subscription, "subscription_create", price["unit_amount"])
        return subscription

    def _bill(
        self, subscription: Object, reason: str, amount: int, given_back: Object | None = None
    ) -> None:
        (item,) = subscription["items"]["data"]
        period = {"start": item["current_period_start"], "end": item["current_period_end"]}
        lines = [_line(item["price"], item["price"]["unit_amount"], period)]
        if given_back is not None:
            period["start"] = int(time.time())
            lines.insert(0, _line(given_back, -given_back["unit_amount"], period))
        intent = self._charge(subscription["customer"], amount, item["price"]["currency"])
        payment = {"payment": {"type": "payment_intent", "payment_intent": intent}}
        invoice = self._new(
            "in",
            "invoice",
            customer=subscription["customer"],
            status="paid",
            billing_reason=reason,
            amount_paid=amount,
            currency=item["price"]["currency"],
            parent={"subscription_details": {"subscription": subscription["id"]}},
            payments=_list([payment]),
            lines=_list(lines),
            subscription_=subscription["id"],
        )
        self._emit("invoice.paid", invoice)

    def _charge(self, customer: str, amount: int, currency: str) -> str:
        intent = self._new("pi", "payment_intent", customer=customer)["id"]
        self._new(
            "ch",
            "charge",
            customer=customer,
            amount=amount,
            amount_refunded=0,
            currency=currency,
            payment_intent=intent,
        )
        return str(intent)

    def _charge_of(self, payment_intent: str) -> Object:
        return next(e for e in self._all("ch") if e["payment_intent"] == payment_intent)

    def _new(self, prefix: str, kind: str, **fields: Any) -> Object:
        thing = {
            "id": f"{prefix}_{self._run}{next(self._numbers):06}",
            "object": kind,
            "created": int(time.time()),
            "livemode": False,
            **fields,
        }
        self.objects[thing["id"]] = thing
        return thing

    def _get(self, prefix: str, thing_id: str) -> Object:
        thing = self.objects.get(thing_id)
        if thing is None or not thing_id.startswith(f"{prefix}_"):
            raise Refused(404, "invalid_request_error", f"No such object: {thing_id}")
        return thing

    def _all(self, prefix: str) -> list[Object]:
        return [each for key, each in self.objects.items() if key.startswith(f"{prefix}_")]

    def _matching(self, prefix: str, fields: Object) -> list[Object]:
        """The newest first, as Stripe lists everything."""
        return [e for e in reversed(self._all(prefix)) if fields.items() <= e.items()]


def _list(data: Any) -> Object:
    return {"object": "list", "data": list(data), "has_more": False, "url": "/v1/"}


def _page(path: str, params: Object, found: list[Object]) -> Object:
    """The page of a list after `starting_after`, of at most `limit` objects."""
    if after := params.get("starting_after"):
        found = found[[each["id"] for each in found].index(after) + 1 :]
    limit = int(params.get("limit", 10))
    more = len(found) > limit
    return {"object": "list", "data": found[:limit], "has_more": more, "url": path}


def _line(price: Object, amount: int, period: Object) -> Object:
    pricing = {"type": "price_details", "price_details": {"price": price["id"]}}
    return {"object": "line_item", "amount": amount, "pricing": pricing, "period": dict(period)}

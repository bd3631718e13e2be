"""The requests of customers' front ends, as one stream for the open loop."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

from clipforge.devtools.loadtest.customers import Customer
from clipforge.devtools.loadtest.open_loop import PlannedRequest

# Each customer asks as often as the limit of its tier is high.
SHARES = {"FREE": 1, "STARTER": 2, "PRO": 4, "BUSINESS": 10, "ENTERPRISE": 20}


def _get(path: str) -> Callable[[Customer], PlannedRequest]:
    name = f"GET /{path.partition('?')[0]}"
    return lambda each: PlannedRequest(name, f"/api/v1/{path.format(id=each.project)}", each.key)


def _quote(each: Customer) -> PlannedRequest:
    body = {"export_seconds": 30}
    return PlannedRequest("POST /quotes", "/api/v1/quotes", each.key, "POST", body)


# As in the locustfile, but that nothing is started: a quote reads the same account.
WEIGHTS: dict[Callable[[Customer], PlannedRequest], int] = {
    _get("projects/{id}"): 30,
    _get("projects/{id}/moments"): 15,
    _get("credits/balance"): 25,
    _get("projects?status=READY&page_size=20"): 12,
    _get("exports?page_size=20"): 8,
    _quote: 4,
}
PRICING = {_get("pricing"): 6}


def request_mix(
    found: list[Customer], *, with_pricing: bool, seed: int = 1
) -> Iterator[PlannedRequest]:
    """For ever: customers in turn, well mixed, each with what the weights say."""
    drawn = random.Random(seed)  # noqa: S311 - no secret
    turns = [each for each in found for _ in range(SHARES.get(each.org.tier, 1))]
    drawn.shuffle(turns)
    weights = WEIGHTS | (PRICING if with_pricing else {})
    for each in itertools.cycle(turns):
        (make,) = drawn.choices(list(weights), list(weights.values()))
        yield make(each)

"""A benchmark of the balance, with and without the cache.

    python -m clipforge.devtools.benchmarks.balance [ROUNDS]

Prints microseconds a read, cached and from the database, in one process, and the ratio.
"""

from __future__ import annotations

import sys

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

READS = 500


def main(rounds: int) -> None:
    with measuring.own_servers():
        from clipforge.audit.actor import Actor
        from clipforge.common.cache.backend import default_cache
        from clipforge.common.cache.versioned_cache import BORN_KEY
        from clipforge.orgs.services import create_organization
        from credits import caching, services
        from credits.models import CreditAccount, GrantKind

        default_cache().redis.set(BORN_KEY, 0)  # a Redis that has just started stores nothing yet
        org = create_organization(
            name="Benchmark",
            tier="PRO",
            reason="for a benchmark",
            actor=Actor.of_system("benchmark"),
        )
        services.grant(
            org=org,
            amount=100,
            kind=GrantKind.PROMO,
            reason="benchmark",
            actor=Actor.of_system("benchmark"),
            audit=False,
            idempotency_key="benchmark",
        )
        costs = measuring.in_turn(
            {
                "cached": lambda: measuring.microseconds(lambda: caching.balance(org.pk), READS),
                "database": lambda: measuring.microseconds(
                    lambda: CreditAccount.objects.filter(pk=org.pk).first(), READS
                ),
            },
            rounds,
        )
        for name, cost in costs.items():
            say(f"{name:9} {cost:6.0f} µs a read")
        say(f"ratio     {costs['database'] / costs['cached']:6.2f} ({rounds} rounds of {READS})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)

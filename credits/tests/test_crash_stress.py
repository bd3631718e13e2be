"""The ledger under concurrent customers, workers and sweepers, in processes that die at any statement."""

from __future__ import annotations

import os
import secrets

import pytest

from clipforge.devtools.testing.crash_stress import StressResult, stress
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.seeded_bugs import without_checks
from clipforge.orgs.models import Organization

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

# The first connection and the first processes break here, whatever chance does. After that a process
# dies once in a few thousand statements, a connection a little more often.
AT_FIRST = "drop 500 .; exit 3000 ."
FAULTPOINTS = "exit 0.0002 .; drop 0.0005 ."


def make_customers(count: int) -> list[Organization]:
    """Each with enough for a dozen transactions, so that most of the time there is nothing left."""
    return [make_organization(credits_=25) for _ in range(count)]


def assert_proper(result: StressResult, *, acts: int) -> None:
    """Nothing is wrong, and enough happened for that to mean something."""
    print(result)  # noqa: T201 - pytest shows it when this fails
    assert result.wrong == []
    assert result.deaths >= 1
    assert sum(result.counts.values()) >= acts
    for what in ("insufficient_credits", "connection broken", "reserve", "capture", "finish"):
        assert result.counts[what] > 0, what


@pytest.mark.slow
def test_nothing_is_overspent_lost_or_left_open_under_a_short_stress():
    result = stress(
        make_customers(4),
        acts=35,
        processes=2,
        threads=12,
        seed=1,
        faultpoints=FAULTPOINTS,
        at_first=AT_FIRST,
    )
    assert_proper(result, acts=35 * 2 * 12)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "seed", [int(os.environ.get("LEDGER_SEED", secrets.randbelow(2**16)))], ids="seed={}".format
)
def test_fifty_threads_in_four_processes_on_twenty_organizations(seed):
    result = stress(
        make_customers(20),
        acts=150,
        processes=4,
        threads=13,
        seed=seed,
        faultpoints=FAULTPOINTS,
        at_first=AT_FIRST,
    )
    assert_proper(result, acts=150 * 4 * 13)


def test_the_stress_finds_a_seeded_sum_then_insert():
    with without_checks():
        result = stress(make_customers(1), acts=40, processes=1, threads=12, seed=1, seed_bug=True)
    overspent = [each for each in result.wrong if "more is reserved than there is" in each]
    assert overspent, result.wrong

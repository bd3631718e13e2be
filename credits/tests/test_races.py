"""Concurrent calls of the same service: real threads, real commits."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pytest
from django.db import connection, transaction

from clipforge.common.errors import Conflict, DomainError
from clipforge.devtools.testing.factories import TESTER, make_grant, make_organization
from clipforge.devtools.testing.races import run_together
from credits import services
from credits.errors import InsufficientCredits
from credits.models import CreditAccount, CreditGrant, CreditHold, CreditTransaction
from credits.selectors import Balance, balance
from credits.tests.makers import end, lapse, lots, make_hold, make_spend

pytestmark = pytest.mark.django_db(transaction=True)


def kinds(results: Sequence[object]) -> Counter[str]:
    """How often each outcome came, by the name of its type; anything unforeseen fails here."""
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, DomainError):
            raise result
    return Counter(type(result).__name__ for result in results)


def test_two_clients_spending_the_last_credits_one_succeeds_the_other_gets_402():
    org = make_organization(credits_=5)
    results = run_together(2, lambda _: make_hold(org, 5))
    assert kinds(results) == {"CreditHold": 1, "InsufficientCredits": 1}
    (refused,) = [each for each in results if isinstance(each, InsufficientCredits)]
    assert (refused.status, refused.extra) == (402, {"needed": 5, "available": 0})
    assert balance(org) == Balance(available=0, held=5, posted=5)


def test_of_twenty_clients_exactly_as_many_succeed_as_there_are_credits():
    org = make_organization()
    for amount in (1, 2, 4):
        make_grant(org, amount)
    results = run_together(20, lambda _: make_hold(org, 1))
    assert kinds(results) == {"CreditHold": 7, "InsufficientCredits": 13}
    assert balance(org) == Balance(available=0, held=7, posted=7)
    assert lots(org) == [(1, 1), (2, 2), (4, 4)]
    assert CreditHold.objects.count() == 7


def test_a_hold_is_captured_once_by_two_and_by_twenty():
    org = make_organization(credits_=10)
    for count in (2, 20):
        hold = make_hold(org, 5)
        assert kinds(run_together(count, partial(capture, hold))) == {
            "CreditTransaction": 1,
            "NoneType": count - 1,
        }
    assert balance(org) == Balance(available=0, held=0, posted=0)


def test_of_capture_and_release_at_once_only_one_happens():
    org = make_organization(credits_=100)
    for _ in range(10):
        hold = make_hold(org, 5)
        released, captured = run_together(2, partial(capture_or_release, hold))
        assert (captured is None) == (released is True)
        hold.refresh_from_db()
        assert hold.status == ("RELEASED" if released else "CAPTURED")


def test_of_capture_and_expiry_at_once_only_one_happens():
    org = make_organization(credits_=100)
    for _ in range(10):
        hold = make_hold(org, 5)
        lapse(hold)
        expired, captured = run_together(2, partial(capture_or_expire, hold))
        assert (captured is None) == (expired == 1)


def capture(hold: CreditHold, _: int = 0) -> CreditTransaction | None:
    return services.capture(hold_id=hold.pk, fence=0, actor="worker")


def capture_or_release(hold: CreditHold, number: int) -> object:
    return capture(hold) if number else services.release(hold_id=hold.pk, actor="client")


def capture_or_expire(hold: CreditHold, number: int) -> object:
    return capture(hold) if number else services.expire_holds()


def test_two_sweepers_expire_each_hold_and_each_grant_once():
    org = make_organization(credits_=30)
    for _ in range(10):
        lapse(make_hold(org, 1))
    counts = run_together(4, lambda _: services.expire_holds())
    assert sum(int(str(count)) for count in counts) == 10
    end(*CreditGrant.objects.all())
    counts = run_together(4, lambda _: services.expire_grants())
    assert sorted(int(str(count)) for count in counts) == [0, 0, 0, 1]
    assert balance(org) == Balance(available=0, held=0, posted=0)


def test_a_hold_that_is_being_settled_is_left_alone_by_the_sweeper(caplog):
    org = make_organization(credits_=10)
    hold = make_hold(org, 5)
    lapse(hold)
    locked, swept = threading.Event(), threading.Event()

    def act(number: int) -> object:
        if number == 1:
            assert locked.wait(30)
            expired = services.expire_holds()  # returns while the other holds the lock
            swept.set()
            return expired
        with transaction.atomic():
            spend = services.capture(hold_id=hold.pk, fence=0, actor="worker")
            locked.set()
            assert swept.wait(30)
            return spend

    assert kinds(run_together(2, act)) == {"CreditTransaction": 1, "int": 1}
    assert "expiry failed" not in caplog.text  # skipped, rather than waited for in vain
    assert balance(org) == Balance(available=5, held=0, posted=5)


def test_a_spend_is_refunded_once_by_two_and_by_twenty():
    org = make_organization(credits_=10)
    spend = make_spend(org, 10)

    def refund(number: int, amount: int) -> CreditTransaction:
        return services.refund(
            transaction=spend,
            amount=amount,
            reason="broken file",
            actor=TESTER,
            audit=False,
            idempotency_key=f"{amount}:{number}",
        )

    assert kinds(run_together(2, lambda n: refund(n, 6))) == {
        "CreditTransaction": 1,
        "Conflict": 1,
    }
    assert kinds(run_together(20, lambda n: refund(n, 1))) == {
        "CreditTransaction": 4,
        "Conflict": 16,
    }
    assert balance(org) == Balance(available=10, held=0, posted=10)


def test_the_same_refund_twenty_times_is_one():
    org = make_organization(credits_=10)
    spend = make_spend(org, 10)
    results = run_together(
        20,
        lambda _: services.refund(
            transaction=spend, reason="broken file", actor=TESTER, audit=False, idempotency_key="k"
        ),
    )
    assert kinds(results) == {"CreditTransaction": 20}
    assert len({each.pk for each in results if isinstance(each, CreditTransaction)}) == 1
    assert balance(org).posted == 10


def test_the_same_grant_twenty_times_is_one():
    org = make_organization()
    results = run_together(20, lambda _: make_grant(org, 40, idempotency_key="k"))
    assert kinds(results) == {"CreditTransaction": 20}
    assert balance(org) == Balance(available=40, held=0, posted=40)
    assert CreditTransaction.objects.count() == CreditGrant.objects.count() == 1


def test_twenty_first_grants_at_once_make_one_account():
    org = make_organization()
    results = run_together(20, lambda n: make_grant(org, n + 1, idempotency_key=f"k{n}"))
    assert kinds(results) == {"CreditTransaction": 20}
    assert balance(org).posted == 210
    assert CreditAccount.objects.get().version == 20
    seqs = CreditTransaction.objects.order_by("pk").values_list("org_seq", flat=True)
    assert sorted(seqs) == list(range(1, 21))


def test_the_same_reservation_twenty_times_is_one():
    org = make_organization(credits_=10)
    results = run_together(20, lambda _: make_hold(org, 4, idempotency_key="k", reference_id="e1"))
    assert kinds(results) == {"CreditHold": 20}
    assert len({each.pk for each in results if isinstance(each, CreditHold)}) == 1
    assert balance(org) == Balance(available=6, held=4, posted=10)


def test_the_same_key_for_different_work_at_once_reserves_one_of_them():
    org = make_organization(credits_=100)
    results = run_together(
        20, lambda n: make_hold(org, 4, idempotency_key="k", reference_id=f"e{n}")
    )
    assert kinds(results) == {"CreditHold": 1, "Conflict": 19}
    assert all(
        each.error_code == "idempotency_key_reused"
        for each in results
        if isinstance(each, Conflict)
    )
    assert balance(org).held == 4


def test_a_hold_goes_to_one_of_twenty_attempts():
    org = make_organization(credits_=10)
    hold = make_hold(org, 4)
    results = run_together(
        20, lambda n: services.transfer_hold(hold_id=hold.pk, from_fence=0, to_fence=n + 1)
    )
    assert results.count(True) == 1
    hold.refresh_from_db()
    assert hold.fence == results.index(True) + 1


def test_twenty_clients_taking_and_giving_all_at_once_leave_a_ledger_that_adds_up():
    """Every service at once, on grants that are ending: no deadlock and no lost change."""
    org = make_organization()
    for amount in (50, 50, 50, 50):
        make_grant(org, amount)
    end(CreditGrant.objects.earliest("pk"))

    def act(number: int) -> int:
        for step in range(5):
            hold = make_hold(org, 3)
            match (number + step) % 5:
                case 0:
                    services.release(hold_id=hold.pk, actor="client")
                case 1:
                    services.capture(hold_id=hold.pk, fence=0, actor="worker", amount=2)
                case 2:
                    spend = services.capture(hold_id=hold.pk, fence=0, actor="worker")
                    assert spend is not None
                    services.refund(
                        transaction=spend,
                        reason="broken file",
                        actor=TESTER,
                        audit=False,
                        idempotency_key=f"refund:{spend.pk}",
                    )
                case 3:
                    lapse(hold)
                    services.expire_holds()
                    services.expire_grants()
                case 4:
                    make_grant(org, 1)
                    services.release(hold_id=hold.pk, actor="client")
        return 1

    assert kinds(run_together(20, act)) == {"int": 20}
    # 100 rounds, a fifth each: 200 - 50 ended - 20 * 2 spent + 20 * 1 granted.
    assert balance(org) == Balance(available=130, held=0, posted=130)


def test_the_database_itself_refuses_to_overspend():
    """The CHECK is the backstop should the condition of the UPDATE ever be wrong."""
    from django.db import IntegrityError

    org = make_organization(credits_=5)
    with pytest.raises(IntegrityError, match="credits_account_not_overspent"):
        CreditAccount.objects.filter(pk=org.pk).update(held=6)
    with pytest.raises(IntegrityError, match="credits_account_held_positive"):
        CreditAccount.objects.filter(pk=org.pk).update(held=-1)
    assert connection.is_usable()

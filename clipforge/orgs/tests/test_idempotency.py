"""One effect per Idempotency-Key. The effect here is a user: any row would do."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import make_organization, make_user
from clipforge.devtools.testing.races import run_together
from clipforge.orgs.idempotency import Answer, is_answered, once
from clipforge.orgs.models import IdempotencyRecord, Organization, User
from clipforge.orgs.tasks import forget_old_idempotency_records
from credits.errors import InsufficientCredits

pytestmark = pytest.mark.django_db

SAME, OTHER = "a" * 64, "b" * 64


def effect() -> Answer:
    user = make_user()
    return Answer(201, f'{{"id":{user.pk}}}', f"/users/{user.pk}")


def try_once(
    org: Organization, key: str | None = "k", fingerprint: str = SAME, effect=effect
) -> Answer:
    return once(org=org, key=key, fingerprint=fingerprint, effect=effect)


def kind(result: Answer | Exception) -> str:
    """How a request ended; anything unforeseen fails here."""
    if isinstance(result, Answer):
        return "replay" if result.replayed else "effect"
    assert isinstance(result, Conflict), result
    return "conflict"


def test_the_first_answer_is_replayed_to_the_byte_and_the_effect_happens_once(organization):
    first = try_once(organization)
    second = try_once(organization)
    assert (first.replayed, second.replayed) == (False, True)
    assert (second.status, second.body, second.location) == (201, first.body, first.location)
    assert User.objects.count() == 1


def test_a_replay_costs_one_query_in_a_transaction(organization, django_assert_num_queries):
    try_once(organization)
    # Begin (a savepoint, in a test), claim the key and read its record, commit.
    with django_assert_num_queries(3):
        try_once(organization)


def test_without_a_key_every_request_takes_effect_and_nothing_is_remembered(organization):
    assert try_once(organization, key=None).body != try_once(organization, key=None).body
    assert (User.objects.count(), IdempotencyRecord.objects.count()) == (2, 0)


def test_a_key_used_for_a_different_request_is_refused(organization):
    try_once(organization)
    with pytest.raises(Invalid) as refusal:
        try_once(organization, fingerprint=OTHER)
    assert (refusal.value.status, refusal.value.error_code) == (422, "idempotency_key_reused")
    assert User.objects.count() == 1


def test_a_refused_request_is_not_remembered_and_may_be_put_right_under_its_key(organization):
    def refuse() -> Answer:
        make_user()
        raise InsufficientCredits(needed=2, available=1)

    with pytest.raises(InsufficientCredits):
        try_once(organization, effect=refuse)
    assert (User.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)
    assert try_once(organization, fingerprint=OTHER).replayed is False
    assert User.objects.count() == 1


def test_a_crash_leaves_neither_effect_nor_record(organization):
    def crash() -> Answer:
        make_user()
        raise RuntimeError("the machine is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        try_once(organization, effect=crash)
    assert (User.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)


def test_a_request_is_answered_once_its_organization_has_used_its_key(organization):
    def answered(**changed: Any) -> bool:
        return is_answered(**{"org": organization, "key": "k", **changed})

    assert not answered()
    try_once(organization)
    assert answered()
    assert not answered(key=None)
    assert not answered(key="other")
    assert not answered(org=make_organization())


def test_keys_never_cross_organizations(organization):
    other = make_organization()
    first = try_once(organization)
    second = try_once(other, fingerprint=OTHER)
    assert (first.replayed, second.replayed) == (False, False)
    assert first.body != second.body
    assert User.objects.count() == 2


@pytest.mark.parametrize("key", ["a", "a" * 255, "a b", "~!@#$%^&*()", "Aa"])
def test_a_key_is_1_to_255_printable_ascii_characters(organization, key):
    assert try_once(organization, key=key).replayed is False
    assert try_once(organization, key=key).replayed is True


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "a\nb", "a\0b", "\t", "🔑", "\x7f"])
def test_any_other_key_is_refused_before_anything_happens(
    organization, key, django_assert_num_queries
):
    with django_assert_num_queries(0), pytest.raises(Invalid) as refusal:
        try_once(organization, key=key)
    assert refusal.value.error_code == "invalid_idempotency_key"
    assert User.objects.count() == 0


def test_keys_that_differ_in_case_are_different(organization):
    try_once(organization, key="key")
    assert try_once(organization, key="KEY").replayed is False


def test_records_are_forgotten_after_30_days_and_not_before(organization):
    for key, age in [("young", "29 days 23 hours"), ("old", "30 days 1 minute")]:
        try_once(organization, key=key)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE orgs_idempotencyrecord SET created_at = now() - %s::interval WHERE key = %s",
                [age, key],
            )
    forget_old_idempotency_records(0)
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["young"]


# --- with other requests at the same moment --------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_while_the_first_request_runs_the_second_is_a_conflict_that_waits_for_nothing():
    organization = make_organization()
    began, finish = threading.Event(), threading.Event()

    def slow() -> Answer:
        began.set()
        assert finish.wait(30)
        return effect()

    def first() -> Answer:
        try:
            return try_once(organization, effect=slow)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert began.wait(30)
        with pytest.raises(Conflict) as refusal:
            try_once(organization)
        # The conflict came while the other was still at work, and delays no other request.
        assert not running.done()
        assert try_once(organization, key="another").replayed is False
        finish.set()
        answer = running.result(30)
    assert (refusal.value.status, refusal.value.error_code) == (409, "request_in_progress")
    assert refusal.value.retry_after == 1
    assert try_once(organization).body == answer.body
    assert User.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_same_key_of_another_organization_does_not_wait():
    organization, other = make_organization(), make_organization()

    def both() -> Answer:
        with ThreadPoolExecutor(1) as pool:
            (result,) = pool.map(lambda _: run_together(1, lambda _: try_once(other)), [0])
        assert isinstance(result[0], Answer)
        return effect()

    assert try_once(organization, effect=both).replayed is False
    assert User.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_twenty_at_once_one_takes_effect_and_the_rest_replay_it_or_are_told_to_wait():
    organization = make_organization()
    results = run_together(20, lambda _: try_once(organization))
    kinds = Counter(kind(each) for each in results)
    assert kinds["effect"] == 1
    assert kinds.total() == 20
    assert {each.body for each in results if isinstance(each, Answer)} == {
        f'{{"id":{User.objects.get().pk}}}'
    }
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_keys_at_once_take_effect_twenty_times():
    organization = make_organization()
    results = run_together(20, lambda n: try_once(organization, key=f"key {n}"))
    assert Counter(kind(each) for each in results) == {"effect": 20}
    assert User.objects.count() == 20


@pytest.mark.django_db(transaction=True)
def test_a_key_is_free_again_when_the_request_that_held_it_failed():
    organization = make_organization()

    def crash() -> Answer:
        raise RuntimeError

    results = run_together(5, lambda _: try_once(organization, effect=crash))
    assert {type(each) for each in results} <= {RuntimeError, Conflict}
    assert try_once(organization).replayed is False


@pytest.mark.django_db(transaction=True)
def test_the_answer_must_be_remembered_in_a_transaction_of_its_own():
    organization = make_organization()
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        try_once(organization)
    assert User.objects.count() == 0

"""Writes to organizations, memberships and keys."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from clipforge.audit.actor import Actor
from clipforge.common.errors import Conflict, Invalid
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_organization,
    make_user,
)
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.races import run_together
from clipforge.orgs import services
from clipforge.orgs.models import APIKey, Membership, Organization, User

pytestmark = pytest.mark.django_db


def create(name: str = "Acme Films", **overrides: Any) -> Organization:
    return services.create_organization(
        **{"name": name, "reason": REASON, "actor": TESTER, **overrides}
    )


# --- create_organization ---------------------------------------------------------------


def test_an_organization_starts_active_on_the_free_tier_with_a_slug_of_its_name():
    organization = create("Acme Films, Inc.")
    organization.refresh_from_db()
    assert (organization.name, organization.slug) == ("Acme Films, Inc.", "acme-films-inc")
    assert (organization.tier, organization.is_active) == ("FREE", True)
    assert organization.rate_limit_override is None
    assert Membership.objects.count() == 0


def test_an_owner_who_is_new_becomes_a_user_without_a_password():
    organization = create(owner_email="Ada@Example.com")
    membership = Membership.objects.get()
    assert (membership.organization, membership.role) == (organization, "owner")
    user = membership.user
    assert (user.email, user.username) == ("ada@example.com", "ada@example.com")
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (False, False, False)


def test_an_owner_who_is_known_owns_two_organizations():
    user = make_user(email="ada@example.com")
    create("One", owner_email="ada@example.com")
    create("Two", owner_email="ADA@example.com")
    assert User.objects.count() == 1
    assert user.memberships.count() == 2


def test_a_name_that_is_taken_is_a_conflict_and_changes_nothing():
    create("Acme")
    with pytest.raises(Conflict) as refusal:
        create("ACME!", owner_email="ada@example.com")
    assert refusal.value.error_code == "organization_exists"
    assert refusal.value.message == (
        'There is an organization "acme" already. Choose another name.'
    )
    assert (Organization.objects.count(), User.objects.count()) == (1, 0)


@pytest.mark.parametrize("name", ["", "   ", "!!!", "日本語"])
def test_a_name_of_which_no_slug_can_be_made_is_refused(name):
    with pytest.raises(Invalid, match="at least one letter of a to z, or a digit"):
        create(name)
    assert Organization.objects.count() == 0


def test_a_name_may_have_200_characters_and_not_201():
    assert len(create("a" * 200).slug) == 80
    with pytest.raises(Invalid, match="may have 200 characters; this one has 201"):
        create("b" * 201)
    assert Organization.objects.count() == 1


@pytest.mark.parametrize("tier", ["GOLD", "free", ""])
def test_an_unknown_tier_is_refused_with_the_list_of_tiers(tier):
    with pytest.raises(Invalid, match="FREE, STARTER, PRO, BUSINESS, ENTERPRISE"):
        create(tier=tier)
    assert Organization.objects.count() == 0


@pytest.mark.parametrize("email", ["ada", "ada@", "a b@example.com", f"{'a' * 150}@example.com"])
def test_an_owner_needs_an_address_that_can_sign_in(email):
    with pytest.raises(Invalid, match="is not an e-mail address that can sign in"):
        create(owner_email=email)
    assert (Organization.objects.count(), User.objects.count()) == (0, 0)


def test_an_address_that_is_the_name_of_another_user_is_a_conflict():
    make_user(username="ada@example.com", email="someone@example.com")
    with pytest.raises(Conflict) as refusal:
        create(owner_email="ada@example.com")
    assert refusal.value.error_code == "user_exists"
    assert Organization.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_of_twenty_who_create_the_same_name_at_once_one_succeeds():
    results = run_together(20, lambda n: create("Acme", owner_email=f"owner{n}@example.com"))
    assert Counter(type(each).__name__ for each in results) == {"Organization": 1, "Conflict": 19}
    assert (Organization.objects.count(), User.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_ten_organizations_at_once_with_one_new_owner_share_one_user():
    results = run_together(10, lambda n: create(f"Acme {n}", owner_email="ada@example.com"))
    assert {type(each) for each in results} == {Organization}
    assert (User.objects.count(), Membership.objects.count()) == (1, 10)


def test_creating_an_organization_is_logged_with_its_actor(caplog):
    caplog.set_level(logging.INFO)
    organization = create(actor=Actor.of_command("create_org"))
    (record,) = [each for each in caplog.records if each.message == "organization created"]
    assert (record.org, record.actor) == (str(organization.pk), "command:create_org")


# --- change_tier -----------------------------------------------------------------------


def test_a_change_of_tier_is_immediate_and_says_what_it_was(caplog):
    caplog.set_level(logging.INFO)
    organization = make_organization(tier="FREE")
    changed = services.change_tier(
        organization=organization, tier="PRO", reason="upgraded by phone", actor=TESTER
    )
    assert changed == ("FREE", "PRO")
    assert organization.tier == "PRO"
    assert Organization.objects.get().tier == "PRO"
    (record,) = [each for each in caplog.records if each.message == "tier changed"]
    assert (record.before, record.after, record.reason, record.actor) == (
        "FREE",
        "PRO",
        "upgraded by phone",
        "system:test",
    )


@pytest.mark.parametrize("reason", ["", "  \n", "upgraded "])
def test_a_change_of_tier_needs_a_reason_that_says_something(reason):
    organization = make_organization(tier="FREE")
    with pytest.raises(Invalid, match="a reason of at least 10 characters"):
        services.change_tier(organization=organization, tier="PRO", reason=reason, actor=TESTER)
    assert (organization.tier, Organization.objects.get().tier) == ("FREE", "FREE")


def test_a_change_to_an_unknown_tier_changes_nothing():
    organization = make_organization(tier="FREE")
    with pytest.raises(Invalid, match='There is no tier "GOLD"'):
        services.change_tier(organization=organization, tier="GOLD", reason=REASON, actor=TESTER)
    assert (organization.tier, Organization.objects.get().tier) == ("FREE", "FREE")


def test_a_change_of_tier_leaves_the_rest_of_a_stale_row_alone():
    organization = make_organization(tier="FREE")
    Organization.objects.update(is_active=False, name="Renamed")
    services.change_tier(organization=organization, tier="PRO", reason=REASON, actor=TESTER)
    stored = Organization.objects.get()
    assert (stored.tier, stored.is_active, stored.name) == ("PRO", False, "Renamed")


@pytest.mark.django_db(transaction=True)
def test_changes_of_tier_at_once_form_one_chain():
    organization = make_organization(tier="FREE")
    tiers = ["STARTER", "PRO", "BUSINESS", "ENTERPRISE"]
    changes = run_together(
        4,
        lambda n: services.change_tier(
            organization=Organization.objects.get(), tier=tiers[n], reason=REASON, actor=TESTER
        ),
    )
    organization.refresh_from_db()
    steps = dict(each for each in changes if not isinstance(each, Exception))
    tier, seen = "FREE", 0
    while tier in steps:
        tier, seen = steps[tier], seen + 1
    assert (tier, seen) == (organization.tier, 4)


# --- the limit of its own, and suspension ----------------------------------------------


def test_a_limit_of_its_own_is_set_and_cleared_and_logged_with_its_actor(caplog):
    caplog.set_level(logging.INFO)
    organization = make_organization()

    def override(limit: int | None) -> tuple[int | None, int | None]:
        return services.override_rate_limit(
            organization=organization, requests_per_minute=limit, reason=REASON, actor=TESTER
        )

    assert [override(50), override(None)] == [(None, 50), (50, None)]
    assert Organization.objects.get().rate_limit_override is organization.rate_limit_override
    records = [each for each in caplog.records if each.message == "rate limit overridden"]
    assert [(each.before, each.after, each.actor) for each in records] == [
        (None, 50, "system:test"),
        (50, None, "system:test"),
    ]


@pytest.mark.parametrize("limit", [0, -1, services.MAX_RATE + 1, 2**63])
def test_a_limit_that_is_none_changes_nothing(limit):
    organization = make_organization()
    with pytest.raises(Invalid, match="a number of requests from 1 to 1000000"):
        services.override_rate_limit(
            organization=organization, requests_per_minute=limit, reason=REASON, actor=TESTER
        )
    assert Organization.objects.get().rate_limit_override is None


def test_suspending_and_restoring_say_once_that_they_did(caplog):
    caplog.set_level(logging.INFO)
    organization = make_organization()
    for act, is_active in ((services.suspend, False), (services.restore, True)):
        done = [act(organization=organization, reason=REASON, actor=TESTER) for _ in range(2)]
        assert done == [True, False]
        assert (organization.is_active, Organization.objects.get().is_active) == (is_active,) * 2
    said = [(each.message, each.actor) for each in caplog.records if hasattr(each, "actor")]
    assert said[-2:] == [
        ("organization suspended", "system:test"),
        ("organization restored", "system:test"),
    ]


# --- API keys --------------------------------------------------------------------------


def create_key(organization: Organization, **overrides: Any) -> services.NewKey:
    return services.create_api_key(
        **{
            "organization": organization,
            "name": "test",
            "reason": REASON,
            "actor": TESTER,
            **overrides,
        }
    )


def test_a_key_is_stored_as_a_digest_and_its_text_is_nowhere():
    organization = make_organization()
    new = create_key(organization, name="ci")
    stored = APIKey.objects.values().get()
    assert (stored["name"], stored["prefix"]) == ("ci", new.secret[8:16])
    assert len(stored["digest"]) == 64
    assert new.secret[17:] not in str(stored)
    assert (stored["last_used_at"], stored["expires_at"], stored["revoked_at"]) == (None,) * 3


def test_the_text_of_a_key_is_never_logged(caplog):
    caplog.set_level(logging.DEBUG)
    new = create_key(make_organization())
    services.revoke_api_key(api_key=new.api_key, reason=REASON, actor=TESTER)
    logged = str([vars(record) for record in caplog.records])
    assert new.api_key.prefix in logged
    assert new.secret[17:] not in logged


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("", "needs a name"), (" ", "needs a name"), ("a" * 101, "may have 100 characters")],
)
def test_a_key_needs_a_name_of_at_most_100_characters(name, sentence):
    with pytest.raises(Invalid, match=sentence):
        create_key(make_organization(), name=name)
    assert APIKey.objects.count() == 0


def test_a_key_that_would_have_expired_already_is_refused():
    yesterday = timezone.now() - datetime.timedelta(days=1)
    with pytest.raises(Invalid, match="would have expired already"):
        create_key(make_organization(), expires_at=yesterday)
    assert APIKey.objects.count() == 0


def test_revoking_says_once_that_it_did():
    api_key = make_api_key(make_organization()).api_key
    assert services.revoke_api_key(api_key=api_key, reason=REASON, actor=TESTER) is True
    revoked_at = APIKey.objects.get().revoked_at
    assert revoked_at is not None
    assert services.revoke_api_key(api_key=api_key, reason=REASON, actor=TESTER) is False
    assert APIKey.objects.get().revoked_at == revoked_at


@pytest.mark.django_db(transaction=True)
def test_of_ten_who_revoke_a_key_at_once_one_did_it():
    api_key = make_api_key(make_organization()).api_key
    results = run_together(
        10, lambda _: services.revoke_api_key(api_key=api_key, reason=REASON, actor=TESTER)
    )
    assert Counter(results) == {False: 9, True: 1}


def test_the_first_use_of_a_key_is_written_and_its_cached_row_forgotten():
    api_key = make_api_key(make_organization()).api_key
    with statements(access=True) as said:
        services.record_key_use(api_key=api_key)
    assert said == ["SELECT orgs_apikey", "UPDATE orgs_apikey", "SELECT orgs_apikey"]
    assert APIKey.objects.get().last_used_at is not None


def test_a_use_within_the_hour_costs_no_query_and_after_it_is_written():
    api_key = make_api_key(make_organization()).api_key
    first = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
    with time_machine.travel(first, tick=False) as clock:
        services.record_key_use(api_key=api_key)
        for minutes, updates, written in [(0, 0, 0), (59, 0, 0), (60, 1, 60), (119, 0, 60)]:
            clock.move_to(first + datetime.timedelta(minutes=minutes))
            api_key.refresh_from_db()
            with statements(access=True) as said:
                services.record_key_use(api_key=api_key)
            assert said.count("UPDATE orgs_apikey") == updates
            assert bool(said) == bool(updates)
            api_key.refresh_from_db()
            assert api_key.last_used_at == first + datetime.timedelta(minutes=written)


def test_a_stale_copy_of_the_key_does_not_write_its_use_again():
    api_key = make_api_key(make_organization()).api_key
    first = datetime.datetime(2026, 11, 1, 12, tzinfo=datetime.UTC)
    with time_machine.travel(first, tick=False) as clock:
        services.record_key_use(api_key=api_key)
        clock.shift(60)
        assert api_key.last_used_at is None
        services.record_key_use(api_key=api_key)
    api_key.refresh_from_db()
    assert api_key.last_used_at == first

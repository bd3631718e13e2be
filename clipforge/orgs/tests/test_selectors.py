"""Look-ups of an organization or a key by what operators type, and the limits of a tier."""

from __future__ import annotations

import pytest

from clipforge.common.errors import NotFound
from clipforge.devtools.testing.factories import make_api_key, make_organization
from clipforge.orgs import selectors
from clipforge.orgs.models import APIKey, Organization, TierLimits

pytestmark = pytest.mark.django_db

# Requests per minute, jobs at once, longest source in seconds, days of retention, credits a month.
LIMITS = {
    "FREE": (50, 1, 1800, 7, 60),
    "STARTER": (100, 2, 3600, 30, 300),
    "PRO": (200, 4, 7200, 60, 1000),
    "BUSINESS": (500, 8, 14400, 90, 4000),
    "ENTERPRISE": (1000, 16, 14400, 365, 20000),
}


def test_an_organization_is_found_by_id_slug_and_exact_name():
    organization = make_organization(name="Acme Films")
    make_organization(name="Other")
    for text in (str(organization.pk), organization.pk.hex, "acme-films", "Acme Films"):
        assert selectors.find_organization(text) == organization


@pytest.mark.parametrize("text", ["", "acme", "ACME FILMS", "0190-not-an-id", "%", "\u2603"])
def test_nothing_else_finds_an_organization(text):
    make_organization(name="Acme Films")
    with pytest.raises(NotFound, match="No organization has the id, slug or name"):
        selectors.find_organization(text)


def test_a_name_that_is_the_slug_of_another_organization_is_refused_as_ambiguous():
    make_organization(name="Acme")
    Organization.objects.create(name="acme", slug="acme-two")
    with pytest.raises(
        NotFound, match='More than one organization has the id, slug or name "acme"'
    ):
        selectors.find_organization("acme")


def test_a_key_is_found_by_id_by_prefix_and_by_its_text():
    new = make_api_key(make_organization())
    prefix = new.api_key.prefix
    for text in (str(new.api_key.pk), prefix, f"cf_live_{prefix}", new.secret):
        assert selectors.find_api_key(text) == new.api_key


def test_an_id_never_finds_the_key_whose_prefix_it_begins_with():
    wanted = make_api_key(make_organization()).api_key
    other = make_api_key(make_organization()).api_key
    APIKey.objects.filter(pk=other.pk).update(prefix=str(wanted.pk)[:8])
    assert selectors.find_api_key(str(wanted.pk)) == wanted


def test_a_prefix_with_something_after_it_finds_nothing():
    prefix = make_api_key(make_organization()).api_key.prefix
    for text in (f"{prefix}x", prefix[:7], prefix.swapcase(), "", "cf_live_"):
        with pytest.raises(NotFound, match="No API key has the id or prefix"):
            selectors.find_api_key(text)


def test_every_tier_has_the_limits_of_the_product():
    rows = {
        each.tier: (
            each.requests_per_minute,
            each.concurrent_jobs,
            each.max_source_seconds,
            each.retention_days,
            each.monthly_credits,
        )
        for each in TierLimits.objects.all()
    }
    assert rows == LIMITS


def test_a_change_of_limits_in_the_admin_holds_at_once():
    organization = make_organization(tier="FREE")
    TierLimits.objects.filter(tier="FREE").update(requests_per_minute=70)
    assert selectors.limits_of(organization).requests_per_minute == 70


@pytest.mark.parametrize("override", [0, 7, 100_000])
def test_an_override_replaces_the_requests_per_minute_and_nothing_else(override):
    organization = make_organization(tier="PRO")
    organization.rate_limit_override = override
    limits = selectors.limits_of(organization)
    assert (limits.requests_per_minute, limits.concurrent_jobs) == (override, 4)
    assert TierLimits.objects.get(tier="PRO").requests_per_minute == 200

"""GET /api/v1/me"""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.devtools.testing.factories import make_api_key, make_client, make_organization
from clipforge.devtools.testing.queries import round_trips
from clipforge.orgs.models import Organization, TierLimits

pytestmark = pytest.mark.django_db

ME = "/api/v1/me"


def stamp(moment: datetime.datetime | None) -> str:
    assert moment is not None
    return moment.isoformat().replace("+00:00", "Z")


def test_me_tells_the_organization_its_limits_and_the_key_in_use():
    organization = make_organization(name="Acme", tier="PRO")
    expires = timezone.now() + datetime.timedelta(days=1)
    api = make_client(organization, name="ci", expires_at=expires)
    response = api.get(ME)
    assert response.status_code == 200
    api_key = organization.api_keys.get()
    assert response.json() == {
        "organization": {
            "id": str(organization.pk),
            "name": "Acme",
            "slug": "acme",
            "tier": "PRO",
            "created_at": stamp(organization.created_at),
        },
        "limits": {
            "requests_per_minute": 200,
            "uploads_per_minute": 20,
            "exports_per_minute": 40,
            "concurrent_jobs": 4,
            "queued_jobs": 200,
            "max_source_seconds": 7200,
            "max_resolution": 1440,
            "watermark": True,
            "retention_days": 60,
            "storage_bytes": 250_000_000_000,
            "monthly_credits": 1000,
        },
        "stored_bytes": 0,
        "api_key": {
            "id": str(api_key.pk),
            "name": "ci",
            "prefix": api_key.prefix,
            "scopes": ["read", "write", "billing", "webhooks", "keys"],
            "created_at": stamp(api_key.created_at),
            "last_used_at": stamp(api_key.last_used_at),
            "expires_at": stamp(expires),
        },
    }


@pytest.mark.django_db(transaction=True)
def test_me_takes_no_query_and_one_round_trip_once_the_key_is_cached(
    api, django_assert_num_queries
):
    first = api.get(ME).json()
    with django_assert_num_queries(0), round_trips() as trips:
        assert api.get(ME).json() == first
    assert trips == ["EVALSHA orgs:key"]


def test_each_key_is_told_about_itself(organization):
    for name in ("one", "two"):
        assert make_client(organization, name=name).get(ME).json()["api_key"]["name"] == name


def test_me_never_shows_a_digest(api, organization):
    digest = organization.api_keys.get().digest
    assert digest not in api.get(ME).content.decode()


def test_a_change_of_tier_shows_on_the_next_request(api, organization):
    Organization.objects.filter(pk=organization.pk).update(tier="FREE")
    body = api.get(ME).json()
    assert (body["organization"]["tier"], body["limits"]["requests_per_minute"]) == ("FREE", 50)


def test_a_change_of_the_limits_shows_on_the_next_request(api):
    TierLimits.objects.filter(tier="PRO").update(requests_per_minute=201)
    assert api.get(ME).json()["limits"]["requests_per_minute"] == 201


def test_an_override_shows_in_place_of_the_tiers_limit(api, organization):
    Organization.objects.filter(pk=organization.pk).update(rate_limit_override=7)
    assert api.get(ME).json()["limits"]["requests_per_minute"] == 7


def test_a_parameter_that_me_does_not_know_is_refused(api):
    response = api.get(ME, {"org": "another"})
    assert (response.status_code, response.json()["code"]) == (422, "unknown_parameter")
    assert response.json()["detail"] == "Unknown query parameter: org. Known here: none."


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_me_can_only_be_read(api, organization, method):
    response = getattr(api, method)(ME, {"organization": {"tier": "ENTERPRISE"}})
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, OPTIONS"
    organization.refresh_from_db()
    assert organization.tier == "PRO"


def test_the_key_of_another_organization_is_told_about_that_one(organization):
    other = make_api_key(make_organization(name="Other"))
    make_api_key(organization)
    response = make_client(other.api_key.organization).get(ME)
    assert response.json()["organization"]["name"] == "Other"

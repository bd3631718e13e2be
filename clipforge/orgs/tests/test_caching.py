"""The cached rows of an organization, its keys and the limits of its tier."""

from __future__ import annotations

import json

import pytest
from django.db import transaction

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import make_api_key, make_organization
from clipforge.orgs import caching, windows
from clipforge.orgs.models import APIKey, Organization, TierLimits

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", [Organization, APIKey, TierLimits])
def test_a_row_that_was_json_has_the_types_of_its_columns(model, organization):
    make_api_key(organization)
    row = model._default_manager.get(pk=model._default_manager.first().pk)
    caching._columns.cache_clear()
    again = caching.from_json(model, json.loads(json.dumps(caching.to_json(row))))
    for field in model._meta.concrete_fields:
        before, after = getattr(row, field.attname), getattr(again, field.attname)
        assert (type(after), after) == (type(before), before), field.name


@pytest.fixture
def invalidated(monkeypatch) -> list[tuple[str, int]]:
    """Key and version of each row that is forgotten from here on."""
    heard: list[tuple[str, int]] = []
    cache = default_cache()
    invalidate = cache.invalidate

    def listen(key: str, version: int) -> None:
        heard.append((key, version))
        invalidate(key, version)

    monkeypatch.setattr(cache, "invalidate", listen)
    return heard


def test_of_a_row_that_is_deleted_every_version_is_forgotten(organization, invalidated):
    make_organization()
    caching.deleting(organization)
    assert invalidated == [(f"orgs:organization:{organization.pk}", 2)]


def test_rows_that_are_changed_in_bulk_are_forgotten_and_no_others(organization, invalidated):
    make_organization()
    caching.rows_changed(Organization, [organization.pk])
    assert invalidated == [(f"orgs:organization:{organization.pk}", 1)]


def test_windows_that_are_forgotten_begin_anew(organization):
    other = make_organization()
    limits = TierLimits.objects.get(tier=organization.tier)
    redis = default_cache().redis
    for org in (organization, other):
        windows.charge(redis, org, limits, dict.fromkeys(windows.SCOPES, 1))
    windows.forget(redis, organization)
    assert windows.used(redis, organization) == dict.fromkeys(windows.SCOPES, 0)
    assert windows.used(redis, other) == dict.fromkeys(windows.SCOPES, 1)


@pytest.mark.django_db(transaction=True)
def test_whoever_waits_under_a_row_is_told_once_its_change_has_committed(organization):
    with default_cache().redis.pubsub(ignore_subscribe_messages=False) as heard:
        heard.subscribe(caching.channel_of(organization))
        assert heard.get_message(timeout=10)["type"] == "subscribe"
        with transaction.atomic():
            caching.tell_waiting(organization)
            assert heard.get_message() is None
        assert heard.get_message(timeout=10)["type"] == "message"


def test_a_row_that_another_release_cached_without_a_column_is_read_again(
    organization, monkeypatch
):
    make_api_key(organization)
    assert caching.organization(organization.pk) == organization
    cached = caching.to_json(organization)
    del cached["name"]
    monkeypatch.setattr(default_cache(), "get_or_load", lambda *_args, **_options: cached)
    assert caching.organization(organization.pk).name == organization.name

"""Links that stay the same for half of their life."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.urls import resolve

from clipforge.common.cache.backend import default_cache
from clipforge.devtools.testing.factories import make_client, make_export
from clipforge.jobs.caching import list_family, stamp_family
from exports import downloads
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("life", "half"), [(900, 450), (3, 1), (1, 1)])
def test_a_link_is_the_same_for_half_of_its_life_and_leads_to_the_file_to_its_end(
    life: int, half: int, settings
):
    settings.DOWNLOAD_URL_SECONDS = life
    export = make_export()
    begins = NOON + datetime.timedelta(seconds=7 * half)
    with time_machine.travel(begins, tick=False) as clock:
        link = downloads.steady_link(export)
        clock.shift(half - 1)
        assert link == downloads.steady_link(export)
        assert link is not None
        assert link.ends_at == begins + datetime.timedelta(seconds=life)
        token, name = resolve(link.path).kwargs.values()
        target = downloads.target_of(token, name)
        assert (target.key, target.seconds_left) == (export.file_key, life - half + 1)
        clock.shift(1)
        assert downloads.steady_link(export) != link


@pytest.mark.parametrize(
    ("since", "ends_in", "steady"),
    [
        (-31, 900, 30),  # no longer than is asked for
        (-30, 900, 30),
        (-29, 900, 29),
        (-1, 900, 1),
        (0, 900, 30),
        (-29, 12, 12),  # the file is deleted before
        (-29, 0, 0),
    ],
)
def test_links_are_steady_until_the_next_half_begins_or_the_first_of_them_ends(
    since: int, ends_in: int, steady: int, settings
):
    settings.DOWNLOAD_URL_SECONDS = 900
    read_at = NOON + datetime.timedelta(seconds=since)
    ends_at = read_at + datetime.timedelta(seconds=ends_in)
    found = downloads.seconds_steady(ends_at, since=read_at.timestamp(), most=30)
    assert found == pytest.approx(steady, abs=0.001)


@pytest.mark.parametrize(
    ("seconds_before", "retained", "longest"),
    [(400, 3600, 30), (12, 3600, 12), (400, 7, 7), (0.002, 3600, 0), (0, 3600, 30)],
    ids=["long before", "soon anew", "soon deleted", "at its end", "anew"],
)
@pytest.mark.parametrize("path", ["/api/v1/exports/{}", "/api/v1/exports"], ids=["one", "list"])
def test_an_export_is_remembered_no_longer_than_its_link_stays_the_same(
    path: str, seconds_before: float, retained: float, longest: float, settings
):
    settings.DOWNLOAD_URL_SECONDS = 900
    export = make_export()
    client = make_client(export.org)
    now = NOON - datetime.timedelta(seconds=seconds_before)
    Export.objects.filter(pk=export.pk).update(
        expires_at=now + datetime.timedelta(seconds=retained)
    )
    client.get("/api/v1/me")  # the key is known: what reads it takes no time of the page
    with time_machine.travel(now, tick=False):
        shown = client.get(path.format(export.pk)).json()
    assert (shown["results"][0] if "results" in shown else shown)["download_url"]
    left = _seconds_left(export, is_list="results" in shown)
    assert (0 < left <= longest) if longest else left <= 0.002


def _seconds_left(export: Export, *, is_list: bool) -> float:
    """Of what Redis remembers of the export; below zero where that is nothing."""
    family = list_family(Export) if is_list else stamp_family(Export, export.pk)
    left = default_cache().redis.pttl(f"{family}:{export.org_id}" + ":pages" * is_list)
    return left / 1000

"""Exports of a sandbox: short, and marked."""

from __future__ import annotations

import pytest

from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_grant,
    make_organization,
    make_project,
)
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from exports import services
from exports.models import Export
from exports.rendering import _spec

pytestmark = pytest.mark.django_db


def start(org: Organization, start: float, end: float) -> Export:
    make_grant(org, 10)
    project = make_project(org, duration=60)
    return services.start_export(
        project=project, start=start, end=end, aspect="9:16", resolution=480, actor="key:test"
    )


@pytest.fixture
def sandbox() -> Organization:
    org = make_organization(tier="PRO")
    return org_services.ensure_sandbox(organization=org, reason=REASON, actor=TESTER)


@pytest.mark.parametrize(("asked", "made"), [(14.999, 14.999), (15, 15), (15.001, 15), (40, 15)])
def test_fifteen_seconds_of_a_clip_are_made_and_marked(sandbox, asked: float, made: float):
    export = start(sandbox, 5, 5 + asked)
    assert export.end == pytest.approx(5 + made)
    assert _spec(export).is_test


def test_a_live_clip_is_as_long_as_it_was_asked_for_and_has_no_mark():
    export = start(make_organization(tier="PRO"), 5, 45)
    assert (export.end, _spec(export).is_test) == (45, False)


def test_a_sandbox_takes_short_sources_only(sandbox, settings):
    live = sandbox.sandbox_of
    assert org_selectors.limits_of(live).max_source_seconds == 7200
    assert org_selectors.limits_of(sandbox).max_source_seconds == 300
    settings.SANDBOX_SOURCE_SECONDS = 10_000
    assert org_selectors.limits_of(sandbox).max_source_seconds == 7200

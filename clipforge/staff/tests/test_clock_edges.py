"""Pages and permissions that change with the clock: before, on and after the edge."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from billing.models import Alert, PlanPeriod, Price
from billing.tests.makers import make_catalogue
from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Invalid
from clipforge.devtools.testing.clocks import MICROSECOND, around, clocks_at, refuses
from clipforge.devtools.testing.factories import (
    make_api_key,
    make_grant,
    make_project,
)
from clipforge.devtools.testing.staff import make_staff
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import APIKey, Organization, User
from clipforge.staff import tokens
from clipforge.staff.approvals import limits
from clipforge.staff.approvals import selectors as approval_selectors
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.forms import DayField
from clipforge.staff.models import ApprovalRequest
from clipforge.staff.organizations import overview, recent_lists
from clipforge.staff.organizations.forms import KeyForm
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work.selectors import Filters, State
from credits.models import CreditTransaction, LedgerCheck
from credits.reconciling import check_ledger
from projects.models import Project

pytestmark = pytest.mark.django_db

EDGE = datetime.datetime(2026, 12, 15, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def user() -> User:
    return make_staff("superuser")


# --- approvals ------------------------------------------------------------------------------


def make_request(
    user: User, org: Organization, *, ends: datetime.datetime = EDGE
) -> ApprovalRequest:
    """A request whose seven days are over then."""
    return ApprovalRequest.objects.create(
        token=uuid.uuid4(),
        org=org,
        requested_by=user,
        kind="GRANT",
        amount=500,
        grant_kind="PROMO",
        reason="asked for in writing",
        requested_at=ends - approval_selectors.REQUEST_LIFE,
    )


@pytest.fixture
def asked(user: User, organization: Organization) -> ApprovalRequest:
    return make_request(user, organization)


def test_a_request_is_open_for_seven_days(asked):
    assert around(EDGE, approval_selectors.open_requests().count) == [1, 0, 0]


def test_a_request_expires_after_seven_days(asked):
    assert around(EDGE, approval_services.expire_requests) == [0, 1, 1]


def test_credits_with_an_end_are_asked_for_until_that_end(user, organization, settings):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 100
    proposal = Proposal(
        org=organization,
        kind="GRANT",
        amount=101,
        grant_kind="PROMO",
        expires_at=EDGE,
        reason="asked for in writing",
    )

    def ask() -> bool:
        """Whether a second person is asked; False where the end has passed."""
        try:
            with transaction.atomic():
                found = approval_services.submit(
                    proposal, token=uuid.uuid4(), actor=Actor.of_user(user)
                )
        except Invalid:
            return False
        return found.request is not None

    assert around(EDGE, ask) == [True, False, False]


def test_a_request_is_decided_within_seven_days(asked):
    actor = Actor.of_user(make_staff("superuser"))

    def is_late() -> bool:
        return refuses(
            lambda: approval_services.refuse(asked, reason="not agreed with us", actor=actor)
        )

    assert around(EDGE, is_late) == [False, True, True]


def test_the_page_of_a_request_has_its_buttons_for_seven_days(user, organization, staff):
    edge = timezone.now() + datetime.timedelta(minutes=1)
    asked = make_request(user, organization, ends=edge)

    def has_buttons() -> bool:
        answer = staff.get(reverse("admin:approval", args=[asked.pk]))
        return 'name="confirm"' in answer.content.decode()

    assert around(edge, has_buttons) == [True, False, False]


def test_what_one_person_moved_counts_for_a_day(user, organization):
    AuditEntry.objects.create(
        actor=user,
        org=organization,
        verb="grant_credits",
        reason="asked for",
        after={"amount": 70},
        created_at=EDGE - DAY,
    )

    def in_all() -> int:
        return limits.moved_lately(organization, user).in_all

    assert around(EDGE, in_all) == [70, 0, 0]


def test_the_same_transaction_is_asked_about_for_a_day(user, organization):

    make_grant(
        organization,
        70,
        actor=str(Actor.of_user(user)),
        idempotency_key=f"{limits.KEY}{uuid.uuid4()}",
    )
    proposal = Proposal(organization, "GRANT", 70, "asked for", "PROMO")
    created_at = CreditTransaction.objects.get().created_at  # which nothing may change

    def is_same() -> bool:
        return limits.same_lately(proposal, user) is not None

    assert around(created_at + DAY, is_same) == [True, False, False]


def test_a_price_that_one_changed_within_a_day_needs_another(user):
    make_catalogue()
    price = Price.objects.get(code="pack-100", is_active=True)
    AuditEntry.objects.create(
        actor=user,
        verb="change",
        object_type="billing.price",
        object_id=str(price.pk),
        created_at=EDGE - DAY,
    )
    changed = around(EDGE, lambda: limits._changed_lately(price, user))
    assert changed == [True, False, False]


def test_whoever_made_an_account_is_no_second_person_for_thirty_days(user):
    other = make_staff("superuser")
    AuditEntry.objects.create(
        actor=other,
        verb="add",
        object_type="orgs.user",
        object_id=str(user.pk),
        created_at=EDGE - limits.ACQUAINTANCE,
    )
    made = around(EDGE, lambda: limits.made_account_of(other, user))
    assert made == [True, False, False]


# --- forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "works"), [(0, True), (0.001, False)])
def test_a_form_works_for_a_day(user, seconds: float, works: bool):
    """Its text is signed at a whole second."""
    with clocks_at(EDGE):
        text = signing.dumps(["x"], salt=tokens.SALT)
    with clocks_at(EDGE + datetime.timedelta(seconds=tokens.LIFE + seconds)):
        try:
            signing.loads(text, salt=tokens.SALT, max_age=tokens.LIFE)
        except signing.SignatureExpired:
            assert not works
        else:
            assert works


def test_a_day_may_be_chosen_until_it_is_over():
    midnight = EDGE.replace(hour=0)

    def is_refused() -> bool:
        try:
            DayField().clean("2026-12-14")
        except ValidationError:
            return True
        return False

    assert around(midnight, is_refused) == [False, True, True]


@pytest.mark.parametrize(("days", "is_valid"), [(90, True), (91, False)])
def test_a_key_lasts_ninety_days_at_most(days: int, is_valid: bool):
    with clocks_at(EDGE):
        last = (EDGE + days * DAY).date()
        form = KeyForm(
            {
                "name": "a key",
                "expiry": str(last),
                "scopes": ["read"],
                "reason": "asked for in writing",
            }
        )
        assert form.is_valid() is is_valid, form.errors


# --- keys -----------------------------------------------------------------------------------


def test_a_key_is_listed_as_one_that_works_until_its_end(user, organization):
    make_api_key(organization, created_by=user)
    APIKey.objects.update(expires_at=EDGE)
    assert around(EDGE, lambda: org_selectors.active_keys_issued_by(user).count()) == [1, 0, 0]

    def state() -> str:
        row = {"revoked_at": None, "expires_at": EDGE}
        return recent_lists._key_state(row).text

    assert around(EDGE, state) == ["Usable", "Expired", "Expired"]


# --- work -----------------------------------------------------------------------------------


def test_work_waits_long_after_an_hour_and_lacks_its_job_after_a_minute():
    from django.db import connection

    make_project(status="QUEUED")

    def states(edge: datetime.datetime) -> list[list[State]]:
        Project.objects.update(queued_at=EDGE)

        def found() -> list[State]:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (%s)",
                    [timezone.now()],
                )
            rows = work_selectors.find(Filters(states=frozenset(work_selectors.STUCK))).rows
            return [row.state for row in rows]

        return around(edge, found)

    assert states(EDGE + work_selectors.WAITS_LONG) == [[], [], [State.WAITING]]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    assert states(EDGE + work_selectors.MOMENT) == [[], [], [State.UNQUEUED]]


# --- the dashboard --------------------------------------------------------------------------


def test_queued_work_is_late_after_ten_minutes_and_very_late_after_an_hour():
    make_project(status="QUEUED")
    Project.objects.update(queued_at=EDGE)

    def word() -> str:
        counts = dashboard_selectors.collect().counts
        assert counts is not None
        return next(each.badge.word for each in counts.jobs if each.kind == "project")

    ten_minutes, hour = dashboard_selectors.LATE, dashboard_selectors.VERY_LATE
    assert around(EDGE + ten_minutes, word) == ["At work", "At work", "Late"]
    assert around(EDGE + hour, word) == ["Late", "Late", "Very late"]


def test_a_check_of_the_ledger_is_stale_after_three_hours():
    check_ledger(actor="test")
    LedgerCheck.objects.update(checked_at=EDGE)
    state = dashboard_selectors.LedgerState(LedgerCheck.objects.get())
    words = around(EDGE + dashboard_selectors.CHECK_IS_STALE, lambda: state.badge.word)
    assert words == ["Adds up", "Adds up", "Stale"]


@pytest.mark.parametrize(
    ("age", "word"),
    [
        (dashboard_selectors.OLD_TRANSACTION, "Up"),
        (dashboard_selectors.OLD_TRANSACTION + MICROSECOND, "Old transaction"),
    ],
)
def test_a_transaction_is_old_after_five_minutes(age: datetime.timedelta, word: str):
    state = dashboard_selectors.DatabaseState(1, 100, age, 0, 0)
    assert state.badge.word == word


def test_failures_are_counted_for_a_day_and_alerts_are_late_after_five_minutes():
    project = make_project(status="FAILED")
    Project.objects.update(finished_at=EDGE - DAY)
    late = dashboard_selectors.ALERT_IS_LATE
    Alert.objects.create(
        org=project.org, kind="EXPIRING", key="k", subject="s", body="b", created_at=EDGE - late
    )

    def counted() -> tuple[int, int]:
        counts = dashboard_selectors.collect().counts
        assert counts is not None
        failed = next(each.failed for each in counts.jobs if each.kind == "project")
        return failed.value, counts.alerts_late.value

    assert around(EDGE, counted) == [(1, 0), (0, 0), (0, 1)]


def test_an_organizations_failures_are_counted_for_a_day_and_a_month():
    project = make_project(status="FAILED")
    Project.objects.update(created_at=EDGE)

    def failed() -> tuple[Any, Any]:
        figures = overview._figures(project.org, timezone.now())
        names = ("failed_day_project", "failed_month_project")
        found = Organization.objects.annotate(**{name: figures[name] for name in names})
        day, month = found.values_list(*names).get()
        return day, month

    assert around(EDGE + DAY, failed) == [(1, 1), (1, 1), (0, 1)]
    assert around(EDGE + overview.DAYS * DAY, failed) == [(0, 1), (0, 1), (0, 0)]


def test_a_plan_is_shown_from_its_first_moment_until_its_end(organization):
    make_catalogue()
    PlanPeriod.objects.create(
        org=organization,
        price=Price.objects.get(code="plan-pro", is_active=True),
        starts_at=EDGE,
        ends_at=EDGE + DAY,
        credits=0,
    )

    def is_shown() -> bool:
        plan = overview._figures(organization, timezone.now())["plan"]
        return Organization.objects.annotate(plan=plan).filter(plan__isnull=False).exists()

    assert around(EDGE, is_shown) == [False, True, True]
    assert around(EDGE + DAY, is_shown) == [True, False, False]

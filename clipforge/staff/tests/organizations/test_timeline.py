"""Everything that happened to an organization, in one order, page by page."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import payments
from billing import services as billing_services
from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.common.models import uuid7
from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_export,
    make_grant,
    make_organization,
    make_project,
    make_transactions,
    make_user,
)
from clipforge.devtools.testing.queries import statements
from clipforge.orgs import services as org_services
from clipforge.orgs.models import APIKey, Organization
from clipforge.staff.organizations import timeline
from clipforge.staff.organizations.timeline import (
    Entry,
    TimelinePage,
    TimelinePosition,
    position_of,
    timeline_page,
)
from credits import services as credit_services
from credits.models import CreditGrant, CreditTransaction

pytestmark = pytest.mark.django_db

NOON = datetime.datetime(2026, 11, 3, 12, tzinfo=datetime.UTC)
_numbers = itertools.count(1)


def said(org: Organization, kind: str = "") -> list[str]:
    return [entry.what for entry in timeline_page(org, kind=kind).entries]


def make_grants(org: Organization, times: list[datetime.datetime]) -> None:
    make_transactions(org, *((at, "GRANT", 1) for at in times))


def make_keys(org: Organization, times: list[datetime.datetime], **fields: Any) -> None:
    made = APIKey.objects.bulk_create(
        APIKey(
            organization=org,
            name="made",
            prefix=f"{next(_numbers):08}",
            digest="0" * 64,
            **fields,
        )
        for _ in times
    )
    for key, at in zip(made, times, strict=True):
        key.created_at = at
    APIKey.objects.bulk_update(made, ["created_at"], batch_size=500)


def make_actions(org: Organization, times: list[datetime.datetime]) -> None:
    actor = make_user()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            actor=actor, org=org, verb="change", object_label="it", reason="because", created_at=at
        )
        for at in times
    )


def all_pages(org: Organization, size: int, **asked: Any) -> list[list[Entry]]:
    """From the newest to the oldest, as one clicks "older"."""
    found: TimelinePage = timeline_page(org, size=size, **asked)
    pages = [found.entries]
    while found.older:
        found = timeline_page(org, size=size, before=found.older, **asked)
        pages.append(found.entries)
    return pages


def places(pages: list[list[Entry]]) -> list[TimelinePosition]:
    return [entry.place for page in pages for entry in page]


# --- what is said ----------------------------------------------------------------------


def test_every_transaction_of_the_ledger_is_said_with_its_credits_and_why():
    org = make_organization()
    bought = make_grant(org, 1200, kind="PURCHASE", reason="Pack bought", actor="stripe")
    make_grant(org, 5, reason="a present")
    credit_services.adjust(
        org=org, amount=-3, reason="a slip", actor=TESTER, audit=False, idempotency_key="a"
    )
    credit_services.adjust(
        org=org, amount=1, reason="half a slip", actor=TESTER, audit=False, idempotency_key="b"
    )
    project = make_project(org)
    spend = CreditTransaction.objects.get(type="SPEND", reference_id=str(project.pk))
    credit_services.refund(
        transaction=spend, reason="a bad analysis", actor=TESTER, audit=False, idempotency_key="c"
    )
    make_grant(org, 2, reason="for a day")
    CreditGrant.objects.filter(amount=2).update(expires_at=NOON)
    credit_services.expire_grants()
    assert said(org, "credits") == [
        "Ended unused: 2 credits: Unused credits ended",
        "Granted 2 credits: for a day",
        "Gave back 1 credit: a bad analysis",
        "Spent 1 credit: for a test",
        "Granted 1 credit: for a test",
        "Added 1 credit: half a slip",
        "Took away 3 credits: a slip",
        "Granted 5 credits: a present",
        "Bought 1,200 credits: Pack bought",
    ]
    oldest = timeline_page(org, kind="credits").entries[-1]
    assert (oldest.who, oldest.status) == ("Stripe", "1,200 left")
    assert oldest.url == f"/admin/credits/credittransaction/{bought.pk}/change/"


def test_work_is_said_with_its_title_its_state_and_why_it_failed():
    org = make_organization()
    project = make_project(org, title="Town hall")
    make_export(project, aspect="1:1")
    failed = make_project(org, title="Broken", status="FAILED")
    assert [(e.what, e.status, e.state) for e in timeline_page(org, kind="projects").entries] == [
        ("Uploaded ‘Broken’, 1:00 long", "Failed: timed_out", "bad"),
        ("Uploaded ‘Town hall’, 1:00 long", "Ready", "ok"),
    ]
    (export,) = timeline_page(org, kind="exports").entries
    assert export.what == "Asked for an export of ‘Town hall’, 0:10 in 1:1"
    assert (export.status, export.state) == ("Ready", "ok")
    url = timeline_page(org, kind="projects").entries[0].url
    assert url == f"/admin/projects/project/{failed.pk}/change/"


def test_a_key_is_said_when_it_is_issued_and_again_when_it_is_revoked():
    org = make_organization()
    person = make_user(first_name="Ada", last_name="King")
    key = make_api_key(org, name="uploads", created_by=person).api_key
    assert org_services.revoke_api_key(api_key=key, reason=REASON, actor=TESTER)
    revoked, issued = timeline_page(org, kind="keys").entries
    assert revoked.what == f"Revoked the API key ‘uploads’ (cf_live_{key.prefix}_…)"
    assert issued.what == f"Issued the API key ‘uploads’ (cf_live_{key.prefix}_…)"
    assert (issued.who, revoked.who) == ("Ada King", "")
    assert issued.url == revoked.url == f"/admin/orgs/apikey/{key.pk}/change/"


def test_a_payment_is_said_with_its_money_and_what_went_back():
    org = make_organization()
    person = make_user(username="fin@example.com")
    payment = billing_services.record_payment(
        org=org,
        code="plan-pro",
        reference="transfer 1",
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=Actor.of_user(person),
    )
    plan, paid = sorted(timeline_page(org, kind="payments").entries, key=lambda entry: entry.what)
    assert plan.what == f"Began the plan {payment.price.name}, paid by transfer"
    assert (plan.status, plan.state, plan.who) == ("Active", "ok", "")
    assert paid.what == f"Paid $49.00 for {payment.price.name}"
    assert (paid.status, paid.state, paid.who) == ("Paid", "ok", "fin@example.com")
    payments.reverse(payment, payment.amount, reason="all of it was refunded", actor=TESTER)
    paid = next(e for e in timeline_page(org, kind="payments").entries if e.what.startswith("Paid"))
    assert (paid.status, paid.state) == ("Paid, $49.00 went back", "bad")


def test_what_staff_did_is_said_with_who_before_after_and_why():
    org = make_organization(name="Acme")
    person = make_user(username="ada@example.com")
    action = AuditEntry.objects.create(
        actor=person,
        org=org,
        verb="change_tier",
        object_label="Acme",
        before={"tier": "FREE", "rate_limit_override": None},
        after={"tier": "PRO", "rate_limit_override": 1200},
        reason="they pay from today",
    )
    (entry,) = timeline_page(org, kind="staff").entries
    assert (entry.what, entry.who) == ("Changed the tier of Acme", "ada@example.com")
    assert entry.changes == [("tier", "FREE", "PRO"), ("rate limit override", "–", "1,200")]
    assert entry.reason == "they pay from today"
    assert entry.url == f"/admin/audit/auditentry/{action.pk}/change/"


def test_what_did_not_change_is_left_out_and_what_has_one_side_has_no_arrow():
    org = make_organization()
    AuditEntry.objects.create(
        actor=make_user(),
        org=org,
        verb="grant_credits",
        object_label="GRANT +10",
        before={"posted": 5, "held": 3},
        after={"posted": 15, "held": 3, "amount": 10, "ticket": "", "is_active": True},
        reason="for the trouble",
    )
    (entry,) = timeline_page(org).entries
    assert entry.what == "Granted credits: GRANT +10"
    assert entry.changes == [
        ("posted", "5", "15"),
        ("amount", "", "10"),
        ("ticket", "", "–"),
        ("is active", "", "yes"),
    ]


def test_a_verb_that_nobody_told_the_timeline_of_is_shown_as_it_is():
    org = make_organization()
    AuditEntry.objects.create(
        actor=make_user(), org=org, verb="fly_a_kite", object_label="Acme", reason="a nice day"
    )
    assert said(org) == ["Fly a kite: Acme"]


def test_work_and_transactions_name_the_key_the_person_or_the_program_behind_them():
    org, other = make_organization(), make_organization()
    mine, foreign = make_api_key(org, name="mine").api_key, make_api_key(other, name="theirs")
    person = make_user(first_name="Ada")
    for actor in (
        f"key:{mine.prefix}",
        f"key:{foreign.api_key.prefix}",
        f"user:{person.pk}",
        "user:999999999",
        "system:worker",
        "command:create_org",
        "somebody else",
    ):
        make_grant(org, 1, actor=actor)
    assert [entry.who for entry in timeline_page(org, kind="credits").entries][::-1] == [
        "API key ‘mine’",
        f"API key {foreign.api_key.prefix}",
        "Ada",
        "user 999999999",
        "a worker",
        "manage.py create_org",
        "somebody else",
    ]


# --- the order, and pages of it --------------------------------------------------------


def test_all_kinds_are_merged_by_time():
    org = make_organization()
    minutes = [NOON + datetime.timedelta(minutes=number) for number in range(9)]
    make_grants(org, minutes[0::3])
    make_keys(org, minutes[1::3])
    make_actions(org, minutes[2::3])
    assert [entry.at for entry in timeline_page(org).entries] == minutes[::-1]
    assert [entry.kind for entry in timeline_page(org).entries] == ["staff", "keys", "credits"] * 3


@pytest.mark.parametrize("size", [1, 7, 30])
def test_ties_of_all_sources_are_neither_lost_nor_repeated_in_either_direction(size):
    org = make_organization()
    times = [NOON] * 5 + [NOON + datetime.timedelta(microseconds=1)] * 4 + [NOON] * 3
    make_grants(org, times)
    make_keys(org, times, revoked_at=NOON)
    make_actions(org, times)
    pages = all_pages(org, size)
    down = places(pages)
    assert len(down) == len(set(down)) == 4 * len(times)
    assert [place.at for place in down] == sorted((place.at for place in down), reverse=True)
    assert all(len(page) == size for page in pages[:-1])
    # And back up, from the last page to the first.
    up, here = [pages[-1]], timeline_page(org, size=size, before=places(pages)[-len(pages[-1]) - 1])
    while here.newer:
        here = timeline_page(org, size=size, after=here.newer)
        up.append(here.entries)
    assert places(up[::-1]) == down


def test_thousands_of_entries_of_one_moment_are_paged_through_exactly():
    org = make_organization()
    make_grants(org, [NOON] * 1200)
    make_actions(org, [NOON] * 800)
    found = places(all_pages(org, 250))
    assert len(found) == len(set(found)) == 2000
    assert {place.source for place in found[:800]} == {"staff"}
    keys = [place.key for place in found[800:]]
    assert keys == sorted(keys, reverse=True)


@pytest.mark.usefixtures("vacuumed")
def test_a_page_far_down_reads_no_more_than_the_first():
    org = make_organization()
    make_grants(org, [NOON + datetime.timedelta(seconds=number) for number in range(1000)])
    make_grants(org, [NOON] * 800)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE credits_credittransaction")
    deep = places(all_pages(org, 600))[-100]
    assert rows_read(lambda: timeline_page(org, before=deep)) <= 2 * timeline.SIZE + 2
    assert rows_read(lambda: timeline_page(org, after=deep)) <= 2 * timeline.SIZE + 2


def rows_read(run: Any) -> int:
    with captured() as found:
        run()
    return cost_of(found).read


def test_what_comes_while_somebody_reads_moves_nothing():
    org = make_organization()
    make_grants(org, [NOON + datetime.timedelta(seconds=number) for number in range(10)])
    first = timeline_page(org, size=4)
    make_grants(org, [NOON + datetime.timedelta(hours=1)] * 3)
    second = timeline_page(org, size=4, before=first.older)
    times = [entry.at for entry in [*first.entries, *second.entries]]
    assert times == [NOON + datetime.timedelta(seconds=number) for number in range(9, 1, -1)]


def test_the_first_page_has_nothing_newer_and_the_last_nothing_older():
    org = make_organization()
    make_grants(org, [NOON + datetime.timedelta(seconds=number) for number in range(6)])
    first = timeline_page(org, size=3)
    assert (first.newer, first.older) == (None, first.entries[-1].place)
    last = timeline_page(org, size=3, before=first.older)
    assert (last.newer, last.older) == (last.entries[0].place, None)
    again = timeline_page(org, size=3, after=last.newer)
    assert again.entries == first.entries
    assert (again.newer, again.older) == (None, first.entries[-1].place)


def test_a_kind_is_only_its_own():
    org = make_organization()
    make_export(make_project(org))
    make_api_key(org)
    make_actions(org, [NOON])
    for kind in timeline.filters():
        assert {entry.kind for entry in timeline_page(org, kind=kind).entries} <= {kind}
    assert sum(len(timeline_page(org, kind=kind).entries) for kind in timeline.filters()) == len(
        timeline_page(org).entries
    )


def test_what_happened_to_others_is_never_in_it():
    org, other = make_organization(), make_organization()
    make_export(make_project(other))
    org_services.revoke_api_key(api_key=make_api_key(other).api_key, reason=REASON, actor=TESTER)
    make_actions(other, [NOON])
    billing_services.record_payment(
        org=other,
        code="plan-pro",
        reference="transfer 2",
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=TESTER,
    )
    assert len(timeline_page(other).entries) >= 9
    assert timeline_page(org) == TimelinePage([], None, None)


def test_it_takes_two_statements_however_much_there_is():
    org = make_organization()
    key = make_api_key(org).api_key
    for _ in range(3):
        make_grant(org, 1, actor=f"key:{key.prefix}")
        make_grant(org, 1, actor=f"user:{make_user().pk}")
    with statements(access=True) as asked:
        timeline_page(org)
    assert len(asked) == 2


# --- places ----------------------------------------------------------------------------


def test_a_place_is_read_back_as_it_was_written():
    for place in (
        TimelinePosition(NOON, "ledger", 2**63 - 1),
        TimelinePosition(NOON, "project", uuid7()),
    ):
        assert position_of(place.text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "~~",
        "2026-11-03T12:00:00~ledger~1",  # of no time zone
        "2026-11-03T12:00:00+00:00~nowhere~1",
        "2026-11-03T12:00:00+00:00~ledger~x",
        f"2026-11-03T12:00:00+00:00~ledger~{2**63}",
        "2026-11-03T12:00:00+00:00~ledger~-1",
        "2026-11-03T12:00:00+00:00~project~1",
        "2026-11-03T12:00:00+00:00~project~1~2",
    ],
)
def test_what_is_no_place_is_none(text):
    assert position_of(text) is None


# --- its page --------------------------------------------------------------------------


def address(org: Organization) -> str:
    return reverse("admin:organization-timeline", args=[org.pk])


def test_the_page_leads_to_older_and_back_and_keeps_its_kind(staff):
    org = make_organization(name="Acme")
    make_grants(org, [NOON] * 40)
    make_actions(org, [NOON] * 40)
    first = staff.get(address(org), {"kind": "credits"})
    assert first.status_code == 200
    assert len(first.context["entries"]) == timeline.SIZE
    second = staff.get(first.context["older"])
    assert len(second.context["entries"]) == 10
    assert {entry.kind for entry in second.context["entries"]} == {"credits"}
    assert second.context["older"] == ""
    back = staff.get(second.context["newer"])
    assert back.context["entries"] == first.context["entries"]
    assert staff.get(second.context["newest"]).context["entries"] == first.context["entries"]


def test_what_is_newer_than_the_newest_is_the_first_page(staff):
    org = make_organization()
    make_grants(org, [NOON] * 2)
    newest = timeline_page(org).entries[0].place
    response = staff.get(address(org), {"after": newest.text})
    assert [entry.place for entry in response.context["entries"]] == [
        entry.place for entry in timeline_page(org).entries
    ]


@pytest.mark.parametrize(
    "asked", [{"kind": "gossip"}, {"before": "nonsense"}, {"after": "\x00"}, {"before": "~ledger~"}]
)
def test_what_cannot_be_read_of_the_address_is_left_out(staff, asked):
    org = make_organization()
    make_grants(org, [NOON] * 2)
    response = staff.get(address(org), asked)
    assert response.status_code in {200, 400}
    if response.status_code == 200:
        assert len(response.context["entries"]) == 2


def test_an_organization_that_is_not_there_has_no_timeline(staff):
    gone = reverse("admin:organization-timeline", args=[uuid7()])
    assert staff.get(gone).status_code == 404


def test_who_is_staff_but_may_see_no_organizations_is_refused():
    client = Client()
    client.force_login(make_user(is_staff=True))
    assert client.get(address(make_organization())).status_code == 403


def test_names_titles_and_reasons_are_text_and_never_markup(staff):
    evil = "<script>alert(1)</script>"
    org = make_organization(name=f"Acme {evil}")
    make_export(make_project(org, title=evil))
    make_api_key(org, name=evil)
    make_grant(org, 1, reason=evil, actor=evil)
    AuditEntry.objects.create(
        actor=make_user(first_name=evil),
        org=org,
        verb=evil,
        object_label=evil,
        before={evil: evil},
        after={evil: [evil]},
        reason=evil,
    )
    html = staff.get(address(org)).content.decode()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 10

"""The page of an organization: its figures, its lists, what staff can do, and its form."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import services as billing_services
from billing.models import PlanPeriod
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_api_key,
    make_client,
    make_export,
    make_grant,
    make_organization,
    make_project,
    make_transactions,
    make_user,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs import stored
from clipforge.orgs.models import Membership, Organization, TierLimits, User
from clipforge.staff.organizations import overview
from clipforge.staff.roles import ROLES
from credits import services as credit_services
from credits.models import CreditTransaction
from projects.models import Project
from projects.pricing import analysis_charge

pytestmark = pytest.mark.django_db

NOON = datetime.datetime(2026, 11, 3, 12, tzinfo=datetime.UTC)
LONG_AGO = NOON - datetime.timedelta(days=300)
REASON = "asked for by mail"


@pytest.fixture
def dead_redis(settings: Any) -> None:
    """No server listens at the address of Redis."""
    at = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {**settings.CACHES, "default": at}


def address(org: Organization) -> str:
    return reverse("admin:orgs_organization_change", args=[org.pk])


def shown(client: Client, org: Organization) -> dict[str, Any]:
    """The facts of the page, by name: what each says, and its note."""
    response = client.get(address(org))
    assert response.status_code == 200
    return {fact.name: fact for fact in response.context["facts"]}


# --- facts -----------------------------------------------------------------------------


def test_the_facts_are_what_the_tables_say(staff):
    org = make_organization(name="Acme", tier="PRO", credits_=1500)
    owner = make_user(email="owner@example.com")
    Membership.objects.create(user=owner, organization=org, role="owner")
    Membership.objects.create(user=make_user(), organization=org)
    make_project(org, status="READY", size=1_000_000)
    make_project(org, status="QUEUED", size=500_000)
    make_project(org, status="ANALYZING", size=0)
    failed = make_project(org, status="FAILED", size=0)
    project = make_project(org, size=0)
    make_export(project, status="READY", content=b"x" * 250)
    make_export(project, status="FAILED")
    make_export(project, status="EXPIRED", content=b"y" * 999)
    make_export(project, status="RENDERING")
    Project.objects.filter(pk=failed.pk).update(
        created_at=timezone.now() - datetime.timedelta(days=2)
    )
    stored.settle(org.pk)
    facts = shown(staff, org)
    found = {name: fact.value for name, fact in facts.items()}
    assert found["State"] == "Active"
    assert found["Tier"] == "Pro"
    assert found["Available"] == "1,502 credits"  # what the two failures had cost came back
    assert (found["Held"], facts["Held"].note) == ("3 credits", "3 open holds")
    assert found["In all"] == "1,505 credits"
    assert found["Owes"] == "0 credits"
    # The READY project, the one behind the exports, and two exports; and what paid for all nine.
    assert (found["Spent"], facts["Spent"].note) == ("4 credits", "in 30 days; 1,509 came in")
    assert (found["Jobs now"], facts["Jobs now"].note) == ("2 running", "1 waiting")
    assert (found["Failed jobs"], facts["Failed jobs"].note) == ("1 in 24 hours", "2 in 30 days")
    assert found["Storage"] == "1.5 MB of 250.0 GB"
    assert facts["Storage"].note.startswith("1.5 MB of sources, 250 bytes of exports, as of ")
    assert (found["Plan"], facts["Plan"].note) == ("None", "no subscription")
    assert (found["Owner"], facts["Owner"].note) == ("owner@example.com", "2 members")


def test_the_limits_are_the_tiers_unless_there_is_an_override(staff):
    org = make_organization(tier="PRO")
    requests = shown(staff, org)["Requests a minute"]
    assert (requests.value, requests.note) == ("0 of 200", "the limit of the tier")
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=1234)
    requests = shown(staff, org)["Requests a minute"]
    assert (requests.value, requests.note) == ("0 of 1,234", "overridden; the tier has 200")
    TierLimits.objects.filter(tier="PRO").update(concurrent_jobs=7, retention_days=1)
    others = shown(staff, org)["Other limits"]
    assert others.value == "7 jobs at once"
    assert others.note.endswith("files kept 1 day")


def test_the_requests_of_the_last_minute_are_counted(staff):
    org = make_organization()
    client = make_client(org)
    for _ in range(3):
        assert client.get("/api/v1/me").status_code == 200
    assert shown(staff, org)["Requests a minute"].value == "3 of 200"


def test_without_redis_the_page_says_what_it_cannot_know(staff, dead_redis):
    org = make_organization()
    requests = shown(staff, org)["Requests a minute"]
    assert requests.value == "up to 200"
    assert requests.note.endswith("Redis cannot say how many")


def test_what_is_owed_and_what_is_paid_for_are_shown(staff):
    org = make_organization(tier="FREE")
    billing_services.record_payment(
        org=org,
        code="plan-pro",
        reference="transfer 1",
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=TESTER,
    )
    period = PlanPeriod.objects.get()
    plan = shown(staff, org)["Plan"]
    until = f"{period.ends_at:%Y-%m-%d %H:%M:%S} UTC"
    assert (plan.value, plan.note) == (
        f"{period.price.name} until {until}",
        "Active, by transfer",
    )
    grant = CreditTransaction.objects.get(type="GRANT")
    hold = credit_services.reserve(
        org=org,
        charge=analysis_charge(60.0),
        reason="an analysis",
        reference_type="project",
        reference_id="1",
        idempotency_key="spent",
        actor="test",
    )
    assert credit_services.capture(hold_id=hold.pk, fence=0, actor="test")
    credit_services.reverse_grant(
        transaction=grant,
        amount=grant.amount,
        reason="the money went back",
        actor=TESTER,
        audit=False,
        idempotency_key="back",
        reference_type="payment",
        reference_id="1",
    )
    owed = shown(staff, org)["Owes"]
    assert (owed.value, owed.state) == ("1 credit", "bad")


def test_a_suspended_organization_says_so(staff):
    state = shown(staff, make_organization(is_active=False))["State"]
    assert (state.value, state.state) == ("Suspended", "bad")


def test_an_organization_that_did_nothing_has_a_page(staff):
    org = make_organization(name="New")
    html = staff.get(address(org)).content.decode()
    facts = shown(staff, org)
    assert facts["Available"].value == "0 credits"
    assert (facts["Owner"].value, facts["Owner"].note) == ("nobody", "0 members")
    assert facts["Storage"].value == "0 bytes of 250.0 GB"
    assert "Nothing happened yet." in html
    assert html.count("None yet.") == 6
    assert "Nothing happened: " in html


def test_the_storage_is_exact_and_what_it_is_made_of_is_added_up_once_in_a_while(staff):
    org = make_organization()
    make_project(org, size=1000)
    stored.settle(org.pk)
    first = shown(staff, org)["Storage"]
    assert (first.value, first.state) == ("1.0 kB of 250.0 GB", "")
    assert first.note.startswith("1.0 kB of sources, ")
    make_project(org, size=1000)
    stored.settle(org.pk)
    TierLimits.objects.filter(tier="PRO").update(storage_bytes=1999)
    second = shown(staff, org)["Storage"]
    assert (second.value, second.state) == ("2.0 kB of 2.0 kB", "bad")
    assert second.note == first.note
    cache.delete(f"staff:storage:{org.pk}")
    assert shown(staff, org)["Storage"].note.startswith("2.0 kB of sources, ")


# --- the last days ---------------------------------------------------------------------


def moved(row: Any, at: datetime.datetime) -> None:
    type(row).objects.filter(pk=row.pk).update(created_at=at)


def days_of(org: Organization) -> dict[datetime.date, tuple[int, int, int]]:
    days = overview.last_days(org, now=NOON)
    return {
        day.date: (day.spent, day.granted, day.jobs)
        for day in days
        if (day.spent, day.granted, day.jobs) != (0, 0, 0)
    }


def test_each_day_has_what_was_spent_granted_and_begun_on_it():
    org, other = make_organization(), make_organization()
    first = NOON - datetime.timedelta(days=29)
    midnight = NOON.replace(hour=0)
    for owner in (org, other):
        project = make_project(owner, status="UPLOADED")
        moved(project, first)
        for hours in (0, 1):
            moved(make_export(project, status="READY"), midnight + datetime.timedelta(hours=hours))
    make_transactions(org, (LONG_AGO, "GRANT", 1000))
    make_transactions(org, (first.replace(hour=0), "SPEND", -7))
    make_transactions(
        org, (first.replace(hour=0) - datetime.timedelta(microseconds=1), "SPEND", -99)
    )
    make_transactions(org, (midnight - datetime.timedelta(microseconds=1), "SPEND", -3))
    make_transactions(org, (midnight, "SPEND", -2))
    make_transactions(org, (midnight, "SPEND", -1))
    make_transactions(org, (midnight, "GRANT", 50))
    make_transactions(org, (midnight, "PURCHASE", 500))
    make_transactions(org, (midnight, "REFUND", 4))
    make_transactions(org, (midnight, "ADJUST", -8))
    make_transactions(org, (midnight, "EXPIRE", -9))
    assert days_of(org) == {
        first.date(): (7, 0, 1),
        (midnight - datetime.timedelta(days=1)).date(): (3, 0, 0),
        midnight.date(): (3, 550, 2),
    }
    assert len(overview.last_days(org, now=NOON)) == 30


def test_days_that_are_over_are_read_once_and_today_each_time():
    org = make_organization()
    make_transactions(org, (LONG_AGO, "GRANT", 1000))
    yesterday, today = NOON - datetime.timedelta(days=1), NOON
    make_transactions(org, (yesterday, "SPEND", -1))
    make_transactions(org, (today, "SPEND", -2))
    both = {yesterday.date(): (1, 0, 0), today.date(): (2, 0, 0)}
    assert days_of(org) == both
    make_transactions(org, (yesterday, "SPEND", -10))  # as no code can
    make_transactions(org, (today, "SPEND", -20))
    assert days_of(org) == {**both, today.date(): (22, 0, 0)}


def test_a_day_is_over_an_hour_after_its_end():
    org = make_organization()
    make_transactions(org, (LONG_AGO, "GRANT", 1000))
    evening = NOON.replace(hour=23, minute=59)
    night = NOON.replace(hour=0, minute=59) + datetime.timedelta(days=1)
    make_transactions(org, (evening, "SPEND", -1))
    assert overview.last_days(org, now=night)[-2].spent == 1
    make_transactions(org, (evening, "SPEND", -1))  # committed after midnight
    assert overview.last_days(org, now=night)[-2].spent == 2


def test_without_redis_the_days_are_read_each_time(dead_redis):
    org = make_organization()
    make_transactions(
        org, (LONG_AGO, "GRANT", 1000), (NOON - datetime.timedelta(days=1), "SPEND", -1)
    )
    assert list(days_of(org).values()) == [(1, 0, 0)]


def test_the_chart_is_on_the_page_for_who_sees_and_who_does_not(staff):
    org = make_organization(credits_=40)
    make_project(org)
    html = staff.get(address(org)).content.decode()
    assert html.count('role="img"') == 3
    assert "1 credit spent, most on" in html
    assert "41 credits granted or bought, most on" in html
    assert "1 job begun, most on" in html
    assert "<caption>The last 30 days, the newest day first</caption>" in html


# --- lists -----------------------------------------------------------------------------


def panels_of(client: Client, org: Organization) -> dict[str, Any]:
    return {panel.name: panel for panel in client.get(address(org)).context["panels"]}


def test_each_list_has_the_ten_newest_and_the_way_to_all(staff):
    org = make_organization()
    project = make_project(org)
    projects = [project, *(make_project(org, status="UPLOADED") for _ in range(11))]
    for _ in range(11):
        make_export(project, status="FAILED")
        make_api_key(org)
        Membership.objects.create(user=make_user(), organization=org)
        make_grant(org, 1)
    panels = panels_of(staff, org)
    assert {name: len(panel.lines) for name, panel in panels.items()} == {
        "projects": 10,
        "exports": 10,
        "ledger": 10,
        "payments": 0,
        "keys": 10,
        "members": 10,
    }
    assert [line.url for line in panels["projects"].lines] == [
        f"/admin/projects/project/{each.pk}/change/" for each in projects[:1:-1]
    ]
    for panel in panels.values():
        assert staff.get(panel.all_url).status_code == 200


def test_the_way_to_all_shows_those_of_this_organization_and_nobody_elses(staff):
    org, other = make_organization(), make_organization()
    for owner in (org, other):
        make_export(make_project(owner))
        make_api_key(owner)
        Membership.objects.create(user=make_user(), organization=owner)
        billing_services.record_payment(
            org=owner,
            code="plan-pro",
            reference=f"transfer of {owner.pk}",
            paid_on=timezone.now().date(),
            reason="paid by transfer",
            actor=TESTER,
        )
    for panel in panels_of(staff, org).values():
        with CaptureQueriesContext(connection) as queries:
            found = staff.get(panel.all_url).context["cl"].result_list
        assert len(queries) <= 12
        owners = {getattr(row, "org_id", None) or row.organization_id for row in found}
        assert owners == {org.pk}, panel.name


@pytest.mark.usefixtures("vacuumed")
@pytest.mark.parametrize(
    ("panel", "index"),
    [
        ("projects", "projects_project_org_created"),
        ("exports", "exports_export_org_created"),
        ("ledger", "credits_transaction_newest"),
        ("payments", "billing_payment_newest"),
        ("keys", "orgs_apikey_newest"),
    ],
)
def test_the_list_of_one_organization_is_in_the_order_of_its_index(staff, panel, index):
    org = make_organization()
    with CaptureQueriesContext(connection) as queries:
        staff.get(panels_of(staff, org)[panel].all_url)
    table = index.rpartition("_")[0]
    rows = [q["sql"] for q in queries if "ORDER BY" in q["sql"] and 'created_at" DESC' in q["sql"]]
    assert rows, table
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {rows[-1]}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert index in plan
    assert "Sort" not in plan.replace("Incremental Sort", "")


def test_a_filter_by_what_is_no_organization_shows_the_list_unfiltered(staff):
    url = reverse("admin:projects_project_changelist")
    assert staff.get(url, {"org__id__exact": "nonsense"}).status_code == 302


def test_nothing_of_another_organization_is_on_the_page(staff):
    org, other = make_organization(name="Mine"), make_organization(name="Theirs", credits_=77777)
    project = make_project(other, title="Their secret talk", size=10**9)
    make_export(project)
    key = make_api_key(other, name="their key").api_key
    make_grant(other, 55555, reason="their present", kind="PURCHASE")
    member = make_user(username="theirs@example.com")
    Membership.objects.create(user=member, organization=other, role="owner")
    AuditEntry.objects.create(
        actor=make_user(), org=other, verb="change", object_label="Theirs", reason="their reason"
    )
    html = staff.get(address(org)).content.decode()
    for text in ("Their", "their", "77,777", "55,555", "1.0 GB", key.prefix, str(other.pk)):
        assert text not in html, text
    assert "Their secret talk" in staff.get(address(other)).content.decode()


def test_the_digest_and_the_secret_of_a_key_are_nowhere(staff):
    org = make_organization()
    new = make_api_key(org)
    html = staff.get(address(org)).content.decode()
    assert new.api_key.prefix in html
    assert new.secret[17:] not in html
    assert new.api_key.digest not in html


def test_who_may_see_no_members_sees_no_list_of_them():
    user = make_user(is_staff=True)
    client = Client()
    client.force_login(user)
    org = make_organization()
    user.user_permissions.add(Permission.objects.get(codename="view_organization"))
    assert panels_of(client, org) == {}


# --- what it costs ---------------------------------------------------------------------


def busy() -> Organization:
    org = make_organization(credits_=100)
    for _ in range(4):
        project = make_project(org)
        make_export(project)
        key = make_api_key(org).api_key
        Membership.objects.create(user=make_user(), organization=org, role="owner")
        make_grant(org, 1, actor=f"key:{key.prefix}")
        make_grant(org, 1, actor=f"user:{make_user().pk}")
    billing_services.record_payment(
        org=org,
        code="plan-pro",
        reference=f"transfer of {org.pk}",
        paid_on=timezone.now().date(),
        reason="paid by transfer",
        actor=TESTER,
    )
    AuditEntry.objects.create(
        actor=make_user(), org=org, verb="change", object_label="it", reason="because of it"
    )
    return org


@pytest.mark.parametrize("role", ROLES)
def test_the_whole_page_takes_eleven_queries_for_every_role(role):
    """Session, person, phone, two of permissions, the organization, and five for all that is shown.

    A page may take twelve.
    """
    client, org = signed_in(make_staff(role)), busy()
    client.get(address(make_organization()))  # what a process remembers
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address(org)).status_code == 200
    assert len(queries) == 11, "\n".join(query["sql"][:200] for query in queries)


def test_the_page_takes_no_more_queries_without_redis(dead_redis):
    client, org = signed_in(make_staff("support")), busy()
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address(org)).status_code == 200
    assert len(queries) <= 12


# --- actions ---------------------------------------------------------------------------


def labels(client: Client, org: Organization) -> list[str]:
    return [button.label for button in client.get(address(org)).context["buttons"]]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("support", ["Issue an API key", "Allow origins", "Add a webhook"]),
        ("finance", ["Grant credits", "Adjust credits", "Change tier"]),
        (
            "engineer",
            [
                "Override the rate limit",
                "Issue an API key",
                "Allow origins",
                "Add a webhook",
                "Suspend",
            ],
        ),
        (
            "admin",
            [
                "Grant credits",
                "Adjust credits",
                "Change tier",
                "Override the rate limit",
                "Issue an API key",
                "Allow origins",
                "Add a webhook",
                "Suspend",
            ],
        ),
    ],
)
def test_a_role_has_the_buttons_of_what_it_may_do(role, allowed):
    assert labels(signed_in(make_staff(role)), make_organization()) == allowed


def test_what_is_suspended_can_be_restored_and_not_suspended_again():
    org = make_organization(is_active=False)
    assert labels(signed_in(make_staff("engineer")), org)[-1] == "Restore"
    assert "Suspend" not in labels(signed_in(make_staff("engineer")), org)


# --- the form --------------------------------------------------------------------------


def test_a_name_is_changed_with_a_reason_that_stands_in_the_timeline():
    org = make_organization(name="Acme")
    client = signed_in(make_staff("admin"))
    response = client.post(
        address(org), {"name": "Acme Films", "slug": "acme", "audit_reason": REASON}
    )
    assert response.status_code == 302
    entry = client.get(address(org)).context["entries"][0]
    assert entry.what == "Changed Acme Films"
    assert entry.changes == [("name", "Acme", "Acme Films")]
    assert entry.reason == REASON


@pytest.mark.parametrize("role", ["support", "finance", "engineer"])
def test_who_may_not_change_organizations_has_no_form_to_do_it(role):
    org = make_organization(name="Acme")
    client = signed_in(make_staff(role))
    html = client.get(address(org)).content.decode()
    assert 'name="audit_reason"' not in html
    assert client.post(address(org), {"name": "B", "audit_reason": REASON}).status_code == 403
    assert Organization.objects.get().name == "Acme"


ADD = "/admin/orgs/organization/add/"


def test_an_organization_is_added_with_its_owner_and_what_to_do_next_is_said():
    client = signed_in(make_staff("admin"))
    response = client.post(
        ADD,
        {"name": "Acme", "tier": "PRO", "owner_email": "Ada@Example.com", "audit_reason": REASON},
        follow=True,
    )
    org = Organization.objects.get()
    assert response.redirect_chain == [(address(org), 302)]
    assert (org.name, org.slug, org.tier) == ("Acme", "acme", "PRO")
    assert Membership.objects.get(organization=org).user.email == "ada@example.com"
    assert "Next: issue an API key for it" in response.content.decode()
    action = AuditEntry.objects.get()
    assert (action.verb, action.org, action.object_id) == ("add", org, str(org.pk))
    assert action.after == {"name": "Acme", "tier": "PRO", "owner_email": "Ada@Example.com"}


@pytest.mark.parametrize(
    ("input_", "said"),
    [
        ({"name": "Taken"}, "There is an organization &quot;taken&quot; already"),
        ({"name": "…"}, "The name needs at least one letter"),
        ({"name": "Acme", "owner_email": "nobody"}, "Enter a valid email address"),
        ({"name": "Acme", "tier": "GOLD"}, "Select a valid choice"),
        ({"name": "Acme", "audit_reason": "ok"}, "at least 10 characters"),
    ],
)
def test_what_is_refused_is_said_on_the_form_which_keeps_its_input(input_, said):
    make_organization(name="Taken")
    input_ = {"tier": "PRO", "owner_email": "", "audit_reason": REASON, **input_}
    response = signed_in(make_staff("admin")).post(ADD, input_)
    html = response.content.decode()
    assert response.status_code == 200
    assert said in html
    assert f'value="{input_["name"]}"' in html
    assert Organization.objects.count() == 1
    assert not AuditEntry.objects.exists()
    assert not User.objects.filter(is_staff=False).exists()


def test_a_form_sent_twice_makes_one_organization():
    client = signed_in(make_staff("admin"))
    input_ = {"name": "Acme", "tier": "FREE", "owner_email": "", "audit_reason": REASON}
    assert client.post(ADD, input_).status_code == 302
    assert client.post(ADD, input_).status_code == 200
    assert Organization.objects.count() == AuditEntry.objects.count() == 1


def test_names_and_titles_are_text_and_never_markup(staff):
    evil = "<script>alert(1)</script>"
    org = make_organization(name=f"Acme {evil}")
    make_export(make_project(org, title=evil))
    make_api_key(org, name=evil)
    make_grant(org, 1, reason=evil)
    Membership.objects.create(user=make_user(username=evil), organization=org)
    html = staff.get(address(org)).content.decode()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 10


def test_the_page_has_no_style_attribute_no_handler_and_no_script_in_it(staff):
    org = busy()
    html = staff.get(address(org)).content.decode()
    main = html.split('id="content"')[1].split("<footer")[0]
    assert "style=" not in main
    assert " onclick=" not in main
    for tag in main.split("<script")[1:]:
        assert " src=" in tag.split(">")[0]


# --- the list of organizations ---------------------------------------------------------


def test_the_list_shows_what_each_has_left(staff):
    make_organization(name="Poor")
    rich = make_organization(name="Rich", credits_=12345)
    make_project(rich, status="QUEUED")
    html = staff.get("/admin/orgs/organization/").content.decode()
    assert '<td class="field-available">12,345</td>' in html
    assert '<td class="field-held">1</td>' in html
    assert '<td class="field-available">0</td>' in html


def test_the_list_takes_as_many_queries_for_fifty_organizations_as_for_one(staff):
    counts = []
    for more in (1, 50):
        for _ in range(more):
            make_organization(credits_=1)
        with CaptureQueriesContext(connection) as queries:
            staff.get("/admin/orgs/organization/")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 12

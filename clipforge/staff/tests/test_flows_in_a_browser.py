"""Money, limits and keys clicked through in a real browser: double clicks, going back, reloading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse

from clipforge.devtools.testing.browser import Visitor, chromium, faults_of, picture, sign_in
from clipforge.devtools.testing.service import running_service
from clipforge.devtools.testing.staff import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Each test has an organization of its own, so that none minds which ran before.
ORGANIZATIONS = [
    "grant",
    "refused",
    "large",
    "issue-key",
    "change-tier",
    "override-limit",
    "suspend",
    "restore",
    "revoke-key",
    "read",
    "money",
    "rescue",
    "day",
    "wrong-grant",
]
# Movements: more than a page of the ledger shows.
MANY = 101
SEED = f"""
import json
from clipforge.orgs import services
from clipforge.audit.models import AuditEntry
from clipforge.orgs.models import User
from clipforge.devtools.testing.factories import REASON, TESTER
from clipforge.devtools.testing.factories import make_api_key, make_grant, make_organization, make_project
from clipforge.devtools.testing.factories import make_export, make_user
from clipforge.orgs.models import Membership
from billing import services as billing_services
from django.utils import timezone
from clipforge.devtools.testing.staff import make_staff
from clipforge.devtools.testing.state import lapse_lease
from credits.tests.makers import make_hold
from projects.models import Project
for name in ("ada", "bob"):
    User.objects.create_superuser(name, name + "@example.com", {PASSWORD!r})
made = {{}}
for name in {ORGANIZATIONS!r}:
    org = make_organization(name=name)
    make_grant(org, 1200)
    make_hold(org, 200)
    made[name] = str((make_api_key(org).api_key if name == "revoke-key" else org).pk)
services.suspend(organization=org.__class__.objects.get(name="restore"), reason=REASON, actor=TESTER)
action = AuditEntry.objects.create(
    actor=User.objects.get(username="bob"), org=org, verb="change_tier", reason="asked for",
    object_label="read", before={{"tier": "FREE"}}, after={{"tier": "PRO"}},
)
made["read"] = str(action.pk)
make_staff("finance", username="fay", email="fay@example.com")
make_staff("engineer", username="eve", email="eve@example.com")
for _ in range({MANY}):
    make_grant(org.__class__.objects.get(name="money"), 1)
org = org.__class__.objects.get(name="rescue")
for title in ("first", "second"):
    make_project(org, status="FAILED", title=title)
for title in ("silent", "stuck"):
    lapse_lease(make_project(org, status="ANALYZING", title=title))
left = make_project(org, status="QUEUED", title="left")
Project.objects.filter(pk=left.pk).update(status="FAILED", finished_at=left.queued_at)
day = org.__class__.objects.get(name="day")
Membership.objects.create(user=make_user(email="jane@day.example"), organization=day, role="owner")
services.change_tier(organization=day, tier="STARTER", reason=REASON, actor=TESTER)
bought = billing_services.record_payment(
    org=day, code="pack-100", reference="TR 77", paid_on=timezone.now().date(), reason=REASON, actor=TESTER
)
film = make_project(day, title="a film")
failed = make_export(film, status="FAILED")
film.org, failed.failure_detail = day, "Killed: it took more than 4 GB."
failed.save(update_fields=["failure_detail"])
made |= {{
    "day-payment": str(bought.pk), "day-export": str(failed.pk),
    "day-key": make_api_key(day).api_key.prefix,
}}
print(json.dumps(made))
"""
REASON = "asked for in writing"


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with running_service() as service:
        yield service


@pytest.fixture(scope="module")
def made(service: Any) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        service.manage("shell", "-v", "0", "-c", SEED).splitlines()[-1]
    )
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


def signed_in(browser: Any, service: Any, name: str) -> Visitor:
    visitor = Visitor(browser, service.url)
    sign_in(visitor, name)
    return visitor


@pytest.fixture(scope="module")
def everywhere(service: Any, made: Any, browser: Any) -> Iterator[Visitor]:
    visitor = signed_in(browser, service, "ada")
    yield visitor
    visitor.close()


@pytest.fixture
def ada(everywhere: Visitor) -> Visitor:
    everywhere.take_faults()
    return everywhere


def url(name: str, pk: str) -> str:
    return reverse(f"admin:{name}", args=[pk])


def fill(visitor: Visitor, **fields: str) -> None:
    for name, value in {"reason": REASON, **fields}.items():
        visitor.page.fill(f"#id_{name}", value)


def said(visitor: Visitor) -> str:
    visitor.page.wait_for_selector(".messagelist li")
    return visitor.page.inner_text(".messagelist")


SEND = "form.cf-form button[type=submit] >> nth=0"


def press_twice(visitor: Visitor) -> None:
    """A double click that both halves reach: the next page never comes in between and gets the second."""
    visitor.page.eval_on_selector(SEND, "button => { button.click(); button.click(); }")


def send(visitor: Visitor, *, double: bool = False) -> None:
    """Press the first button of the form, as people in a hurry do."""
    with visitor.leaving():
        press_twice(visitor) if double else visitor.page.click(SEND)


def test_a_grant_is_made_once_by_a_double_click_and_not_again_by_going_back(ada, made):
    ada.go(url("orgs_organization_change", made["grant"]))
    ada.follow(f"a[href='{url('grant-credits', made['grant'])}']")
    assert faults_of(ada) == []
    fill(ada, amount="300", ticket="T-17", expiry="2099-12-31")
    picture(ada, "grant-form", "light")
    send(ada)
    assert faults_of(ada) == []
    assert "grant gets 300 credits" in ada.page.inner_text("main")
    picture(ada, "grant-confirm", "light")
    # Into a tab of its own, so that this page is still there, as if one had gone back to it.
    ada.page.evaluate("document.querySelector('form.cf-form').target = '_blank'")
    with ada.context.expect_page() as tab:
        press_twice(ada)
    tab.value.wait_for_selector(".messagelist li")
    granted = "300 credits granted. grant has 1,300 credits available now."
    assert granted in tab.value.inner_text(".messagelist")
    tab.value.close()
    ada.page.evaluate(
        "const form = document.querySelector('form.cf-form');"
        "form.target = ''; delete form.dataset.sent"
    )
    send(ada, double=True)
    assert "Nothing more was moved" in said(ada)
    ada.go(url("grant-credits", made["grant"]))
    assert "1,300 credits" in ada.page.inner_text(".cf-facts")
    assert ada.take_faults() == []


def test_a_form_that_does_not_fit_says_so_and_keeps_what_was_typed(ada, made):
    ada.go(url("adjust-credits", made["refused"]))
    fill(ada, amount="-999999")
    send(ada)
    assert "999,999 credits cannot be taken" in ada.page.inner_text("form.cf-form")
    assert ada.page.input_value("#id_amount") == "-999999"
    assert faults_of(ada) == []
    picture(ada, "adjust-refused", "light")


def test_a_large_grant_is_confirmed_by_somebody_else(ada, made, browser, service):
    ada.go(url("grant-credits", made["large"]))
    fill(ada, amount="20000")
    send(ada)
    assert "Ask a second person" in ada.page.inner_text("form.cf-form")
    picture(ada, "grant-second-person", "light")
    send(ada, double=True)
    assert "a second person has to confirm this" in said(ada)
    assert faults_of(ada) == []
    here = ada.page.url.removeprefix(ada.url)
    bob = signed_in(browser, service, "bob")
    bob.go(reverse("admin:approvals"))
    assert faults_of(bob) == []
    picture(bob, "movements", "light")
    bob.follow(f"a[href='{here}']")
    assert faults_of(bob) == []
    picture(bob, "movement", "light")
    fill(bob)
    send(bob, double=True)
    assert "Confirmed. 20,000 credits granted." in said(bob)
    assert faults_of(bob) == []
    bob.close()


def test_a_key_is_shown_once_also_after_a_double_click(ada, made):
    ada.go(url("issue-key", made["issue-key"]))
    assert faults_of(ada) == []
    fill(ada, name="for the robot")
    send(ada, double=True)
    ada.page.wait_for_selector("code")
    assert ada.page.inner_text("code").startswith("cf_live_")
    assert faults_of(ada) == []
    ada.page.reload()
    assert ada.page.locator("code").count() == 0
    assert "was made by this form" in ada.page.inner_text("main")
    assert faults_of(ada) == []


@pytest.mark.parametrize(
    ("name", "fields", "answer"),
    [
        ("change-tier", {}, "is BUSINESS now"),
        ("override-limit", {"requests_per_minute": "77"}, "77 requests a minute now"),
        ("suspend", {"slug": "suspend"}, "is suspended"),
        ("restore", {}, "is active again"),
        ("revoke-key", {}, "is revoked"),
    ],
)
def test_an_action_is_done_by_its_form(ada, made, name, fields, answer):
    ada.go(url(name, made[name]))
    assert faults_of(ada) == []
    if name == "change-tier":
        ada.page.select_option("#id_tier", "BUSINESS")
    fill(ada, **fields)
    picture(ada, name, "light")
    send(ada, double=True)
    assert answer in said(ada)
    assert ada.take_faults() == []


def test_what_staff_did_is_read_as_a_table(ada, made):
    ada.go(url("audit_auditentry_change", made["read"]))
    assert "PRO" in ada.page.inner_text("table.cf-change")
    assert faults_of(ada) == []
    picture(ada, "staff-action", "light")


# --- the tasks of a day, each from the dashboard and in few clicks -----------------------


class Clicks:
    """Somebody who counts each press that they make; typing and choosing from a list is none."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor, self.count = visitor, 0
        visitor.go(reverse("admin:index"))

    def press(self, selector: str) -> str:
        """Press what leads to another page. Its text."""
        self.visitor.follow(selector)
        self.count += 1
        return self.visitor.page.inner_text("#content")

    def find(self, text: str) -> str:
        self.visitor.page.fill("#cf-search", text)
        return self.press(".cf-search button")

    def send(self, **fields: str) -> str:
        fill(self.visitor, **fields)
        return self.press(SEND)


@pytest.fixture
def clicks(ada: Visitor) -> Iterator[Clicks]:
    ada.page.set_viewport_size({"width": 1280, "height": 900})
    yield Clicks(ada)
    assert ada.take_faults() == []


def test_a_customer_is_found_by_a_pasted_mail_in_1_click(clicks):
    page = clicks.find("From: Jane Doe <jane@day.example>,")
    assert page.startswith("day")
    assert clicks.count == 1


def test_why_an_export_failed_and_what_it_cost_takes_1_click_of_2(clicks, made):
    page = clicks.find(f"https://api.example/api/v1/exports/{made['day-export']}")
    assert "Killed: it took more than 4 GB." in page
    assert "nothing was charged" in page
    assert clicks.count == 1


def test_half_of_a_payment_is_refunded_in_4_clicks_of_5(clicks, made):
    clicks.find("TR77")
    clicks.press("text=Refund…")
    assert "Credits before and after" in clicks.send(amount="4.50")
    assert "$4.50" in clicks.press("button[name=confirm]")
    assert clicks.visitor.page.url.endswith(url("billing_payment_change", made["day-payment"]))
    assert "Went back $4.50" in " ".join(clicks.visitor.page.inner_text("#content").split())
    assert clicks.count == 4


def test_a_tier_is_changed_with_its_consequence_shown_in_3_clicks_of_4(clicks, made):
    clicks.find(made["day"])
    page = clicks.press("text=Change tier")
    assert "The limits of the new tier hold from the next request on" in page
    clicks.visitor.page.select_option("#id_tier", "PRO")
    clicks.send()
    assert "Day is PRO now; it was STARTER." in said(clicks.visitor)
    assert clicks.count == 3


def test_a_leaked_key_is_rotated_with_its_owner_told_in_3_clicks_of_4(clicks, made, service):
    clicks.find(f"cf_live_{made['day-key']}")
    assert "The owners and admins get mail" in clicks.press("text=Rotate…")
    clicks.send(hours="0")
    with service.sql() as connection:
        told = connection.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'orgs.mail_rotated'"
        ).fetchone()
    assert told == (1,)
    assert clicks.count == 3


def test_a_wrong_grant_is_undone_in_4_clicks(clicks, made):
    clicks.find(made["wrong-grant"])
    clicks.press("text=Adjust credits")
    assert "Take 3 credits" in clicks.send(amount="-3")
    clicks.press("button[name=confirm]")
    assert "3 credits taken" in said(clicks.visitor)
    assert clicks.count == 4


# --- as the roles that they have --------------------------------------------------------


def test_finance_finds_records_takes_back_refuses_and_downloads(browser, service, made):
    fay = signed_in(browser, service, "fay")
    page = fay.page
    fay.go(f"{reverse('admin:find')}?q=re")
    assert page.locator("main a:text('read')").count() >= 1
    assert faults_of(fay) == []
    # An organization is chosen by typing, which is done by a script of Django's.
    fay.go(reverse("admin:billing_payment_add"))
    page.click(".field-org .select2-selection")
    with page.expect_response(lambda answer: "term=money" in answer.url):
        page.fill(".select2-search__field", "money")
    # Alone: until that answer is there the list has all of them, and gives way under a click.
    page.click(".select2-results__option:only-child:text-is('money')")
    assert page.inner_text(".field-org .select2-selection__rendered").endswith("money")
    page.select_option("#id_price", label=page.inner_text("#id_price option:nth-child(2)"))
    page.fill("#id_reference", "transfer 17")
    page.fill("#id_audit_reason", REASON)
    fay.follow("[name=_save]")
    assert page.locator(".messagelist .success").count() == 1
    assert faults_of(fay) == []
    # Credits are taken back.
    fay.go(url("adjust-credits", made["money"]))
    fill(fay, amount="-7")
    send(fay)
    assert faults_of(fay) == []
    send(fay, double=True)
    assert "7 credits taken" in said(fay)
    # The ledger, there and back.
    fay.go(
        f"{reverse('admin:credits_credittransaction_changelist')}?org__id__exact={made['money']}"
    )
    newest = page.inner_text("#result_list tbody tr:first-child")
    fay.follow("a[rel=next]")
    assert newest not in page.inner_text("#result_list")
    assert faults_of(fay) == []
    fay.follow("a[rel=prev]")
    assert page.inner_text("#result_list tbody tr:first-child") == newest
    fay.follow("text=Download as CSV")
    assert faults_of(fay) == []
    with page.expect_download() as download:
        page.click("button:text-is('Ledger')")
    assert f"# end: {MANY + 3} rows" in download.value.path().read_text()
    # And all that happened to the organization.
    fay.go(url("organization-timeline", made["money"]))
    fay.follow("a[rel=next]")
    assert faults_of(fay) == []
    # Asked for by Ada, refused by Fay.
    ada = signed_in(browser, service, "ada")
    ada.go(url("grant-credits", made["money"]))
    fill(ada, amount="30000")
    send(ada)
    send(ada)
    assert "a second person has to confirm this" in said(ada)
    page.goto(ada.page.url)
    fill(fay)
    fay.follow("[name=refuse]")
    assert "Refused" in said(fay)
    assert faults_of(fay) == []
    ada.close()
    fay.close()


def test_an_engineer_rescues_many_at_once_and_one_by_one(browser, service, made):
    eve = signed_in(browser, service, "eve")
    page = eve.page
    rescue = f"{reverse('admin:rescue')}?org={made['rescue']}"

    def confirmed(picture_of: str) -> str:
        """The text of the page after the confirmation, after both pages were audited."""
        assert faults_of(eve) == []
        picture(eve, picture_of, "light")
        page.fill("[name=reason]", REASON)
        send(eve, double=True)
        assert faults_of(eve) == []
        return page.inner_text("main")

    eve.go(rescue)
    assert faults_of(eve) == []
    for title in ("first", "second"):
        page.check(f"[aria-label='Choose project {title}']")
    eve.follow("button[name=action]:text('Retry')")
    assert "2 of 2 will be queued again" in page.inner_text("main")
    assert "2 done, 0 skipped" in confirmed("rescue-confirm")
    for button in ("Requeue project silent", "Cancel project stuck", "Release hold project left"):
        eve.go(rescue)
        eve.follow(f"button[aria-label='{button}']")
        assert "1 done, 0 skipped" in confirmed("rescue-one")
    eve.close()

"""Money, limits and keys clicked through in a real browser: double clicks, going back, reloading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse

from clipforge.testing.browser import (
    HEIGHT,
    WIDTHS,
    Visitor,
    chromium,
    faults_of,
    sign_in,
)
from clipforge.testing.service import ROOT, running_service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCREENSHOTS = ROOT / ".clipforge" / "screenshots"
PASSWORD = "correct horse battery"
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
]
SEED = f"""
import json
from clipforge.orgs import services
from clipforge.orgs.models import StaffAction, User
from clipforge.testing.factories import make_api_key, make_grant, make_organization
from credits.tests.makers import make_hold
for name in ("ada", "bob"):
    User.objects.create_superuser(name, name + "@example.com", {PASSWORD!r})
made = {{}}
for name in {ORGANIZATIONS!r}:
    org = make_organization(name=name)
    make_grant(org, 1200)
    make_hold(org, 200)
    made[name] = str((make_api_key(org).api_key if name == "revoke-key" else org).pk)
services.suspend(organization=org.__class__.objects.get(name="restore"), actor="test")
action = StaffAction.objects.create(
    actor=User.objects.get(username="bob"), org=org, verb="change_tier", reason="asked for",
    object_label="read", before={{"tier": "FREE"}}, after={{"tier": "PRO"}},
)
made["read"] = str(action.pk)
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
    sign_in(visitor, name, PASSWORD)
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


def picture(visitor: Visitor, name: str) -> None:
    """For people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    visitor.page.emulate_media(color_scheme="light")
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": HEIGHT})
        visitor.page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True)


def fill(visitor: Visitor, **fields: str) -> None:
    for name, value in {"reason": REASON, **fields}.items():
        visitor.page.fill(f"#id_{name}", value)


def said(visitor: Visitor) -> str:
    visitor.page.wait_for_selector(".messagelist li")
    return visitor.page.inner_text(".messagelist")


def send(visitor: Visitor, *, double: bool = False) -> None:
    """Press the first button of the form, as people in a hurry do."""
    button = visitor.page.locator("form.cf-form button[type=submit]").first
    button.dblclick() if double else button.click()
    visitor.page.wait_for_load_state()


def test_a_grant_is_made_once_by_a_double_click_and_not_again_by_going_back(ada, made):
    ada.go(url("orgs_organization_change", made["grant"]))
    ada.page.click(f"a[href='{url('grant-credits', made['grant'])}']")
    assert faults_of(ada) == []
    fill(ada, amount="300", ticket="T-17", expiry="2099-12-31")
    picture(ada, "grant-form")
    send(ada)
    assert faults_of(ada) == []
    assert "grant gets 300 credits" in ada.page.inner_text("main")
    picture(ada, "grant-confirm")
    # Into a tab of its own, so that this page is still there, as if one had gone back to it.
    ada.page.evaluate("document.querySelector('form.cf-form').target = '_blank'")
    with ada.context.expect_page() as tab:
        send(ada, double=True)
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
    picture(ada, "adjust-refused")


def test_a_large_grant_is_confirmed_by_somebody_else(ada, made, browser, service):
    ada.go(url("grant-credits", made["large"]))
    fill(ada, amount="20000")
    send(ada)
    assert "Ask a second person" in ada.page.inner_text("form.cf-form")
    picture(ada, "grant-second-person")
    send(ada, double=True)
    assert "a second person has to confirm this" in said(ada)
    assert faults_of(ada) == []
    here = ada.page.url.removeprefix(ada.url)
    bob = signed_in(browser, service, "bob")
    bob.go(reverse("admin:movements"))
    assert faults_of(bob) == []
    picture(bob, "movements")
    bob.page.click(f"a[href='{here}']")
    assert faults_of(bob) == []
    picture(bob, "movement")
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
    picture(ada, name)
    send(ada, double=True)
    assert answer in said(ada)
    assert ada.take_faults() == []


def test_what_staff_did_is_read_as_a_table(ada, made):
    ada.go(url("orgs_staffaction_change", made["read"]))
    assert "PRO" in ada.page.inner_text("table.cf-change")
    assert faults_of(ada) == []
    picture(ada, "staff-action")

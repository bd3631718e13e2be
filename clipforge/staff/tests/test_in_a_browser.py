"""The admin as staff see it: a real server, a real browser, every page, both themes, both widths.

What staff do all day is clicked through as they do it, and looked at from outside.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Literal

import httpx
import pytest
from django.contrib import admin
from django.urls import reverse

from clipforge.staff.urls import pages
from clipforge.testing.browser import Visitor, chromium
from clipforge.testing.service import ROOT, running_service
from clipforge.testing.staff import code_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = (1280, 390)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HEIGHT = 900
# Build output: looked at by people, never committed.
SCREENSHOTS = ROOT / ".clipforge" / "screenshots"

PASSWORD = "correct horse battery"
REASON = "asked for by mail, ticket 4412"
PEOPLE = ("ada", "bob", "carol")
# Whom the flows act on: of each its primary key, and a key of the API that it uses meanwhile.
CUSTOMERS = ("Granted", "Granted without script", "Granted much", "Moved up", "Unlucky", "Locked")
SEED = f"""
import json
from clipforge.orgs.models import User
from clipforge.testing.factories import make_api_key, make_organization, make_project
from clipforge.testing.rows import MAKERS
for name in {PEOPLE!r}:
    User.objects.create_superuser(name, f"{{name}}@example.com", {PASSWORD!r})
orgs = {{name: make_organization(name=name, tier="PRO") for name in {CUSTOMERS!r}}}
failed = make_project(orgs["Unlucky"], status="FAILED", title="Out of luck")
make_project(orgs["Unlucky"], status="FAILED", title="Left alone")
print(json.dumps({{
    "rows": {{label: str(make().pk) for label, make in MAKERS.items()}},
    "customers": {{
        name: [str(org.pk), make_api_key(org).secret] for name, org in orgs.items()
    }},
    "failed": str(failed.pk),
}}))
"""

MODELS = sorted(model._meta.label for model in admin.site._registry)
# Downloads are no pages.
OWN_PAGES = sorted(
    str(pattern.name)
    for pattern in pages(admin.site)
    if not pattern.pattern.converters and not str(pattern.pattern).endswith(".csv")
)


@pytest.fixture(scope="module")
def service():
    with running_service(STAFF_SECOND_FACTOR="true") as service:
        yield service


@pytest.fixture(scope="module")
def seeded(service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        service.manage("shell", "-v", "0", "-c", SEED).splitlines()[-1]
    )
    return found


@pytest.fixture(scope="module")
def rows(seeded) -> dict[str, str]:
    """The primary key of a row of every model."""
    found: dict[str, str] = seeded["rows"]
    return found


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def sign_in(visitor: Visitor, name: str, next_: str = "/admin/") -> None:
    """As far as the password leads."""
    visitor.go(f"/admin/login/?next={next_}")
    visitor.page.fill("#id_username", name)
    visitor.page.fill("#id_password", PASSWORD)
    visitor.page.press("#id_password", "Enter")
    visitor.page.wait_for_url(lambda url: "/login/" not in url)


def set_up_a_phone(visitor: Visitor) -> list[str]:
    """From the page that asks for it to the page that was asked for. The recovery codes."""
    secret = visitor.page.inner_text(".cf-secret").replace(" ", "")
    visitor.page.fill("[name=code]", code_of(base64.b32decode(secret).hex()))
    visitor.page.press("[name=code]", "Enter")
    visitor.page.wait_for_selector(".cf-codes")
    codes = visitor.page.locator(".cf-codes code").all_inner_texts()
    visitor.page.click("text=I have kept them")
    return codes


@pytest.fixture(scope="module")
def sessions(service, seeded, browser) -> dict[str, Any]:
    """The cookies of people who have signed in for the first time, and set up their phones."""
    found = {}
    for name in ("ada", "bob"):
        visitor = Visitor(browser, service.url)
        sign_in(visitor, name)
        set_up_a_phone(visitor)
        visitor.page.wait_for_selector("#user-tools")
        assert visitor.take_faults() == []
        found[name] = visitor.context.storage_state()
        visitor.close()
    return found


@pytest.fixture(scope="module")
def everywhere(service, browser, sessions):
    """Somebody signed in who opens one page after another."""
    visitor = Visitor(browser, service.url, storage_state=sessions["ada"])
    yield visitor
    visitor.close()


@pytest.fixture
def ada(everywhere):
    everywhere.take_faults()
    return everywhere


def faults_of(visitor: Visitor) -> list[str]:
    """What is wrong with the page that is open, at every width and in both themes."""
    found = visitor.looks("nameless")
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": HEIGHT})
        found += visitor.looks("overflowing")
        for theme in THEMES:
            visitor.page.emulate_media(color_scheme=theme)
            found += [f"{theme}, {width} wide: {fault}" for fault in visitor.looks("faint")]
    return [*visitor.take_faults(), *found]


def of(label: str, page: str) -> str:
    return f"admin:{label.lower().replace('.', '_')}_{page}"


@pytest.mark.parametrize("label", MODELS)
def test_every_list_and_form_of_a_model_is_whole(ada, rows, label):
    faults = []
    for path in (
        reverse(of(label, "changelist")),
        reverse(of(label, "change"), args=[rows[label]]),
        reverse(of(label, "history"), args=[rows[label]]),
    ):
        ada.go(path)
        faults += faults_of(ada)
    for path in (
        reverse(of(label, "add")),
        reverse(of(label, "delete"), args=[rows[label]]),
    ):
        if ada.page.request.get(f"{ada.url}{path}").ok:  # else nobody does it by hand
            ada.go(path)
            faults += faults_of(ada)
    assert faults == []


@pytest.mark.parametrize("name", ["index", "password_change", *OWN_PAGES])
def test_every_page_of_our_own_is_whole(ada, name):
    ada.go(reverse(f"admin:{name}"))
    assert faults_of(ada) == []


def test_a_form_that_is_refused_is_whole_and_says_why(ada):
    ada.go(reverse(of("orgs.Organization", "add")))
    # The browser would keep an empty form back; the server answers for those that do not.
    ada.page.eval_on_selector("#organization_form", "form => { form.noValidate = true; }")
    ada.page.click("[name=_save]")
    ada.page.wait_for_selector(".errorlist")
    assert faults_of(ada) == []


@pytest.mark.parametrize("path", ["/admin/nonsense/", "/admin/orgs/tierlimits/add/"])
def test_a_page_that_is_refused_is_whole(ada, path):
    ada.go(path)
    (expected, *rest) = [
        fault for fault in faults_of(ada) if "console: Failed to load" not in fault
    ]
    assert ("status 40" in expected, rest) == (True, [])


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/docs"])
def test_a_page_for_everybody_is_whole(service, browser, path):
    visitor = Visitor(browser, service.url)
    visitor.go(path)
    if path.endswith("docs"):
        visitor.page.wait_for_selector(".opblock")
        assert visitor.page.locator(".opblock").count() > 20
        assert visitor.take_faults() == []
    else:
        assert faults_of(visitor) == []
    visitor.close()


# --- by keyboard alone -----------------------------------------------------------------


def from_the_start(visitor: Visitor) -> None:
    """The keyboard is where it is when a page has opened, also where Django puts it into a field."""
    visitor.page.evaluate(
        "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
    )


def tab_through(visitor: Visitor) -> list[str]:
    """Press Tab from the start of the page until the focus leaves it. What went wrong on the way."""
    found: list[str] = []
    for _ in range(300):
        visitor.page.keyboard.press("Tab")
        step = visitor.looks("step")
        if step is None:
            return [*found, *visitor.looks("missed")]
        found += step
    raise AssertionError("300 presses of Tab are more than anybody makes")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(
    ("label", "page"),
    [
        ("orgs.Organization", "changelist"),
        ("orgs.Organization", "add"),
        ("orgs.APIKey", "changelist"),
    ],
)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(ada, label, page, theme):
    ada.page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    ada.page.emulate_media(color_scheme=theme)
    ada.go(reverse(of(label, page)))
    from_the_start(ada)
    assert tab_through(ada) == []
    assert ada.take_faults() == []


def test_the_first_stop_of_the_keyboard_skips_the_header(ada):
    ada.go(reverse("admin:orgs_organization_changelist"))
    from_the_start(ada)
    ada.page.keyboard.press("Tab")
    assert ada.page.evaluate("document.activeElement.className") == "skip-to-content-link"
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.press("Tab")
    assert ada.page.evaluate("document.activeElement.closest('main') !== null")


def test_a_form_is_filled_in_and_sent_by_keyboard(ada):
    ada.go(reverse(of("orgs.Organization", "add")))
    typed = {"name": "By keyboard", "slug": "by-keyboard", "audit_reason": "made without a mouse"}
    for _ in range(60):
        name = ada.page.evaluate("document.activeElement.name")
        if text := typed.pop(name, ""):
            ada.page.keyboard.type(text)
        if name == "_save":
            break
        ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_selector(".messagelist .success")
    assert "By keyboard" in ada.page.inner_text(".messagelist")
    assert ada.take_faults() == []


def test_the_theme_is_chosen_by_a_button_and_stays(ada):
    def ground():
        return ada.page.evaluate("getComputedStyle(document.body).backgroundColor")

    ada.page.emulate_media(color_scheme="light")
    ada.go(reverse("admin:index"))
    light = ground()
    ada.page.focus(".theme-toggle")
    ada.page.keyboard.press("Enter")  # from the system's to the other one
    dark = ground()
    assert dark != light
    ada.go(reverse("admin:password_change"))
    assert ground() == dark
    for _ in range(2):  # and round
        ada.page.keyboard.press("Tab")
        ada.page.click(".theme-toggle")
    assert ada.page.evaluate("document.documentElement.dataset.theme") == "auto"
    assert ground() == light


# --- what staff do all day -------------------------------------------------------------


def of_customer(service: Any, seeded: dict[str, Any], name: str, path: str) -> httpx.Response:
    """What the customer's own program is answered now."""
    _, key = seeded["customers"][name]
    return httpx.get(f"{service.url}/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})


def posted(service: Any, seeded: dict[str, Any], name: str) -> int:
    found: int = of_customer(service, seeded, name, "credits/balance").json()["posted"]
    return found


def open_customer(visitor: Visitor, seeded: dict[str, Any], name: str) -> None:
    visitor.go(reverse(of("orgs.Organization", "change"), args=[seeded["customers"][name][0]]))


def ask_for_a_grant(visitor: Visitor, amount: int) -> None:
    """From the page of an organization to the page that says what would happen."""
    visitor.page.click("text=Grant credits")
    visitor.page.fill("[name=amount]", str(amount))
    visitor.page.fill("[name=reason]", REASON)
    visitor.page.click("text=Continue")


@pytest.mark.parametrize(
    ("name", "scripts"), [("Granted", True), ("Granted without script", False)]
)
def test_a_double_click_grants_once(service, browser, sessions, seeded, name, scripts):
    visitor = Visitor(
        browser, service.url, storage_state=sessions["ada"], java_script_enabled=scripts
    )
    open_customer(visitor, seeded, name)
    ask_for_a_grant(visitor, 500)
    assert posted(service, seeded, name) == 0
    visitor.page.dblclick("text=Grant 500 credits")
    visitor.page.wait_for_selector(".messagelist li")
    assert posted(service, seeded, name) == 500
    visitor.close()


def test_much_is_granted_by_a_second_person(service, browser, sessions, seeded, ada):
    name = "Granted much"
    open_customer(ada, seeded, name)
    ask_for_a_grant(ada, 50_000)
    ada.page.click("text=Ask a second person")
    ada.page.wait_for_selector("text=Nothing has moved yet")
    assert ada.page.locator("[name=confirm]").count() == 0  # not by who asked
    assert posted(service, seeded, name) == 0
    bob = Visitor(browser, service.url, storage_state=sessions["bob"])
    bob.go(reverse("admin:movements"))
    bob.page.click("table a >> nth=0")
    bob.page.fill("[name=reason]", REASON)
    bob.page.click("[name=confirm]")
    bob.page.wait_for_selector(".messagelist .success")
    assert posted(service, seeded, name) == 50_000
    assert [*ada.take_faults(), *bob.take_faults()] == []
    bob.close()


def test_a_tier_is_changed_and_the_timeline_says_why(service, seeded, ada):
    open_customer(ada, seeded, "Moved up")
    ada.page.click("text=Change tier")
    ada.page.select_option("[name=tier]", "BUSINESS")
    ada.page.fill("[name=reason]", REASON)
    ada.page.click("button:text('Change tier')")
    ada.page.wait_for_selector(".messagelist .success")
    assert (
        of_customer(service, seeded, "Moved up", "me").json()["organization"]["tier"] == "BUSINESS"
    )
    assert REASON in ada.page.inner_text(".cf-timeline")
    assert ada.take_faults() == []


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(service, seeded, ada):
    def answer(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{service.url}/api/v1/me", headers=headers).status_code

    open_customer(ada, seeded, "Locked")
    ada.page.click("text=Issue an API key")
    ada.page.fill("[name=name]", "By hand")
    ada.page.fill("[name=reason]", REASON)
    ada.page.click("text=Issue the key")
    key = ada.page.inner_text("section code")
    assert answer(key) == 200
    ada.page.click("text=Back to Locked")
    assert key not in ada.page.content()
    ada.page.click("a:text-is('By hand')")
    ada.page.click("a:text('Revoke…')")
    ada.page.fill("[name=reason]", REASON)
    ada.page.click(".cf-form [type=submit]")
    ada.page.wait_for_selector(".messagelist .success")
    assert answer(key) == 401
    assert ada.take_faults() == []


def test_failed_work_is_retried_with_a_reason(service, seeded, ada):
    project = seeded["failed"]
    path = f"projects/{project}"
    assert of_customer(service, seeded, "Unlucky", path).json()["status"] == "FAILED"
    ada.go(f"{reverse('admin:rescue')}?org={seeded['customers']['Unlucky'][0]}")
    ada.page.click("button[aria-label^='Retry'][aria-label$='Out of luck']")
    ada.page.fill("[name=reason]", REASON)
    ada.page.click(".cf-form [type=submit]")
    ada.page.wait_for_selector("text=1 done, 0 skipped")
    assert of_customer(service, seeded, "Unlucky", path).json()["status"] == "QUEUED"
    assert ada.take_faults() == []


def test_the_box_in_the_header_leads_straight_to_what_is_meant(seeded, ada):
    org, key = seeded["customers"]["Moved up"]
    meant = {
        "Moved up": reverse(of("orgs.Organization", "change"), args=[org]),
        org: reverse(of("orgs.Organization", "change"), args=[org]),
        seeded["failed"]: reverse(of("projects.Project", "change"), args=[seeded["failed"]]),
        re.sub(r"(cf_live_\w{8}).*", r"\1", key): "/admin/orgs/apikey/",
    }
    for text, where in meant.items():
        ada.go(reverse("admin:index"))
        ada.page.fill("header [name=q]", text)
        ada.page.press("header [name=q]", "Enter")
        ada.page.wait_for_url(f"**{where}**")
    assert ada.take_faults() == []


def test_a_first_day_begins_with_a_phone_and_a_lost_one_is_no_end(service, browser, sessions):
    carol = Visitor(browser, service.url)
    wanted = reverse("admin:rescue")
    sign_in(carol, "carol", next_=wanted)
    faults = faults_of(carol)
    codes = set_up_a_phone(carol)
    carol.page.wait_for_url(f"**{wanted}")
    carol.page.click("text=Log out")
    sign_in(carol, "carol", next_=wanted)
    faults += faults_of(carol)
    carol.go(wanted)  # a password alone opens nothing
    assert "second-factor" in carol.page.url
    carol.page.click("summary")
    carol.page.fill("[name=recovery_code]", codes[0])
    carol.page.press("[name=recovery_code]", "Enter")
    carol.page.wait_for_url(f"**{wanted}")
    assert [*faults, *carol.take_faults()] == []
    carol.close()


# --- for people to look at --------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_are_taken(ada, seeded, width, theme):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    ada.page.set_viewport_size({"width": width, "height": HEIGHT})
    ada.page.emulate_media(color_scheme=theme)
    org, _ = seeded["customers"]["Unlucky"]
    for name, arguments in {
        "index": [],
        "orgs_organization_changelist": [],
        "orgs_organization_change": [org],
        "grant-credits": [org],
        "change-tier": [org],
        "rescue": [],
    }.items():
        ada.go(reverse(f"admin:{name}", args=arguments))
        ada.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png", full_page=True)
    assert ada.take_faults() == []

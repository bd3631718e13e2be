"""The admin as staff see it: a real server, a real browser, every page, both themes, both widths."""

from __future__ import annotations

import json

import pytest
from django.contrib import admin
from django.urls import reverse

from clipforge.staff.urls import pages
from clipforge.testing.browser import (
    HEIGHT,
    THEMES,
    WIDTHS,
    Visitor,
    chromium,
    faults_of,
    sign_in,
)
from clipforge.testing.service import ROOT, running_service

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Build output: looked at by people, never committed.
SCREENSHOTS = ROOT / ".clipforge" / "screenshots"

PASSWORD = "correct horse battery"
# One row of every registered model, and who may see them.
SEED = f"""
import json
from clipforge.orgs.models import User
from clipforge.testing.rows import MAKERS
User.objects.create_superuser("ada", "ada@example.com", {PASSWORD!r})
print(json.dumps({{label: str(make().pk) for label, make in MAKERS.items()}}))
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
    with running_service() as service:
        yield service


@pytest.fixture(scope="module")
def rows(service) -> dict[str, str]:
    """The primary key of a row of every model."""
    found: dict[str, str] = json.loads(
        service.manage("shell", "-v", "0", "-c", SEED).splitlines()[-1]
    )
    return found


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def session(service, rows, browser):
    """The cookies of somebody who has signed in."""
    visitor = Visitor(browser, service.url)
    sign_in(visitor, "ada", PASSWORD)
    assert visitor.take_faults() == []
    state = visitor.context.storage_state()
    visitor.close()
    return state


@pytest.fixture(scope="module")
def everywhere(service, browser, session):
    """Somebody signed in who opens one page after another."""
    visitor = Visitor(browser, service.url, storage_state=session)
    yield visitor
    visitor.close()


@pytest.fixture
def ada(everywhere):
    everywhere.take_faults()
    return everywhere


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
    assert ada.page.locator(".errorlist").count() > 0
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


# --- for people to look at --------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_are_taken(ada, rows, width, theme):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    ada.page.set_viewport_size({"width": width, "height": HEIGHT})
    ada.page.emulate_media(color_scheme=theme)
    org = rows["orgs.Organization"]
    for name, arguments in {
        "index": [],
        "orgs_organization_changelist": [],
        "orgs_organization_change": [org],
    }.items():
        ada.go(reverse(f"admin:{name}", args=arguments))
        ada.page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png", full_page=True)
    assert ada.take_faults() == []

"""The admin as staff see it: a real server, a real browser, every page, both themes, both widths.

Axe is asked on every page, and on one of each kind at every width and in both themes. Some of what
staff do is clicked through and looked at from outside; `test_flows_in_a_browser` has the forms of money,
`login/test_sign_in_by_browser` the way in.
"""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest
from django.contrib import admin
from django.urls import reverse

from clipforge.devtools.testing.browser import (
    HEIGHT,
    OF_COLOUR,
    THEMES,
    WIDTHS,
    Visitor,
    axe,
    chromium,
    faults_of,
    picture,
    sign_in,
)
from clipforge.devtools.testing.service import running_service
from clipforge.devtools.testing.staff import PASSWORD
from clipforge.staff.urls import page_urls

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REASON = "asked for by mail, ticket 4412"
# Whom the flows act on: of each its primary key, and a key of the API that it uses meanwhile.
CUSTOMERS = ("Granted", "Looked for", "Unlucky", "Locked")
SEED = f"""
import json, tempfile
from pathlib import Path
from procrastinate.contrib.django import app
from clipforge.media.sample import make_sample
from clipforge.orgs.models import RefusedRequests, User
from clipforge.devtools.testing.factories import make_api_key, make_export, make_organization, make_project
from clipforge.devtools.testing.rows import MAKERS
User.objects.create_superuser("ada", "ada@example.com", {PASSWORD!r})
orgs = {{name: make_organization(name=name, tier="PRO") for name in {CUSTOMERS!r}}}
failed = make_project(orgs["Unlucky"], status="FAILED", title="Out of luck")
make_project(orgs["Unlucky"], status="FAILED", title="Left alone")
with tempfile.TemporaryDirectory() as folder:
    made = make_sample(Path(folder) / "talk.mp4", seconds=30)
    film = make_project(
        make_organization(name="Filmed", credits_=10),
        status="QUEUED",
        title="Thirty seconds",
        source=Path(folder) / "talk.mp4",
        duration=30.0, size=2_345_678, fps=25.0, video_codec="h264", audio_codec="aac",
    )
app.tasks["projects.analyse"](project_id=str(film.pk), fence=film.fence)
clip = make_export(film, moment=film.moments.first(), start=2.0, end=12.0, status="QUEUED")
app.tasks["exports.render"](export_id=str(clip.pk), fence=clip.fence)
print(json.dumps({{
    "rows": {{label: str(make().pk) for label, make in MAKERS.items()}},
    "refused": str(RefusedRequests.objects.get().org_id),
    "customers": {{
        name: [str(org.pk), make_api_key(org).secret] for name, org in orgs.items()
    }},
    "failed": str(failed.pk),
    "film": str(film.pk),
    "projects.Moment": str(film.moments.first().pk),
    "exports.Export": str(clip.pk),
}}))
"""

MODELS = sorted(model._meta.label for model in admin.site._registry)
# Downloads are no pages.
OWN_PAGES = sorted(
    str(pattern.name)
    for pattern in page_urls(admin.site)
    if not pattern.pattern.converters and not str(pattern.pattern).endswith(".csv")
)


@pytest.fixture(scope="module")
def service():
    with running_service() as service:
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


@pytest.fixture(scope="module")
def session(service, seeded, browser) -> Any:
    """The cookies of somebody who has signed in."""
    visitor = Visitor(browser, service.url)
    sign_in(visitor, "ada")
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
        status = ada.page.request.get(f"{ada.url}{path}").status
        assert status in {200, 403}, path
        if status == 200:  # else the page is not opened by hand
            ada.go(path)
            faults += faults_of(ada)
    assert faults == []


@pytest.mark.parametrize("name", ["index", "password_change", *OWN_PAGES])
def test_every_page_of_our_own_is_whole(ada, name):
    ada.go(reverse(f"admin:{name}"))
    assert faults_of(ada) == []


# One page of each kind: what they are made of is what all pages of the kind are made of. Pages with
# a player are asked where one is watched, those for everybody below.
KINDS = {
    "the start": ("index", None),
    "a list with filters and sums": ("credits_credittransaction_changelist", None),
    "a list with bulk actions": ("exports_export_changelist", None),
    "a form to add": ("orgs_organization_add", None),
    "a row that is only read": ("credits_credittransaction_change", "credits.CreditTransaction"),
    "an organization": ("orgs_organization_change", "orgs.Organization"),
    "a history": ("orgs_organization_history", "orgs.Organization"),
    "a timeline": ("organization-timeline", "orgs.Organization"),
    "notes": ("organization-notes", "orgs.Organization"),
    "a form with a reason": ("grant-credits", "orgs.Organization"),
    "a payment": ("billing_payment_change", "billing.Payment"),
    "a refund": ("refund-payment", "billing.Payment"),
    "charts": ("business", None),
    "tables of customers": ("customers", None),
    "work to rescue": ("rescue", None),
    "approvals": ("approvals", None),
    "words": ("glossary", None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_on_a_page_of_each_kind_at_any_width_in_either_theme(ada, rows, kind):
    name, label = KINDS[kind]
    ada.go(reverse(f"admin:{name}", args=[rows[label]] if label else []))
    assert faults_of(ada, thorough=True) == []


def test_axe_finds_nothing_in_what_was_found(ada):
    ada.go(f"{reverse('admin:find')}?q=un")
    assert ada.page.locator("main a").count() > 1
    assert faults_of(ada, thorough=True) == []


def test_the_health_of_an_organization_is_whole(ada, seeded):
    ada.go(reverse("admin:organization-health", args=[seeded["customers"]["Unlucky"][0]]))
    assert faults_of(ada) == []
    ada.go(reverse("admin:organization-health", args=[seeded["refused"]]))
    assert faults_of(ada, thorough=True) == []


def test_a_form_that_is_refused_is_whole_and_says_why(ada):
    ada.go(reverse(of("orgs.Organization", "add")))
    # The browser would keep an empty form back; the server answers for those that do not.
    ada.page.eval_on_selector("#organization_form", "form => { form.noValidate = true; }")
    ada.follow("[name=_save]")
    assert ada.page.locator(".errorlist").count() > 0
    assert faults_of(ada, thorough=True) == []


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
        visitor.page.wait_for_selector(".opblock >> nth=20")
        assert axe(visitor) == []
        visitor.page.set_viewport_size({"width": WIDTHS[1], "height": HEIGHT})
        assert axe(visitor) == []
        visitor.page.emulate_media(color_scheme="dark")
        assert axe(visitor, OF_COLOUR) == []
        assert visitor.take_faults() == []
    else:
        assert faults_of(visitor, thorough=True) == []
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


def test_the_tab_key_reaches_everything_on_the_pages_of_a_day(ada, seeded):
    ada.page.set_viewport_size({"width": WIDTHS[0], "height": HEIGHT})
    ada.page.emulate_media(color_scheme="light")
    org, _ = seeded["customers"]["Unlucky"]
    found = []
    for name, arguments in {
        "index": [],
        "rescue": [],
        "orgs_organization_change": [org],
        "grant-credits": [org],
    }.items():
        ada.go(reverse(f"admin:{name}", args=arguments))
        from_the_start(ada)
        found += tab_through(ada)
    # The last one is filled in, and leads to its confirmation.
    ada.page.fill("[name=amount]", "5")
    ada.page.fill("[name=reason]", REASON)
    ada.follow("text=Continue")
    assert ada.page.locator("text=Grant 5 credits").count() == 1
    from_the_start(ada)
    found += tab_through(ada)
    assert found == []
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
    ada.enter()
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
    """The answer of the API to the customer's own key."""
    _, key = seeded["customers"][name]
    return by_key(service, key, path)


def by_key(service: Any, key: str, path: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{service.url}/api/v1/{path}", headers=headers, timeout=60)


def posted(service: Any, seeded: dict[str, Any], name: str) -> int:
    found: int = of_customer(service, seeded, name, "credits/balance").json()["posted"]
    return found


def open_customer(visitor: Visitor, seeded: dict[str, Any], name: str) -> None:
    visitor.go(reverse(of("orgs.Organization", "change"), args=[seeded["customers"][name][0]]))


def test_a_double_click_grants_once_without_any_script(service, browser, session, seeded):
    visitor = Visitor(browser, service.url, storage_state=session, java_script_enabled=False)
    open_customer(visitor, seeded, "Granted")
    visitor.follow("text=Grant credits")
    visitor.page.fill("[name=amount]", "500")
    visitor.page.fill("[name=reason]", REASON)
    visitor.follow("text=Continue")
    assert posted(service, seeded, "Granted") == 0
    visitor.page.dblclick("text=Grant 500 credits")
    visitor.page.wait_for_selector(".messagelist li")
    assert posted(service, seeded, "Granted") == 500
    visitor.close()


def test_a_key_is_shown_once_and_ends_when_it_is_revoked(service, seeded, ada):
    open_customer(ada, seeded, "Locked")
    ada.follow("text=Issue an API key")
    ada.page.fill("[name=name]", "By hand")
    ada.page.fill("[name=reason]", REASON)
    ada.follow("text=Issue the key")
    key = ada.page.inner_text("section code")
    assert by_key(service, key, "me").status_code == 200
    ada.follow("text=Back to Locked")
    assert key not in ada.page.content()
    ada.follow("a:text-is('By hand')")
    ada.follow("a:text('Revoke…')")
    ada.page.fill("[name=reason]", REASON)
    ada.follow(".cf-form [type=submit]")
    assert ada.page.locator(".messagelist .success").count() == 1
    assert by_key(service, key, "me").status_code == 401
    assert ada.take_faults() == []


def test_failed_work_is_retried_with_a_reason(service, seeded, ada):
    project = seeded["failed"]
    path = f"projects/{project}"
    assert of_customer(service, seeded, "Unlucky", path).json()["status"] == "FAILED"
    ada.go(f"{reverse('admin:rescue')}?org={seeded['customers']['Unlucky'][0]}")
    ada.follow("button[aria-label^='Retry'][aria-label$='Out of luck']")
    ada.page.fill("[name=reason]", REASON)
    ada.follow(".cf-form [type=submit]")
    assert "1 done, 0 skipped" in ada.page.inner_text("main")
    assert of_customer(service, seeded, "Unlucky", path).json()["status"] == "QUEUED"
    assert ada.take_faults() == []


READY = """new Promise((resolve) => {
  const player = document.getElementById("player");
  player.readyState > 0 ? resolve(player.duration)
    : player.addEventListener("loadedmetadata", () => resolve(player.duration));
})"""
SOUGHT = """new Promise((resolve) => {
  const player = document.getElementById("player");
  const link = document.querySelector(".cf-strip li:last-child a");
  player.addEventListener("seeked", () => resolve([player.currentTime, Number(link.dataset.at)]));
  link.click();
})"""


def test_a_video_is_watched_with_a_reason_and_played_where_it_is_pressed(seeded, ada):
    film = reverse(of("projects.Project", "change"), args=[seeded["film"]])
    ada.go(film)
    assert ada.page.locator("video").count() == 0
    assert faults_of(ada) == []
    ada.follow("text=Watch…")
    ada.page.fill("[name=reason]", REASON)
    ada.follow(".cf-form [type=submit]")
    assert film in ada.page.url
    assert 29 < ada.page.evaluate(READY) < 31
    at, asked = ada.page.evaluate(SOUGHT)
    assert (at, asked > 20) == (asked, True)
    assert faults_of(ada, thorough=True) == []
    picture(ada, "film")
    for label in ("projects.Moment", "exports.Export"):
        ada.go(reverse(of(label, "change"), args=[seeded[label]]))
        assert ada.page.evaluate(READY) > 9
        assert faults_of(ada) == []
        picture(ada, label, "light")


def test_the_box_in_the_header_leads_straight_to_what_is_meant(seeded, ada):
    org, key = seeded["customers"]["Looked for"]
    meant = {
        "Looked for": reverse(of("orgs.Organization", "change"), args=[org]),
        org: reverse(of("orgs.Organization", "change"), args=[org]),
        seeded["failed"]: reverse(of("projects.Project", "change"), args=[seeded["failed"]]),
        re.sub(r"(cf_live_\w{8}).*", r"\1", key): "/admin/orgs/apikey/",
    }
    for text, where in meant.items():
        ada.go(reverse("admin:index"))
        ada.page.fill("header [name=q]", text)
        ada.enter()
        assert where in ada.page.url
    assert ada.take_faults() == []


# --- for people to look at --------------------------------------------------------------


def test_pictures_are_taken(ada, seeded):
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
        picture(ada, name)
    assert ada.take_faults() == []

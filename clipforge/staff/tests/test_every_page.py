"""Every page of the admin, as each group sees it: what it offers, how it writes times, what it loads."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.urls import Resolver404, resolve, reverse

from clipforge.audit.services import SHORTEST_REASON
from clipforge.devtools.testing.rows import MAKERS
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.staff.tests.test_permissions import address, make_note, make_request, pages

pytestmark = pytest.mark.django_db

LETTERS = {"support": "s", "finance": "f", "engineer": "e", "superuser": "R"}
MOST_SCRIPT = 60 * 1024
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
# Any other way to write a day or an hour than `2026-11-03` and `2026-11-03 14:05:09 UTC`. What a document
# of the API has in quotes is shown as it was sent.
OTHER_TIMES = re.compile(
    rf"\b(?:{MONTHS})[a-z]*\.? \d{{1,2}},? \d{{4}}|\b\d{{1,2}} (?:{MONTHS})[a-z]* \d{{4}}"
    r"|\b[ap]\.m\.|(?<!\x22)\d{4}-\d\d-\d\dT\d\d:\d\d|(?<![\d:])\d\d:\d\d UTC"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d(?!:\d\d(?:\.\d+)?(?: UTC|\+00))"
)


class Seen(HTMLParser):
    """The links, forms, scripts, fields and words of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.forms: list[tuple[str, str]] = []
        self.scripts: set[str] = set()
        self.reasons = 0
        self.words: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in {"script", "style", "textarea"} else ""
        if tag == "a" and found.get("href"):
            self.links.add(found["href"])
        elif tag == "form":
            self.forms.append((found.get("method", "get"), found.get("action", "")))
        elif tag == "script" and found.get("src"):
            self.scripts.add(found["src"])
        elif tag in {"textarea", "input"} and found.get("name") in {"reason", "audit_reason"}:
            self.reasons += found.get("type") != "hidden"

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is read, with a sign where one element ends: two cells are no date."""
        return " | ".join(" ".join(word.split()) for word in self.words if word.strip())


@cache
def allowed() -> dict[str, tuple[str, str]]:
    """Who may open a page, and who may send its form, by the name of the page."""
    return {page.name: (page.get, page.post) for page in pages()}


def refused(path: str, method: str, letter: str) -> bool:
    """Whether the person would be refused there."""
    try:
        name = resolve(path).url_name or ""
    except Resolver404:
        return True
    get, post = allowed().get(name, (letter, letter))  # logout is everybody's
    return letter not in (post if method == "post" else get)


@cache
def size_of(src: str) -> int:
    if src == reverse("admin:jsi18n"):
        return 4096
    found = finders.find(src.removeprefix("/static/"))
    assert isinstance(found, str), src
    return Path(found).stat().st_size


def faults_of(url: str, html: str, letter: str) -> list[str]:
    seen, faults = Seen(html), []
    for method, target in [*(("get", link) for link in seen.links), *seen.forms]:
        path = urlsplit(target).path
        if path.startswith("/admin/") and refused(path, method.lower(), letter):
            faults.append(f"{method} {path} would be refused")
    faults += [f"“{found}” is no time of ours" for found in set(OTHER_TIMES.findall(seen.text))]
    # Lists send their bulk actions, whose scripts are counted too; other forms are filled in.
    fills_in = any(
        method.lower() == "post" and urlsplit(action).path not in SHARED_FORMS
        for method, action in seen.forms
    )
    size = sum(map(size_of, seen.scripts))
    if size > MOST_SCRIPT and (not fills_in or url.endswith("history/")):
        faults.append(f"shows only, and loads {size:,} bytes of scripts")
    said = seen.text.lower().count(f"at least {SHORTEST_REASON} characters")
    if seen.reasons > said:
        faults.append("asks for a reason, and does not say how long it must be")
    return [f"{url}: {fault}" for fault in faults]


SHARED_FORMS = {"/admin/logout/"}


@pytest.fixture
def world(settings: Any) -> dict[str, Any]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    rows: dict[str, Any] = {label.lower(): make() for label, make in MAKERS.items()}
    rows["staff.approvalrequest"] = make_request()
    rows["staff.note"] = make_note()
    return rows


@pytest.mark.parametrize("role", LETTERS)
def test_pages_offer_what_may_be_done_write_times_in_one_way_and_load_little(world, role):
    letter, client, faults = LETTERS[role], signed_in(make_staff(role)), []
    opened = 0
    for page in pages():
        if letter not in page.get or "run" in page.args or page.name == "autocomplete":
            continue
        answer = client.get(address(page, world))
        if answer.status_code == 200 and answer["Content-Type"].startswith("text/html"):
            opened += 1
            faults += faults_of(answer.request["PATH_INFO"], answer.content.decode(), letter)
    assert faults == []
    assert opened > 90

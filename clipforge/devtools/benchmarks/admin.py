"""The time that a page of the admin takes, with a million projects.

    python -m clipforge.devtools.benchmarks.admin [ROUNDS] [--data FOLDER] [--small]

Chromium opens every list, some filtered, searched or nine tenths down, the index, what was found,
organizations and their timelines, the rescue queue and the form for downloads, from the real gunicorn,
as a member of staff who has shown the second factor. Cold: a browser that has never been here, and a
page that the server makes for the first time. Warm: the median of ROUNDS further visits. Prints a
table, and exits 1 when a page takes longer than its target.

`--data` keeps the database in a folder, and uses the one that is there. `--small` seeds a hundredth.
Needs playwright (PyPI) and Debian's chromium.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

# Milliseconds.
COLD, WARM = 2000, 500
SIZES = {
    "orgs": 10_000,
    "projects": 1_000_000,
    "moments": 600_000,
    "transactions": 2_000_000,
    "exports": 300_000,
}
SMALLER = 100
CHROMIUM = "/usr/bin/chromium"


class Visit(NamedTuple):
    page: str
    path: str


class Figure(NamedTuple):
    page: str
    cold: float
    warm: float

    @property
    def is_late(self) -> bool:
        return self.cold > COLD or self.warm > WARM


def main(rounds: int, data: Path | None, *, small: bool) -> int:
    with measuring.own_servers(data) as folder:
        _seed(small=small)
        from clipforge.stack import Stack

        visits = list(_visits())
        cookie = _signed_in()
        required = {"STAFF_SECOND_FACTOR": "true"}
        with Stack(concurrency=0, log=folder / "web.log", environment=required) as stack:
            figures = _measure(stack.url, visits, cookie, rounds)
    for figure in figures:
        late = "  late" if figure.is_late else ""
        say(f"{figure.page:44} {figure.cold:7.0f} ms cold {figure.warm:6.0f} ms warm{late}")
    count = sum(figure.is_late for figure in figures)
    say(f"target {COLD:42} ms cold {WARM:6} ms warm: {count} of {len(figures)} pages are late")
    return int(count > 0)


def _seed(*, small: bool) -> None:
    from django.core.management import call_command
    from django.db import connection

    from clipforge.orgs.models import Organization

    if not Organization.objects.exists():
        sizes = {name: size // (SMALLER if small else 1) for name, size in SIZES.items()}
        call_command("seed_load", *(f"--{name}={size}" for name, size in sizes.items()), "--json")
    with connection.cursor() as cursor:
        # What autovacuum would have done by the time that anybody works here.
        cursor.execute("VACUUM (ANALYZE)")


def _visits() -> Iterator[Visit]:
    from django.contrib import admin
    from django.urls import reverse

    from clipforge.common.admin import OLDER
    from clipforge.orgs.models import Organization
    from credits.models import CreditAccount, CreditTransaction
    from projects.models import Project

    accounts = CreditAccount.objects.select_related("org").order_by("-version")
    busiest = accounts[0].org
    yield Visit("index", reverse("admin:index"))
    for label, org in {"busiest": busiest, "middle": accounts[accounts.count() // 2].org}.items():
        change = reverse("admin:orgs_organization_change", args=[org.pk])
        yield Visit(f"organization, the {label}", change)
        timeline = reverse("admin:organization-timeline", args=[org.pk])
        yield Visit(f"timeline, the {label}", timeline)
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        yield Visit(f"list of {model._meta.verbose_name_plural}", reverse(name))
    rescue, find = reverse("admin:rescue"), reverse("admin:find")
    ledger = reverse("admin:credits_credittransaction_changelist")
    projects = reverse("admin:projects_project_changelist")
    for page, path, query in (
        ("ledger, deep", ledger, {OLDER: _deep(CreditTransaction, "id")}),
        ("ledger of the busiest", ledger, {"org__id__exact": busiest.pk}),
        ("ledger, searched", ledger, {"q": busiest.slug}),
        ("projects, deep", projects, {OLDER: _deep(Project, "created_at", "id")}),
        ("projects, failed", projects, {"status__exact": "FAILED"}),
        ("projects, searched", projects, {"q": "nowhere to be seen"}),
        ("rescue", rescue, {}),
        ("rescue of the busiest", rescue, {"org": busiest.pk}),
        ("find, many", find, {"q": "load"}),
        ("find, one", find, {"q": Organization.objects.last().name}),  # type: ignore[union-attr]
        ("downloads", reverse("admin:downloads"), {}),
    ):
        yield Visit(page, f"{path}?{urlencode(query)}")


def _deep(model: Any, *fields: str) -> str:
    """A place in the list of the admin, the newest first, that has nine tenths before it."""
    from clipforge.common.lists.keyset import place_of

    rows = model.objects.order_by(*fields)
    return json.dumps(place_of(rows[rows.count() // 10], fields))


def _signed_in() -> str:
    """The session of a superuser who has shown the second factor."""
    from importlib import import_module

    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django_otp import DEVICE_ID_SESSION_KEY
    from django_otp.plugins.otp_totp.models import TOTPDevice

    from clipforge.orgs.models import User

    address = "benchmark@clipforge.example"
    user, _ = User.objects.get_or_create(
        username=address, defaults={"email": address, "is_staff": True, "is_superuser": True}
    )
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    phone, _ = TOTPDevice.objects.get_or_create(user=user, defaults={"name": "phone"})
    session[DEVICE_ID_SESSION_KEY] = phone.persistent_id
    session.save()
    return str(session.session_key)


def _measure(url: str, visits: list[Visit], cookie: str, rounds: int) -> list[Figure]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("This needs playwright: pip install playwright.") from None
    figures = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for visit in visits:
            # A context is a browser that has never been here: no cache, no connection.
            context = browser.new_context()
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": url}])
            page = context.new_page()
            cold, *warm = (_milliseconds(page, url + visit.path) for _ in range(rounds + 1))
            figures.append(Figure(visit.page, cold, statistics.median(warm)))
            context.close()
        browser.close()
    return figures


def _milliseconds(page: Any, address: str) -> float:
    """From asking for the page until all of it has been loaded, by the browser's own clock."""
    response = page.goto(address, wait_until="load")
    # What was found is somewhere else; every other page must not redirect, to the sign-in for example.
    elsewhere = page.url != address and "/find/" not in address
    if (
        response is None
        or response.status != 200
        or elsewhere
        or not page.query_selector("#header")
    ):
        raise SystemExit(f"{address} answered {response and response.status} at {page.url}.")
    page.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
    return float(page.evaluate("performance.getEntriesByType('navigation')[0].duration"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    raise SystemExit(main(options.rounds, options.data, small=options.small))

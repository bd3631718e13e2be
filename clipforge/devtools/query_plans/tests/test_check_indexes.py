"""`manage.py check_indexes`: what each page costs, on data that are there."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver

from clipforge.devtools.query_plans.api_pages import list_views
from clipforge.devtools.query_plans.explain import captured, cost_of
from clipforge.devtools.query_plans.pages import pages
from clipforge.devtools.query_plans.report import Finding, measure
from clipforge.devtools.testing.seeds import restore, vacuum
from clipforge.devtools.testing.service import eventually
from projects import selectors as project_selectors
from projects.models import Project

pytestmark = pytest.mark.django_db

# Beside the lists of the API, which are found: the page that is looked at for each route.
LOOKED_AT = {
    "me": "key",
    "origins": "key",
    "key": "key of the list",
    "key-descendants": "descendants",
    "credits-balance": "balance",
    "credits-statement": "statement",
    "usage": "usage",
    "project": "project",
    "export": "export",
    "export-download": "export",
    "export-picture": "export",
    "watermark": "watermark",
    "upload": "upload",
    "source": "project",
    "project-captions": "transcript",
    "project-captions-file": "transcript",
    "export-captions": "transcript",
    "export-captions-file": "transcript",
    "project-archive": "archive",
    "download-archive": "archive",
    "project-picture": "project",
    "curves": "curves",
    "moment": "moment",
    "moment-poster": "moment",
    "transcripts": "transcripts",
    "transcript": "transcript",
    "moment-transcript": "transcript",
    "export-transcript": "transcript",
    "pricing": "pricing",
    "billing-payment": "payment",
    "webhook-endpoint": "webhook endpoint",
    "webhook-delivery": "webhook delivery",
    "billing-subscription": "subscription",
    "find": "admin find",
    "grant-credits": "admin grant credits",
    "adjust-credits": "admin grant credits",
    "approvals": "admin approvals",
    "approval": "admin approvals, one",
    "organization-timeline": "admin timeline",
    "watch-video": "admin project, one",
    "refund-job": "admin project, one",
    "rescue": "rescue",
    "rescue-confirm": "rescue",
    "business": "admin business",
    "business-revenue": "admin business revenue",
    "business-recurring": "admin business recurring",
    "business-customers": "admin business customers",
    "business-credits": "admin business credits",
    "business-liability": "admin business liability",
    "customers": "admin customers",
    "customers-throttled": "admin customers throttled",
    "customers-refused": "admin customers refused",
    "customers-failing": "admin customers failing",
    "customers-codes": "admin customers codes",
    "customers-work": "admin customers work",
    "customers-storage": "admin customers storage",
    "customers-spending": "admin customers spending",
    "organization-health": "admin health",
    "export-ledger": "csv ledger",
    "export-projects": "csv projects",
    "export-payments": "csv payments",
    "index": "admin index",
    "autocomplete": "admin membership offers",
}
# By name, which may be a pattern: why their statements are not checked.
EXEMPT = {
    "health*": "Whether it answers is what they ask.",
    "stripe-webhook": "It takes POST alone.",
    "schema": "Nothing.",
    "docs": "Nothing.",
    "download-file": "Nothing: the link is the permission.",
    "picture-file": "Nothing: the link is the permission.",
    "source-file": "Nothing: the link is the permission.",
    "video-*": "A project by its key, its features and its moments.",
    "moment-file": "A moment by its key, with its project.",
    "export-file": "An export by its key, with its project.",
    "refund-payment": "A payment by its key, and its refunds.",
    "*login": "One of the staff, by address.",
    "logout": "Their session.",
    "password_change*": "Themselves.",
    "second-factor*": "Their devices, a few rows.",
    "jsi18n": "Nothing.",
    "change-tier": "An organization by its key, as the others of its forms.",
    "override-limit": "An organization by its key.",
    "suspend": "An organization by its key.",
    "restore": "An organization by its key.",
    "issue-key": "An organization by its key.",
    "allow-origins": "An organization by its key.",
    "add-endpoint": "An organization by its key.",
    "*-key": "A key of the API by its own.",
    "*-endpoint": "An endpoint by its key.",
    "rescue-run": "A run by its key.",
    "downloads": "Nothing: a form.",
    "glossary": "Nothing: words.",
    "organization-notes": "An organization by its key, and its newest notes.",
    "pin-note": "A note by its key.",
    "app_list": "Nothing: names of tables.",
    "auth_*": "Four groups, and one person by key.",
    "*_add": "Nothing: a form.",
    "*_delete": "Nothing of what grows: one row by its key, where staff may delete at all.",
    "*_history": "What Django's own log says of one row.",
}

SIZES = {"orgs": 60, "projects": 3000, "moments": 150_000, "transactions": 12000, "exports": 5000}


@pytest.fixture(scope="module")
def seeded(seeds: None, django_db_blocker: Any) -> Iterator[None]:
    """For all of these tests, which change nothing of it."""
    options = [f"--{name}={count}" for name, count in SIZES.items()]
    with django_db_blocker.unblock():
        vacuum()
        call_command("seed_load", *options, "--json", stdout=io.StringIO())
    yield
    with django_db_blocker.unblock():
        restore()


def check_indexes() -> dict[str, Any]:
    """The output of the command under --json, parsed, also when it fails."""
    out = io.StringIO()
    try:
        call_command("check_indexes", "--json", stdout=out)
    except CommandError as error:
        failure = str(error)
    else:
        failure = ""
    result: dict[str, Any] = json.loads(out.getvalue())
    assert result["ok"] is not bool(failure)
    return {**result, "failure": failure}


def beyond(result: dict[str, Any]) -> list[str]:
    return [f"{page['page']}: {page['faults']}" for page in result["pages"] if page["faults"]]


def test_every_page_of_every_list_is_within_its_budget_and_every_promised_index_is_used(seeded):
    result = check_indexes()
    found = beyond(result)
    assert not found, "\n".join(map(str, found))
    assert result["unused_indexes"] == []
    looked_at = {page["page"] for page in result["pages"]}
    assert list(not_looked_at(looked_at)) == []
    without = {page for page in looked_at if not page.startswith("statement")}
    assert list(not_looked_at(without)) == ["credits-statement"]
    places: dict[str, set[str]] = {}
    for page in result["pages"]:
        places.setdefault(page["page"].split()[0].rstrip(","), set()).add(page["place"])
    names = {listed.name for listed in list_views()}
    assert names >= {"projects", "moments", "exports", "credits-transactions", "credits-holds"}
    # The seeded data have no key, and no organization has many endpoints: no deep pages.
    shallow = {"webhook-endpoints", "keys"}
    assert {name: places.pop(name) for name in shallow} == {name: {"first"} for name in shallow}
    assert {name: places[name] for name in names - shallow} == {
        name: {"first", "deep"} for name in names - shallow
    }


def not_looked_at(names: set[str]) -> Iterator[str]:
    """Routes that can be asked for with GET, and of which no page of those names is."""
    wanted = {**LOOKED_AT, **{listed.name: listed.name for listed in list_views()}}
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        wanted[f"{name}_changelist"] = title = f"admin {model._meta.model_name}"
        # Where there is one: seeding makes no keys, for example.
        wanted[f"{name}_change"] = f"{title}, one" if model._default_manager.exists() else title
    for route in routes(get_resolver().url_patterns):
        is_exempt = any(fnmatch(route, pattern) for pattern in EXEMPT)
        if not is_exempt and not any(is_of(page, wanted.get(route)) for page in names):
            yield route


def is_of(page: str, name: str | None) -> bool:
    """Of several pages of one route, whom or what each is about follows the name, but for "one"."""
    about = page.removeprefix(name) if name and page.startswith(name) else None
    return about is not None and (about[:1] in {"", " ", ","}) and about != ", one"


def routes(entries: list[URLPattern | URLResolver]) -> Iterator[str]:
    """Names of what answers GET. Without a name there are only redirects, and what is nowhere."""
    for entry in entries:
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns)
        elif entry.name and answers_get(entry.callback):
            yield entry.name


def answers_get(view: Callable[..., Any]) -> bool:
    view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return view_class is None or hasattr(view_class, "get")


@pytest.mark.usefixtures("seeded")
def test_dropped_indexes_are_noticed():
    dropped = {
        "credits_transaction_amounts": "CreditTransaction (org, type)",
        "exports_project_status_newest": "Export (project, status)",
    }
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {', '.join(dropped)}")
    result = check_indexes()
    assert result["unused_indexes"] == [f"{what}: {index}" for index, what in dropped.items()]
    assert "2 promised indexes are used by nothing." in result["failure"]


def test_a_list_that_has_lost_its_index_is_beyond_its_budget_which_people_are_told(seeded):
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX credits_transaction_newest")
    out = io.StringIO()
    with pytest.raises(CommandError, match="pages are beyond their budget"):
        call_command("check_indexes", stdout=out)
    lines = out.getvalue().splitlines()
    assert any("credits_transaction_amounts" in line and "│" in line for line in lines)
    assert (
        "used by nothing: CreditTransaction (org, created_at): credits_transaction_newest" in lines
    )
    assert any(line.startswith("credits-transactions, busiest (first): ") for line in lines)


def test_a_list_that_looks_something_up_for_each_row_is_beyond_its_budget(seeded, monkeypatch):
    def first_page() -> Finding:
        return measure(next(page for page in pages() if page.name == "projects, busiest"))

    found = first_page()
    assert found.faults == []
    assert found.cost.looked_up <= 1  # the hold of the one that is open
    lean = project_selectors.projects
    monkeypatch.setattr(project_selectors, "projects", lambda org: lean(org).select_related("hold"))
    (fault,) = first_page().faults
    assert fault.startswith("touches ")


def every_page_of_the_ledger_is_visible_to_all() -> bool:
    """Whether a scan of an index alone need not look at the table; another's open snapshot delays it."""
    vacuum()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relallvisible = relpages FROM pg_class WHERE oid = 'credits_credittransaction'::regclass"
        )
        return bool(cursor.fetchone()[0])


def test_a_year_of_usage_can_be_read_from_one_index_and_no_row_of_the_table(seeded):
    looked_at = [page for page in pages() if page.name.startswith("usage by")]
    assert len(looked_at) == 6
    eventually(
        "every page of the ledger is visible to all", every_page_of_the_ledger_is_visible_to_all
    )
    # What the planner chooses of so small a ledger is its whim: for this transaction it knows no other
    # indexes. (With index scans "off" all cost about the same to it, and any of them was taken.)
    with connection.cursor() as cursor:
        for kind in ("seqscan", "bitmapscan"):
            cursor.execute(f"SET LOCAL enable_{kind} = off")
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indrelid = 'credits_credittransaction'::regclass"
            " AND indexrelid::regclass::text NOT IN ('credits_transaction_usage', 'credits_transaction_amounts')"
        )
    for page in looked_at:
        cost = measure(page).cost
        assert cost.statements == 1
        # The other one has all that days need, and serves them as well.
        by_day = {"credits_transaction_amounts"} if "day" in page.name else set()
        assert cost.indexes in ({"credits_transaction_usage"}, by_day)
        assert (cost.scans, cost.single, cost.looked_up) == (set(), 0, 0)
        assert cost.covered > 0


def test_what_is_found_by_a_list_of_keys_is_looked_up_key_by_key(seeded):
    keys = list(Project.objects.order_by("pk").values_list("pk", flat=True))[::60]
    with captured() as asked:
        found = list(Project.objects.filter(pk__in=keys))
    cost = cost_of(asked)
    assert (len(found), cost.looked_up + cost.single) == (50, 50)
    # Of keys on the same page of the index PostgreSQL finds all in one go.
    assert 10 <= cost.looked_up <= 50
    with captured() as asked:
        list(Project.objects.order_by("pk")[:50])
    assert (cost_of(asked).looked_up, cost_of(asked).single) == (0, 50)

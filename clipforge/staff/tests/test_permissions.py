"""The permissions of every page of the admin, tried by every role.

The tables are written by hand. A page that is in none of them fails, so that adding one means
deciding who may use it. A letter is a person:
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from clipforge.devtools.testing.factories import make_organization, make_user
from clipforge.devtools.testing.rows import MAKERS
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.staff.models import ApprovalKind, ApprovalRequest, Note, RescueRun
from credits.models import GrantKind

pytestmark = pytest.mark.django_db

PEOPLE = {
    "0": "anonymous",
    "c": "a customer",
    "n": "staff of no group",
    "s": "support",
    "f": "finance",
    "e": "engineer",
    "a": "admin",
    "R": "superuser",
}

# Django's pages of a model: who may look at its list, a row and its history; add; change; delete.
# "-" means no person.
MODELS = """
auth.group                      R       R       R       -
billing.alert                   sfeaR   -       -       -
billing.billingaccount          sfeaR   -       faR     -
billing.payment                 sfeaR   faR     -       -
billing.planperiod              sfeaR   -       -       -
billing.price                   sfeaR   -       faR     -
billing.stripeevent             sfeaR   -       -       -
billing.subscription            sfeaR   -       -       -
credits.creditaccount           sfeaR   -       -       -
credits.creditgrant             sfeaR   -       -       -
credits.credithold              sfeaR   -       -       -
credits.creditreversal          sfeaR   -       -       -
credits.credittransaction       sfeaR   -       -       -
events.delivery                 sfeaR   -       -       -
events.endpoint                 sfeaR   -       -       -
events.event                    sfeaR   -       -       -
exports.export                  sfeaR   -       -       -
orgs.apikey                     sfeaR   -       -       -
orgs.idempotencyrecord          sfeaR   -       -       -
orgs.membership                 sfeaR   aR      aR      aR
orgs.organization               sfeaR   aR      aR      -
orgs.refusedrequests            sfeaR   -       -       -
audit.auditentry                sfeaR   -       -       -
orgs.tierlimits                 sfeaR   -       eaR     -
orgs.user                       sfeaR   aR      aR      -
procrastinate.procrastinatejob  sfeaR   -       -       -
projects.moment                 sfeaR   -       -       -
projects.project                sfeaR   -       -       -
"""

# Every other page: what its address names, who may open it, who may send its form.
# "405": the page has no such method.
PAGES = """
index                           -       nsfeaR      nsfeaR
login                           -       0cnsfeaR    0cnsfeaR
password_change                 -       nsfeaR      nsfeaR
password_change_done            -       nsfeaR      405
autocomplete                    -       -           405
jsi18n                          -       nsfeaR      405
app_list                        orgs    sfeaR       sfeaR
auth_user_password_change       user    aR          aR
find                            -       nsfeaR      405
glossary                        -       nsfeaR      405
organization-timeline           org     sfeaR       sfeaR
organization-notes              org     sfeaR       sfeaR
pin-note                        note    405         sfeaR
grant-credits                   org     faR         faR
adjust-credits                  org     faR         faR
approvals                       -       faR         faR
approval                        request faR         faR
change-tier                     org     faR         faR
override-limit                  org     eaR         eaR
suspend                         org     eaR         eaR
restore                         org     eaR         eaR
issue-key                       org     seaR        seaR
revoke-key                      key     seaR        seaR
rotate-key                      key     seaR        seaR
limit-key                       key     seaR        seaR
allow-origins                   org     seaR        seaR
add-endpoint                    org     seaR        seaR
change-endpoint                 hook    seaR        seaR
rotate-endpoint                 hook    seaR        seaR
watch-video                     project saR     saR
video-curves                    project sfeaR   405
video-file                      project,source saR 405
moment-file                     moment,poster.jpg saR 405
export-file                     export,clip saR 405
refund-job                      project faR     faR
refund-payment                  payment faR     faR
rescue                          -       sfeaR       405
rescue-confirm                  -       seaR        seaR
rescue-run                      run     seaR        405
customers                       -       sfeaR       405
customers-throttled             -       faR         405
customers-refused               -       faR         405
customers-failing               -       faR         405
customers-codes                 -       faR         405
customers-work                  -       faR         405
customers-storage               -       faR         405
customers-spending              -       faR         405
organization-health             org     sfeaR       405
business                        -       faR         405
business-revenue                -       faR         405
business-recurring              -       faR         405
business-customers              -       faR         405
business-credits                -       faR         405
business-liability              -       faR         405
downloads                       -       faR         405
export-ledger                   -       faR         405
export-projects                 -       faR         405
export-payments                 -       faR         405
second-factor                   -       nsfeaR      nsfeaR
second-factor-enrol             -       nsfeaR      nsfeaR
second-factor-codes             -       nsfeaR      nsfeaR
second-factor-own               -       nsfeaR      nsfeaR
second-factor-reset             user    aR          aR
"""

# What the address of a page may name.
THINGS = {
    "org": "orgs.Organization",
    "user": "orgs.User",
    "key": "orgs.APIKey",
    "hook": "events.Endpoint",
    "project": "projects.Project",
    "moment": "projects.Moment",
    "export": "exports.Export",
    "payment": "billing.Payment",
    "request": "staff.ApprovalRequest",
    "note": "staff.Note",
    "run": "staff.RescueRun",
}
# Ends the session of who sends it: it has a test of its own.
ALONE = {"logout"}
# Open to who has shown the password and not yet the second factor.
BEFORE_SECOND_FACTOR = {"login", "second-factor", "second-factor-enrol"}


class Page(NamedTuple):
    name: str
    args: tuple[str, ...]
    get: str
    post: str


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def pages() -> Iterator[Page]:
    for label, look, add, change, delete in table(MODELS):
        name = label.replace(".", "_")
        yield Page(f"{name}_changelist", (), look, look)
        yield Page(f"{name}_add", (), add, add)
        yield Page(f"{name}_change", (label,), look, change)
        yield Page(f"{name}_delete", (label,), delete, delete)
        yield Page(f"{name}_history", (label,), look, look)
    for name, args, get, post in table(PAGES):
        yield Page(name, tuple(args.split(",")) if args != "-" else (), get, post)


def routes(resolver: Any) -> Iterator[str | None]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern)
        else:
            yield pattern.name


def admin_routes() -> list[str | None]:
    (site,) = (
        each
        for each in get_resolver().url_patterns
        if isinstance(each, URLResolver) and each.namespace == "admin"
    )
    return list(routes(site))


def client_of(who: str) -> Client:
    match PEOPLE[who]:
        case "anonymous":
            return Client()
        case "a customer":
            client = Client()
            client.force_login(make_user())
            return client
        case "staff of no group":
            return signed_in(make_staff())
        case role:
            return signed_in(make_staff(role))


@pytest.fixture(autouse=True)
def second_factor(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def unrendered(settings: Any) -> None:
    """Skip rendering, which takes most of the time and has no effect on permissions."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "clipforge.devtools.testing.staff.unrendered"]


def make_request() -> ApprovalRequest:
    return ApprovalRequest.objects.create(
        token=uuid.uuid4(),
        org=make_organization(),
        kind=ApprovalKind.GRANT,
        grant_kind=GrantKind.PROMO,
        amount=100_000,
        reason="a long outage in May",
        requested_by=make_staff("finance"),
    )


def make_note() -> Note:
    return Note.objects.create(org=make_organization(), author=make_user(), text="Calls on Mondays")


@pytest.fixture
def world() -> dict[str, Model]:
    """A row of every model, by the label of the model in small letters."""
    rows = {label.lower(): make() for label, make in MAKERS.items()}
    rows["staff.approvalrequest"] = make_request()
    rows["staff.note"] = make_note()
    rows["staff.rescuerun"] = RescueRun.objects.create(
        token=uuid.uuid4(), actor=make_user(), action="retry", reason="their worker was lost"
    )
    return rows


def address(page: Page, world: dict[str, Model]) -> str:
    named = [world.get(THINGS.get(arg, arg).lower(), arg) for arg in page.args]
    args = [each.pk if isinstance(each, Model) else each for each in named]
    return reverse(f"admin:{page.name}", args=args)


def outcome(answer: Any) -> str:
    """`in`, `405`, `refused`, or where somebody is sent to say who they are."""
    location = answer.get("Location", "")
    if location.startswith("/admin/login/?"):
        return "sign in"
    if location.startswith("/admin/second-factor/?"):
        return "second factor"
    if answer.status_code in {200, 302}:
        return "in"
    assert answer.status_code in {403, 404, 405}, answer.status_code
    return "405" if answer.status_code == 405 else "refused"


def expected(who: str, may: str) -> str:
    there = may != "405"
    if there and who in may:
        return "in"
    if who in "0c":
        return "sign in"
    return "refused" if there else "405"


def test_every_page_is_in_a_table_once():
    there = [name for name in admin_routes() if name is not None]
    written = [page.name for page in pages()] + sorted(ALONE)
    assert sorted(there) == sorted(written)
    # Of a model: an old address of a row, which leads to the new one. Of the site: what is none.
    assert admin_routes().count(None) == len(MAKERS) + 1


def test_a_page_opens_and_takes_forms_for_whom_the_table_says(world):
    wrong = []
    for who, person in PEOPLE.items():
        client = client_of(who)
        for page in pages():
            url = address(page, world)
            for method, may in (("GET", page.get), ("POST", page.post)):
                found = outcome(client.generic(method, url))
                if found != expected(who, may):
                    wrong.append(f"{person}, {method} {page.name}: {found}")
    assert wrong == []


def test_a_password_alone_opens_no_page_whatever_its_owner_may(world):
    client = Client()
    client.force_login(make_staff("superuser"))
    for page in pages():
        if page.name not in BEFORE_SECOND_FACTOR:
            url = address(page, world)
            for method in ("GET", "POST"):
                answer = client.generic(method, url)
                assert outcome(answer) == "second factor", f"{method} {page.name}"


def test_what_is_no_page_says_so_only_to_staff():
    assert outcome(client_of("n").get("/admin/nonsense/")) == "refused"
    assert outcome(client_of("c").get("/admin/nonsense/")) == "sign in"
    assert outcome(Client().get("/admin/nonsense/")) == "sign in"


@pytest.mark.parametrize("who", "cnsR")
def test_signing_out_takes_a_form_and_not_a_link(who):
    client = client_of(who)
    if who != "c":
        assert client.get("/admin/logout/").status_code == 405
    client.post("/admin/logout/")
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"

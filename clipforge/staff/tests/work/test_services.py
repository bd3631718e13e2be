"""Rescuing failed and stuck jobs: the plan that is shown, its effects, and that it runs once."""

from __future__ import annotations

import copy
import html
import re
import threading
import uuid
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django import app

from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.devtools.testing.factories import (
    TESTER,
    make_export,
    make_organization,
    make_project,
    make_user,
)
from clipforge.devtools.testing.races import run_together, until_a_lock_is_waited_for
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease, nothing_changes
from clipforge.jobs import kinds, lifecycle
from clipforge.jobs.queue import QueueEntry
from clipforge.jobs.rules import Action
from clipforge.orgs.models import Organization, TierLimits, User
from clipforge.staff.models import RescueRun
from clipforge.staff.work import services as work_services
from clipforge.staff.work.services import RescueItem, RescuePlan
from credits import services as credit_services
from credits.models import CreditHold, CreditTransaction, TransactionType
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db

LIST, CONFIRM = "/admin/rescue/", "/admin/rescue/confirm/"
REASON = "The worker of host 7 was lost."


@pytest.fixture
def engineer() -> Client:
    return signed_in(make_staff("engineer"))


def key(item: Any) -> str:
    return f"{getattr(item, 'REFERENCE_TYPE', 'hold')}:{item.pk}"


def ask(client: Client, action: str, *keys: str) -> Any:
    """Choose in the list, and be shown what would change."""
    return client.post(CONFIRM, {"action": action, "item": keys})


def plan_in(response: Any) -> str:
    """The sealed plan in the form of a confirmation."""
    (sealed,) = re.findall(r'name="plan" value="([^"]+)"', response.content.decode())
    return html.unescape(sealed)


def say_yes(client: Client, sealed: str, reason: str = REASON) -> Any:
    return client.post(CONFIRM, {"plan": sealed, "reason": reason}, follow=True)


def do(client: Client, action: str, *keys: str) -> Any:
    return say_yes(client, plan_in(ask(client, action, *keys)))


def words(response: Any) -> str:
    """The text of the page."""
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return " ".join(html.unescape(text).split())


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def make_job(status: str, *, task: str = "credits.expire") -> Any:
    app.configure_task(task, queue="maintenance").defer(timestamp=0)
    job = QueueEntry.objects.latest("id")
    sql("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", status, job.pk)
    return job


def leave_hold(project: Project) -> CreditHold:
    Project.objects.filter(pk=project.pk).update(status="FAILED")
    assert project.hold is not None
    return project.hold


# --- before ----------------------------------------------------------------------------


def test_a_confirmation_lists_what_will_change_with_counts_and_credits_and_changes_nothing(
    engineer,
):
    org = make_organization(name="Acme", credits_=100)
    first = make_project(org, status="FAILED", title="Keynote", duration=600.0)
    second = make_export(make_project(org), status="FAILED")
    with nothing_changes():
        page = ask(engineer, "retry", key(first), key(second))
    assert "staff/once" in page.content.decode()  # which holds a second click back
    text = words(page)
    assert "2 of 2 will be queued again from the start; its price is reserved anew." in text
    assert "To be reserved 11 credits To go back 0 credits" in text
    assert "Keynote Acme FAILED 10 reserved" in text
    assert "Retry 2" in text


def test_it_says_what_cannot_be_done_and_why(engineer):
    org = make_organization(credits_=1)
    chosen = {
        key(make_project(org, status="READY", title="Fine")): "Fine It is READY; only FAILED",
        key(make_project(org, status="FAILED", title="Long", duration=6000)): (
            # Its price was granted to it, and the failure gave it back; the next takes 1 of it.
            "Long This needs 100 credits and"
        ),
        key(make_project(make_organization(is_active=False), status="FAILED", title="Off")): (
            "Off Its organization is suspended."
        ),
        f"project:{uuid.UUID(int=7)}": "Project 00000000-0000-0000-0000-000000000007 It is not there",
        f"hold:{uuid.UUID(int=8)}": '"Retry" is nothing for a hold.',
        f"entry:{make_job('doing').pk}": "It is doing; only a failed entry is retried.",
    }
    credit_services.adjust(
        org=org, amount=-50, reason="spent", actor=TESTER, audit=False, idempotency_key="a"
    )
    text = words(ask(engineer, "retry", *chosen))
    assert "None of what you chose can be changed like this." in text
    for said in chosen.values():
        assert said in text
    assert 'name="plan"' not in text


def test_credits_and_places_are_counted_down_from_one_item_to_the_next(engineer):
    org = make_organization(credits_=0)
    projects = [make_project(org, status="FAILED", title=f"P{number}") for number in range(3)]
    credit_services.adjust(
        org=org, amount=-1, reason="spent", actor=TESTER, audit=False, idempotency_key="a"
    )
    text = words(ask(engineer, "retry", *map(key, projects)))
    assert "2 of 3 will be" in text
    assert "P2 This needs 1 credits and 0 are available." in text
    TierLimits.objects.update(concurrent_jobs=1, queued_jobs=0)
    text = words(ask(engineer, "retry", *map(key, projects)))
    assert "1 of 3 will be" in text
    assert "P1 1 jobs of this organization wait or run, and its limit is 1 at a time." in text


@pytest.mark.parametrize("action", ["retry", "requeue", "cancel", "release"])
def test_a_confirmation_takes_12_queries_at_most_also_of_a_hundred_items(engineer, action):
    org = make_organization(credits_=100)
    project = make_project(org)
    keys = [f"project:{uuid.uuid4()}" for _ in range(90)]
    keys += [key(make_project(org, status="FAILED")), key(make_export(project, status="FAILED"))]
    keys += [key(leave_hold(make_project(org, status="QUEUED"))), f"entry:{make_job('failed').pk}"]
    ask(engineer, action, *keys)
    with CaptureQueriesContext(connection) as queries:
        assert ask(engineer, action, *keys).status_code == 200
    assert len(queries) <= 12, "\n".join(query["sql"][:150] for query in queries)


def test_over_a_hundred_are_refused_with_a_sentence(engineer):
    keys = [f"project:{uuid.uuid4()}" for _ in range(101)]
    response = engineer.post(CONFIRM, {"action": "retry", "item": keys}, follow=True)
    assert response.redirect_chain == [(LIST, 302)]
    assert "101 are chosen. Choose 100 at the most, and come back." in words(response)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"action": "retry"},
        {"action": "delete", "item": "project:x"},
        {"one": "nonsense"},
        {"one": "retry nonsense"},
        {"action": "retry", "item": ["project:nonsense"]},
        {"action": "retry", "item": ["entry:1e3", "hold:"]},
        {"action": "retry", "item": [f"entry:{9**30}"]},
        {"plan": "nonsense", "reason": REASON},
        {"plan": "", "reason": REASON},
    ],
)
def test_what_no_button_of_ours_sends_leads_back_to_the_list_with_a_sentence(engineer, form):
    with nothing_changes():
        response = engineer.post(CONFIRM, form, follow=True)
    assert response.redirect_chain == [(LIST, 302)]
    assert 'class="error"' in response.content.decode()


def test_a_button_in_a_row_asks_about_that_row_alone(engineer):
    first, second = make_project(status="FAILED"), make_project(status="FAILED")
    response = engineer.post(CONFIRM, {"one": f"retry {key(first)}", "item": [key(second)]})
    assert first.title in words(response)
    assert second.title not in words(response)


def test_what_customers_wrote_is_shown_as_they_wrote_it(engineer):
    project = make_project(
        make_organization(name="<script>alert(1)</script>"), status="FAILED", title="<b>x</b>"
    )
    confirmation = ask(engineer, "retry", key(project))
    result = say_yes(engineer, plan_in(confirmation), reason="<i>because of that</i>")
    for response in (confirmation, result):
        for raw in ("<script>alert", "<b>x", "<i>because"):
            assert raw not in response.content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in result.content.decode()


# --- now -------------------------------------------------------------------------------


def test_retried_work_is_queued_with_a_new_hold_and_written_down(engineer):
    org = make_organization(credits_=10)
    project = make_project(org, status="FAILED", title="Keynote")
    text = words(do(engineer, "retry", key(project)))
    assert "1 done, 0 skipped." in text
    project.refresh_from_db()
    assert (project.status, jobs_of(project)) == ("QUEUED", [0, 2])
    assert funds(org) == Funds(available=10, held=1)
    written = AuditEntry.objects.get()
    assert (written.verb, written.org, written.object_type, written.object_id) == (
        "retry_work",
        org,
        "projects.project",
        str(project.pk),
    )
    assert (written.before, written.reason) == ({"status": "FAILED"}, REASON)
    assert written.after == {
        "status": "QUEUED",
        "hold": str(project.hold_id),
        "credits": 1,
        "hold is": "HELD",
    }
    assert project.hold is not None
    assert project.hold.actor == f"user:{written.actor_id}"


def test_cancelled_work_stops_and_gives_its_credits_back(engineer):
    org = make_organization(credits_=10)
    running, queued = (
        make_project(org, status="ANALYZING"),
        make_export(make_project(org), status="QUEUED"),
    )
    worker = Project.objects.get(pk=running.pk)
    asked = ask(engineer, "cancel", key(running), key(queued))
    assert "To go back 2 credits" in words(asked)
    assert "2 done, 0 skipped." in words(say_yes(engineer, plan_in(asked)))
    for item in (running, queued):
        item.refresh_from_db()
        assert item.status == "CANCELLED"
    assert funds(org) == Funds(available=12, held=0)
    assert not lifecycle.succeed(worker, status="READY", actor="worker")
    assert {(each.verb, each.org) for each in AuditEntry.objects.all()} == {("cancel_work", org)}


def test_stuck_work_gets_a_new_job_and_keeps_its_hold(engineer):
    org = make_organization(credits_=10)
    lapsed, queued = (
        make_project(org, status="ANALYZING"),
        make_export(make_project(org), status="QUEUED"),
    )
    lapse_lease(lapsed)
    assert "2 done, 0 skipped." in words(do(engineer, "requeue", key(lapsed), key(queued)))
    assert (jobs_of(lapsed), jobs_of(queued)) == ([0, 2], [0, 1])
    assert funds(org) == Funds(available=10, held=2)
    assert AuditEntry.objects.filter(verb="requeue_work", org=org).count() == 2


def test_a_hold_left_open_is_released_by_itself_or_by_its_work(engineer):
    org = make_organization(credits_=10)
    first, second = make_project(org, status="QUEUED"), make_project(org, status="QUEUED")
    hold = leave_hold(first)
    leave_hold(second)
    asked = ask(engineer, "release", key(hold), key(second))
    assert "To go back 2 credits" in words(asked)
    assert "2 done, 0 skipped." in words(say_yes(engineer, plan_in(asked)))
    assert funds(org) == Funds(available=12, held=0)
    written = AuditEntry.objects.filter(verb="release_hold", object_type="credits.credithold")
    assert written.filter(org=org, after={"status": "RELEASED", "credits": 1}).count() == 2


def test_the_hold_of_work_that_waits_or_runs_is_not_released(engineer):
    project = make_project(status="ANALYZING")
    assert project.hold is not None
    text = words(ask(engineer, "release", key(project), key(project.hold)))
    assert "It waits or runs. Cancel it instead." in text
    assert "It pays for a job that waits or runs. Cancel that instead." in text


def test_a_failed_job_and_one_whose_worker_is_gone_go_back_into_the_queue(engineer):
    failed, orphaned = make_job("failed"), make_job("doing", task="billing.alerts")
    assert "1 done, 0 skipped." in words(do(engineer, "retry", f"entry:{failed.pk}"))
    assert "1 done, 0 skipped." in words(do(engineer, "requeue", f"entry:{orphaned.pk}"))
    assert set(QueueEntry.objects.values_list("status", "attempts")) == {("todo", 1)}
    written = {(each.verb, each.object_type, each.org) for each in AuditEntry.objects.all()}
    assert written == {
        ("retry_work", "procrastinate.procrastinatejob", None),
        ("requeue_work", "procrastinate.procrastinatejob", None),
    }


def test_a_job_whose_kind_waits_already_is_skipped_and_nothing_is_written_down(engineer):
    failed = make_job("failed")
    make_job("todo")
    with nothing_changes():
        text = words(do(engineer, "retry", f"entry:{failed.pk}"))
    assert "0 done, 1 skipped." in text
    assert "Another entry of its task waits already, and will do the same." in text
    assert not AuditEntry.objects.exists()


def test_one_that_fails_keeps_no_other_from_being_done(engineer, monkeypatch, caplog):
    first, second = make_project(status="FAILED", title="First"), make_project(status="FAILED")

    def broken_for_first(project: Project) -> str:
        if project.pk == first.pk:
            raise RuntimeError("no such luck")
        return ANALYSIS.reason(project)

    monkeypatch.setitem(kinds._kinds, "project", replace(ANALYSIS, reason=broken_for_first))
    text = words(do(engineer, "retry", key(first), key(second)))
    assert "1 done, 1 skipped." in text
    assert "First Something failed on our side; the log says what." in text
    assert "no such luck" in caplog.text
    assert "no such luck" not in text
    first.refresh_from_db()
    assert first.status == "FAILED"
    assert AuditEntry.objects.get().object_id == str(second.pk)


def test_work_that_failed_again_meanwhile_is_another_matter_and_is_skipped(engineer):
    project = make_project(make_organization(credits_=10), status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    do(signed_in(make_staff("engineer")), "retry", key(project))
    claimed = lifecycle.claim(Project, project.pk, fence=2)
    assert claimed is not None
    lifecycle.fail(claimed, error=("truncated", "It ends early."), actor="test")
    with nothing_changes():
        text = words(say_yes(engineer, sealed))
    assert "It changed meanwhile: it is FAILED now." in text


def test_an_organization_that_was_suspended_meanwhile_is_left_alone(engineer):
    project = make_project(status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    Organization.objects.update(is_active=False)
    with nothing_changes():
        assert "0 done, 1 skipped." in words(say_yes(engineer, sealed))


def test_a_reason_that_says_nothing_is_asked_for_again_and_nothing_is_done(engineer):
    project = make_project(status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    with nothing_changes():
        for reason in ("", "ok", "          "):
            again = engineer.post(CONFIRM, {"plan": sealed, "reason": reason})
            assert again.status_code == 200
            assert "errorlist" in again.content.decode()
    assert "1 done, 0 skipped." in words(say_yes(engineer, plan_in(again)))


# --- once ------------------------------------------------------------------------------


def test_a_second_click_shows_what_the_first_did(engineer):
    org = make_organization(credits_=10)
    project = make_project(org, status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    first = say_yes(engineer, sealed)
    lifecycle.cancel(project, actor="customer")  # so that a retry would be possible again
    with nothing_changes():
        second = say_yes(engineer, sealed)
    assert second.redirect_chain == first.redirect_chain
    assert "1 done, 0 skipped." in words(second)
    assert AuditEntry.objects.count() == RescueRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_five_clicks_at_once_are_one(roles):
    client = signed_in(make_staff("engineer"))
    org = make_organization(credits_=10)
    project = make_project(org, status="FAILED")
    sealed = plan_in(ask(client, "retry", key(project)))

    def click(_: int) -> int:
        own = Client()
        own.cookies = copy.deepcopy(client.cookies)
        return own.post(CONFIRM, {"plan": sealed, "reason": REASON}).status_code

    assert run_together(5, click) == [302] * 5
    assert jobs_of(project) == [0, 2]
    assert funds(org) == Funds(available=10, held=1)
    assert AuditEntry.objects.count() == RescueRun.objects.count() == 1


def test_a_run_that_was_cut_off_says_so_and_is_not_begun_again(engineer):
    project = make_project(status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    say_yes(engineer, sealed)
    RescueRun.objects.update(finished_at=None, results=[])
    text = words(say_yes(engineer, sealed))
    assert "is not recorded as finished" in text
    assert AuditEntry.objects.count() == 1


@pytest.fixture
def roles(transactional_db: None) -> None:
    """A transactional test before this one may have emptied what migrations made."""
    import_module("clipforge.staff.migrations.0002_roles").make_groups(apps, None)


@pytest.mark.django_db(transaction=True)
def test_work_that_is_finished_while_staff_confirm_its_cancelling_is_skipped_and_charged_once(
    roles,
):
    client = signed_in(make_staff("engineer"))
    org = make_organization(credits_=10)
    project = make_project(org, status="ANALYZING", title="Keynote")
    sealed = plan_in(ask(client, "cancel", key(project)))
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(_in_a_thread(client, sealed)))
    with transaction.atomic():
        # The worker has recorded its result and is about to commit; staff wait behind it.
        assert lifecycle.succeed(project, status="READY", actor="worker")
        thread.start()
        until_a_lock_is_waited_for()
    thread.join()
    assert "0 done, 1 skipped." in answers[0]
    assert "Keynote It is READY already; there is nothing to cancel." in answers[0]
    assert CreditTransaction.objects.filter(type=TransactionType.SPEND).count() == 1
    assert funds(org) == Funds(available=10, held=0)
    assert not AuditEntry.objects.exists()


def _in_a_thread(client: Client, sealed: str) -> str:
    try:
        return words(say_yes(client, sealed))
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("action", ["cancel", "requeue"])
def test_of_a_worker_that_finishes_and_staff_at_the_same_moment_one_wins(roles, action):
    actor = Actor.of_user(make_user(is_staff=True, is_superuser=True))
    org = make_organization(credits_=100)
    charged = 0
    for _ in range(8):
        project = make_project(org, status="ANALYZING")
        lapse_lease(project)
        made = RescuePlan(
            Action(action), [RescueItem("project", str(project.pk), fence=project.fence)]
        )

        def act(number: int, project: Project = project, made: RescuePlan = made) -> object:
            if number == 0:
                return lifecycle.succeed(project, status="READY", actor="worker")
            return work_services.carry_out(uuid.uuid4(), made, reason=REASON, actor=actor)

        done, run = run_together(2, act)
        assert isinstance(run, RescueRun), run
        project.refresh_from_db()
        if done is True:
            assert (project.status, run.results[0]["done"]) == ("READY", False)
            charged += 1
        else:
            assert done is False
            assert run.results[0]["done"], run.results
            assert project.status == {"cancel": "CANCELLED", "requeue": "QUEUED"}[action]
            if action == "requeue":
                lifecycle.cancel(project, actor="test")
    assert CreditTransaction.objects.filter(type=TransactionType.SPEND).count() == charged
    assert funds(org) == Funds(available=100 + 8 - charged, held=0)


@pytest.mark.django_db(transaction=True)
def test_two_of_the_staff_who_retry_the_same_work_reserve_once(roles):
    clients = [signed_in(make_staff("engineer")), signed_in(make_staff("engineer"))]
    org = make_organization(credits_=10)
    project = make_project(org, status="FAILED")
    sealed = [plan_in(ask(client, "retry", key(project))) for client in clients]
    answers = run_together(2, lambda number: words(say_yes(clients[number], sealed[number])))
    assert sorted("1 done, 0 skipped." in str(answer) for answer in answers) == [False, True]
    assert jobs_of(project) == [0, 2]
    assert funds(org) == Funds(available=10, held=1)
    assert AuditEntry.objects.count() == 1


# --- who -------------------------------------------------------------------------------


def test_who_may_only_retry_can_neither_ask_nor_confirm_anything_else():
    support, engineer = signed_in(make_staff("support")), signed_in(make_staff("engineer"))
    project = make_project(status="ANALYZING")
    for action in ("cancel", "requeue", "release"):
        assert ask(support, action, key(project)).status_code == 403
    assert ask(support, "retry", key(make_project(status="FAILED"))).status_code == 200
    sealed = plan_in(ask(engineer, "cancel", key(project)))
    with nothing_changes():
        assert "Somebody else was asked to confirm this." in words(say_yes(support, sealed))


def test_who_lost_the_permission_meanwhile_is_refused(engineer):
    project = make_project(status="ANALYZING")
    sealed = plan_in(ask(engineer, "cancel", key(project)))
    user = User.objects.get(is_staff=True)
    user.groups.set([Group.objects.get(name="support")])
    with nothing_changes():
        assert engineer.post(CONFIRM, {"plan": sealed, "reason": REASON}).status_code == 403


def test_finance_and_strangers_get_nowhere():
    finance = signed_in(make_staff("finance"))
    project = make_project(status="FAILED")
    run = RescueRun.objects.create(
        token=uuid.uuid4(), actor=make_user(), action="retry", reason=REASON
    )
    for url in (CONFIRM, f"{LIST}runs/{run.pk}/"):
        assert finance.get(url).status_code == 403
        assert Client().get(url).status_code == 302
    assert ask(finance, "retry", key(project)).status_code == 403
    stranger = Client()
    stranger.force_login(make_user())
    assert ask(stranger, "retry", key(project)).status_code == 302


def test_a_confirmation_that_was_opened_by_its_address_leads_to_the_list(engineer):
    assert engineer.get(CONFIRM)["Location"] == LIST
    assert engineer.get(f"{LIST}runs/{uuid.uuid4()}/").status_code == 404


def test_a_confirmation_is_refused_without_the_token_of_the_form():
    client = Client(enforce_csrf_checks=True)
    user = make_user(is_staff=True, is_superuser=True)
    client.force_login(user)
    assert ask(client, "retry", key(make_project(status="FAILED"))).status_code == 403


def test_a_confirmation_that_lay_for_too_long_is_refused(engineer, monkeypatch):
    project = make_project(status="FAILED")
    sealed = plan_in(ask(engineer, "retry", key(project)))
    monkeypatch.setattr(work_services, "PLAN_SECONDS", -1)
    with nothing_changes():
        text = words(say_yes(engineer, sealed))
    assert "This confirmation is too old. Choose again what to change." in text

"""The pages of projects, moments and exports: what they say, who may watch, what they offer."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from clipforge.audit.models import AuditEntry
from clipforge.common import storage
from clipforge.devtools.testing.factories import (
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_transcript,
)
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.jobs.rules import Action
from clipforge.staff.work import services as work_services
from credits.models import CreditTransaction, TransactionType
from credits.rules import funds_of
from projects import watching
from projects.models import Project

pytestmark = pytest.mark.django_db

REASON = "asked for by mail, ticket 4412"
VTT = (
    "WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nstrip.jpg#xywh=0,0,160,90\n\n"
    "00:00:05.000 --> 00:00:10.000\nstrip.jpg#xywh=160,0,160,90\n"
)


@pytest.fixture
def film(tmp_path: Path) -> Project:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    return make_project(
        make_organization(name="Acme", credits_=10),
        source=source,
        title="Thirty seconds",
        size=5_266_853,
        duration=15.416666666666666,
        width=1920,
        height=1080,
        fps=25.0,
        video_codec="h264",
        audio_codec="aac",
    )


@pytest.fixture
def support() -> Client:
    return signed_in(make_staff("support"))


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def shown(client: Client, row: Any) -> str:
    answer = client.get(page_of(row))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def watch(client: Client, project: Project, reason: str = REASON) -> Any:
    address = reverse("admin:watch-video", args=[project.pk])
    return client.post(address, {"reason": reason} if reason else {})


def file_of(project: Project, name: str = "source") -> str:
    return reverse("admin:video-file", args=[project.pk, name])


# --- in words --------------------------------------------------------------------------


def test_the_page_of_a_project_says_in_words_what_it_is_and_what_became_of_it(film, support):
    moment = make_moment(film, title="The best of it", reason="Somebody talks fast.")
    export = make_export(film)
    said = shown(support, film)
    assert "5.3 MB, 15.4 s, 1920×1080, 25 fps, H.264, sound in AAC" in said
    for text in (
        str(film.pk),
        "Acme",
        "1 credit",
        "Asked for",
        "Queued",
        "Analyzing",
        "Ready",
        "Queue entry",
        "Somebody talks fast.",
        page_of(moment),
        page_of(export),
        "1 begun by a worker",
        f"{film.org_id}/projects/{film.pk}/source",
    ):
        assert text in said, text
    spend = CreditTransaction.objects.get(reference_id=str(film.pk), type=TransactionType.SPEND)
    assert page_of(spend) in said
    assert "15.416" not in said.partition("<summary>All columns")[0]


def test_the_page_of_an_export_has_its_clip_its_charge_and_whether_its_files_are_there(
    film, support
):
    export = make_export(film, content=b"x" * 2000)
    said = shown(support, export)
    assert "2.0 kB, 10.0 s, 480×854, MP4, H.264" in said
    assert "9:16, 480 pixels" in said
    assert said.count("Not there") == 4  # its pictures; the clip is
    storage.delete(export.file_key)
    assert shown(support, export).count("Not there") == 5


def test_a_failed_job_shows_its_code_its_sentence_and_its_last_words(support):
    export = make_export(status="FAILED", failure_detail="frame 12: no such codec")
    export.failure_detail = "frame 12: no such codec"
    export.save(update_fields=["failure_detail"])
    said = shown(support, export)
    for text in ("timed_out", "It took too long.", "frame 12: no such codec", "There is no clip"):
        assert text in said
    assert "The ledger has no row of it: nothing was charged." in said


def test_the_page_of_a_moment_has_its_reason_its_scores_and_its_exports(film, support):
    moment = make_moment(film, reason="A loud crowd.")
    export = make_export(film, moment=moment)
    said = shown(support, moment)
    for text in ("A loud crowd.", "70 of 100", "0:00 to 0:20", page_of(film), page_of(export)):
        assert text in said
    assert said.index("speech") < said.index("motion")  # the highest first


def test_without_features_the_curve_says_why_there_is_none(film, support):
    answer = support.get(reverse("admin:video-curves", args=[film.pk]))
    assert (answer.status_code, answer["Content-Type"][:13]) == (200, "image/svg+xml")
    assert b"analysed before" in answer.content


# --- watching --------------------------------------------------------------------------


def test_watching_asks_for_a_reason_once_a_session_and_leaves_a_row_a_video(film, support):
    other = make_project(film.org, title="Another")
    assert "<video" not in shown(support, film)
    assert support.get(file_of(film))["Location"] == reverse("admin:watch-video", args=[film.pk])
    assert watch(support, film, "why not").status_code == 200  # says too little
    assert not AuditEntry.objects.filter(verb="watch_video").exists()
    assert watch(support, film)["Location"] == page_of(film)
    assert watch(support, film)["Location"] == page_of(film)  # is open: no further row
    assert "<video" in shown(support, film)
    assert "<video" not in shown(support, other)
    assert watch(support, other, "")["Location"] == page_of(other)  # by the reason of before
    kept = AuditEntry.objects.filter(verb="watch_video").order_by("id")
    assert [(row.object_id, row.reason, row.org_id) for row in kept] == [
        (str(film.pk), REASON, film.org_id),
        (str(other.pk), REASON, film.org_id),
    ]


def test_another_session_of_the_same_person_is_asked_again(film):
    person = make_staff("support")
    assert watch(signed_in(person), film).status_code == 302
    again = signed_in(person)
    assert "<video" not in shown(again, film)
    assert watch(again, film, "").status_code == 200


@pytest.mark.parametrize("role", ["finance", "engineer"])
def test_finance_and_engineers_cannot_watch_and_are_told(film, role):
    client = signed_in(make_staff(role))
    make_transcript(film, "A secret word.")
    said = shown(client, film)
    assert "your group may not" in said
    assert "secret" not in said
    assert "Watch…" not in said
    for address in (file_of(film), reverse("admin:watch-video", args=[film.pk])):
        assert client.get(address).status_code == 403
    assert watch(client, film).status_code == 403
    assert not AuditEntry.objects.filter(verb="watch_video").exists()


def test_who_loses_the_permission_meanwhile_sees_no_more(film):
    person = make_staff("support")
    client = signed_in(person)
    watch(client, film)
    person.groups.clear()
    person.user_permissions.clear()
    assert client.get(file_of(film)).status_code == 403


def test_the_words_and_the_strip_are_shown_once_it_is_open(film, support):
    make_transcript(film, "A secret word.")
    path = storage.path_of(f"{film.source_key}.strip.vtt")
    path.write_text(VTT)
    assert "secret" not in shown(support, film)
    watch(support, film)
    said = shown(support, film)
    assert "A secret word." in said
    assert said.count('viewBox="160 0 160 90"') == 1
    assert 'width="320" height="90"' in said


def test_the_source_is_played_by_ranges_through_a_signed_link(film, support):
    watch(support, film)
    link = support.get(file_of(film))["Location"]
    answer: Any = Client().get(link, headers={"range": "bytes=2-4"})
    assert (answer.status_code, b"".join(answer.streaming_content)) == (206, b"234")
    assert answer["Content-Disposition"].startswith("inline")
    assert Client().get(link.replace("/files/sources/", "/files/sources/x")).status_code == 403


def test_the_link_of_a_source_ends(film, settings):
    link = watching.signed_url(film)
    settings.DOWNLOAD_URL_SECONDS = -1
    answer = Client().get(link)
    assert (answer.status_code, answer.json()["code"]) == (403, "link_expired")


def test_a_source_that_ended_has_no_player_and_no_link(film, support):
    watch(support, film)
    Project.objects.filter(pk=film.pk).update(source_key="", status="EXPIRED")
    assert "deleted after its retention" in shown(support, film)
    assert support.get(file_of(film)).status_code == 409


def test_a_name_of_no_file_is_404_and_the_way_back_is_one_of_ours(film, support):
    watch(support, film)
    assert support.get(file_of(film, "passwd")).status_code == 404
    away = f"{reverse('admin:watch-video', args=[film.pk])}?from=//evil.example/admin/"
    assert support.get(away)["Location"] == page_of(film)
    export = make_export(film)
    back = f"{reverse('admin:watch-video', args=[film.pk])}?from={page_of(export)}"
    assert support.get(back)["Location"] == page_of(export)


# --- what is offered -------------------------------------------------------------------


def test_what_cannot_succeed_is_not_offered_and_says_why(film):
    client = signed_in(make_staff("superuser"))
    said = shown(client, film)
    assert 'value="retry' not in said
    assert "No retry: It is READY; only FAILED or CANCELLED work can be retried." in said
    assert "No cancel: It is READY already; there is nothing to cancel." in said
    assert reverse("admin:refund-job", args=[film.pk]) in said


def test_a_retry_without_its_source_is_not_offered_anywhere(film):
    support = signed_in(make_staff("superuser"))
    failed = make_project(film.org, status="FAILED", title="Lost")
    lost = "Its source is not there any more, so it would fail again."
    rescue = reverse("admin:rescue")
    # As a failure of another sort it is offered, without a look into the store.
    assert f'value="retry project:{failed.pk}"' in shown(support, failed)
    Project.objects.filter(pk=failed.pk).update(error_code="source_missing")
    assert f"No retry: {lost}" in shown(support, failed)
    listed = support.get(rescue).content.decode()
    assert f"retry project:{failed.pk}" not in listed
    assert lost in listed
    plan = work_services.plan(Action.RETRY, [f"project:{failed.pk}"])
    assert plan.possible == []
    assert plan.refused[0].refusal.startswith(lost)
    storage.path_of(failed.source_key).parent.mkdir(parents=True)
    storage.path_of(failed.source_key).write_bytes(b"restored")
    assert f'value="retry project:{failed.pk}"' in shown(support, failed)
    assert f"retry project:{failed.pk}" in support.get(rescue).content.decode()


def test_support_is_offered_a_retry_and_finance_a_refund(film):
    failed = make_project(film.org, status="FAILED")
    of_support = shown(signed_in(make_staff("support")), failed)
    assert 'value="retry' in of_support
    assert "efund" not in of_support.partition("<summary>All columns")[0]
    of_finance = shown(signed_in(make_staff("finance")), failed)
    assert 'value="retry' not in of_finance
    assert "No refund: Nothing was charged for it." in of_finance


# --- refunds of credits ----------------------------------------------------------------


def refund(client: Client, project: Project, amount: int, token: str = "") -> Any:
    address = reverse("admin:refund-job", args=[project.pk])
    token = token or client.get(address).context["token"]
    return client.post(address, {"amount": amount, "reason": REASON, "token": token})


def test_a_charge_is_given_back_once_whole_or_in_part():
    org = make_organization(credits_=10)
    project = make_project(org, duration=180.0)  # 3 credits, which it was granted
    client = signed_in(make_staff("finance"))
    token = client.get(reverse("admin:refund-job", args=[project.pk])).context["token"]
    for _ in range(2):  # the second click gives back nothing more
        assert refund(client, project, 1, token)["Location"] == page_of(project)
        assert funds_of(org.pk).posted == 11
    assert refund(client, project, 3).status_code == 200  # 2 are left
    assert refund(client, project, 2).status_code == 302
    assert funds_of(org.pk).posted == 13
    assert (
        "There is nothing to give back."
        in client.get(reverse("admin:refund-job", args=[project.pk])).content.decode()
    )
    assert AuditEntry.objects.filter(verb="refund_credits", org=org).count() == 2
    assert "No refund: All that was charged is given back already." in shown(client, project)


def test_more_than_one_person_may_move_is_not_given_back_by_one(settings):
    settings.STAFF_GRANT_CONFIRM_CREDITS = 3
    org = make_organization(credits_=10)
    first, second = (make_project(org, duration=120.0) for _ in range(2))
    client = signed_in(make_staff("finance"))
    assert refund(client, first, 2).status_code == 302
    answer = refund(client, second, 2)  # 4 within a day
    assert "a second person confirms that" in answer.content.decode()
    assert funds_of(org.pk).posted == 12


def test_nobody_but_who_may_grant_credits_refunds(film):
    for role in ("support", "engineer"):
        client = signed_in(make_staff(role))
        address = reverse("admin:refund-job", args=[film.pk])
        assert client.get(address).status_code == 403
    nothing = reverse("admin:refund-job", args=[make_moment(film).pk])
    assert signed_in(make_staff("finance")).get(nothing).status_code == 404


def test_the_strip_of_states_says_when_and_for_how_long(film, support):
    at = timezone.now().replace(microsecond=0) - datetime.timedelta(hours=1)
    Project.objects.filter(pk=film.pk).update(
        created_at=at,
        queued_at=at + datetime.timedelta(seconds=2),
        started_at=at + datetime.timedelta(seconds=5),
        finished_at=at + datetime.timedelta(seconds=95),
    )
    said = shown(support, film)
    assert "for 2.0 s" in said
    assert "for 3.0 s" in said
    assert "for 1:30" in said
    assert f"{at:%Y-%m-%d %H:%M:%S} UTC" in said

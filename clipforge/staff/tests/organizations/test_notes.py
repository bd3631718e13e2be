"""Notes on an organization: who wrote them, when, and which stand first."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Invalid
from clipforge.devtools.testing.clocks import around
from clipforge.devtools.testing.factories import TESTER, make_organization, make_user
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.staff import make_staff, signed_in
from clipforge.orgs.models import Organization
from clipforge.staff.models import Note
from clipforge.staff.organizations import notes

pytestmark = pytest.mark.django_db


def page_of(org: Organization) -> str:
    return reverse("admin:orgs_organization_change", args=[org.pk])


def shown(client: Client, org: Organization) -> list[str]:
    return [note["text"] for note in client.get(page_of(org)).context["notes"]]


def test_a_note_is_read_by_every_colleague_with_who_wrote_it_and_when():
    org, mia = make_organization(), make_staff("support", username="mia")
    page = reverse("admin:organization-notes", args=[org.pk])
    sent = signed_in(mia).post(page, {"text": " Calls on <b>Mondays</b>\nonly "})
    assert sent["Location"] == page_of(org)
    note = Note.objects.get()
    assert (note.text, note.author, note.is_pinned) == ("Calls on <b>Mondays</b>\nonly", mia, False)
    for path in (page_of(org), page):
        text = signed_in(make_staff("finance")).get(path).content.decode()
        assert "Calls on &lt;b&gt;Mondays&lt;/b&gt;<br>only" in text
        assert f"{note.created_at:%Y-%m-%d %H:%M:%S} UTC</time> mia" in text
    assert AuditEntry.objects.get(verb="write_note").org == org


def test_the_pinned_stand_first_and_then_the_newest():
    org, client = make_organization(), signed_in(make_staff("support"))
    made = [
        Note.objects.create(org=org, author=make_user(), text=f"note {number}")
        for number in range(12)
    ]
    pin = reverse("admin:pin-note", args=[made[0].pk])
    client.post(pin, {"pinned": "1"})
    assert shown(client, org) == ["note 0", *(f"note {number}" for number in range(11, 2, -1))]
    client.post(pin, {"pinned": "0"})
    assert shown(client, org)[0] == "note 11"
    assert [entry.after for entry in AuditEntry.objects.filter(verb="pin_note").order_by("pk")] == [
        {"pinned": True},
        {"pinned": False},
    ]


def test_a_note_that_is_pinned_already_leaves_no_second_entry():
    note = Note.objects.create(org=make_organization(), author=make_user(), text="x")
    done = [notes.pin_note(note=note, is_pinned=True, actor=TESTER) for _ in range(2)]
    assert (done, AuditEntry.objects.filter(verb="pin_note").count()) == ([True, False], 1)


@pytest.mark.parametrize("text", ["", "  ", "x" * 4001, "a\0b"])
def test_what_is_no_note_is_refused_and_stays_in_its_box(text):
    org, client = make_organization(), signed_in(make_staff("support"))
    page = reverse("admin:organization-notes", args=[org.pk])
    refused = client.post(page, {"text": text, "is_pinned": "on"})
    assert (refused.status_code, Note.objects.count()) == (200, 0)
    assert refused.context["form"]["text"].value() == text
    with pytest.raises(Invalid):
        notes.write_note(org=org, author=make_user(), text=text, is_pinned=False, actor=TESTER)


def test_the_longest_note_has_4000_characters():
    org: Any = make_organization()
    long = "x" * notes.LONGEST
    notes.write_note(org=org, author=make_user(), text=long, is_pinned=False, actor=TESTER)
    assert Note.objects.get().text == long


def test_notes_on_another_organization_are_not_shown():
    org, other = make_organization(), make_organization()
    Note.objects.create(org=other, author=make_user(), text="theirs")
    assert shown(signed_in(make_staff("support")), org) == []


def test_the_same_words_are_another_note_after_a_minute():
    org, author = make_organization(), make_user()

    def write() -> Note:
        return notes.write_note(
            org=org, author=author, text="Called", is_pinned=False, actor=TESTER
        )

    first = write()
    assert around(first.created_at + notes.TWICE, lambda: write() == first) == [True, False, False]


@pytest.mark.django_db(transaction=True)
def test_eight_clicks_at_once_write_one_note():
    org, author = make_organization(), make_user()

    def click(_: int) -> int:
        note = notes.write_note(
            org=org, author=author, text="Calls on Mondays", is_pinned=False, actor=TESTER
        )
        return note.pk

    assert len(set(run_together(8, click))) == 1
    assert Note.objects.count() == 1

"""Notes of staff on an organization: written, pinned, and read by every colleague."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common.errors import Invalid
from clipforge.common.models import OrgQuerySet
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization, User
from clipforge.staff.models import Note
from clipforge.staff.pages import needs, page

LONGEST = 4000
# Shown on the page of its own.
SHOWN = 200
# A second click on the form within this time writes no second note.
TWICE = datetime.timedelta(minutes=1)
MAY = "orgs.view_organization"


def notes_of(org: Organization) -> OrgQuerySet[Note]:
    """The pinned first, then the newest."""
    found = Note.objects.for_org(org).order_by("-is_pinned", "-created_at", "-id")
    return found.select_related("author")


def write_note(
    *, org: Organization, author: User, text: str, is_pinned: bool, actor: Actor
) -> Note:
    """Keep a note. The same text of the same person within a minute is the same note. Raises Invalid."""
    text = text.strip()
    if not 0 < len(text) <= LONGEST or "\0" in text:
        raise Invalid(f"A note has 1 to {LONGEST:,} characters.")
    with atomic():
        org_selectors.all_organizations().select_for_update(no_key=True).get(pk=org.pk)
        again = Note.objects.for_org(org).filter(
            author=author, text=text, created_at__gt=timezone.now() - TWICE
        )
        if known := again.first():
            return known
        note = Note.objects.create(org=org, author=author, text=text, is_pinned=is_pinned)
        write_entry(
            actor=actor,
            verb="write_note",
            subject=note,
            org=org,
            after={"pinned": is_pinned},
            reason="a note for colleagues",
        )
    return note


def pin_note(*, note: Note, is_pinned: bool, actor: Actor) -> bool:
    """Put it before all others, or back among them. False where it is so already."""
    with atomic():
        if not Note.objects.filter(pk=note.pk, is_pinned=not is_pinned).update(is_pinned=is_pinned):
            return False
        write_entry(
            actor=actor,
            verb="pin_note",
            subject=note,
            org=note.org,
            before={"pinned": not is_pinned},
            after={"pinned": is_pinned},
            reason="a note for colleagues",
        )
    return True


class NoteForm(forms.Form):
    text = forms.CharField(
        label="Note",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="For colleagues. The customer never sees it, and it is never changed.",
    )
    is_pinned = forms.BooleanField(label="Pinned: it stands before all others", required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(MAY)
def organization_notes(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The notes on an organization, and the form for one more."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = NoteForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        author: Any = request.user
        write_note(org=org, author=author, actor=Actor.of_request(request), **form.cleaned_data)
        messages.success(request, "The note is kept.")
        return redirect("admin:orgs_organization_change", org.pk)
    return page(
        request,
        "staff/organizations/notes.html",
        title=f"Notes on {org.name}",
        org=org,
        form=form,
        notes=[as_row(note) for note in notes_of(org)[:SHOWN]],
    )


@require_POST
@needs(MAY)
def pin(request: HttpRequest, pk: int) -> HttpResponse:
    """Pin the note where `pinned` is 1, else put it back among the others."""
    note = get_object_or_404(Note.objects.select_related("org"), pk=pk)
    is_pinned = request.POST.get("pinned") == "1"
    changed = pin_note(note=note, is_pinned=is_pinned, actor=Actor.of_request(request))
    word = "pinned" if is_pinned else "no longer pinned"
    messages.success(request, f"The note is {word}{'' if changed else ' already'}.")
    return redirect("admin:orgs_organization_change", note.org_id)


def as_row(note: Note) -> dict[str, Any]:
    """As the list on the page of an organization has it."""
    return {
        "id": note.pk,
        "at": note.created_at,
        "text": note.text,
        "is_pinned": note.is_pinned,
        "author": note.author.username,
    }

"""The names of causes: in the ledger and the log as one word, in the audit in full."""

from __future__ import annotations

import getpass

import pytest
from django.test import RequestFactory

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.common import logs
from clipforge.common.errors import Invalid
from clipforge.devtools.testing.factories import REASON, make_organization, make_user

pytestmark = pytest.mark.django_db


def test_each_kind_has_one_word_in_the_ledger_and_the_log():
    user = make_user(email="ada@example.com")
    assert [
        str(each)
        for each in (
            Actor.of_user(user),
            Actor.of_command("set_tier"),
            Actor.of_command("set_tier", operator=user),
            Actor.of_stripe("evt_1"),
            Actor.of_system("sweeper"),
            Actor.of_api_key("abcd1234"),
        )
    ] == [
        f"user:{user.pk}",
        "command:set_tier",
        "command:set_tier",
        "stripe",
        "system:sweeper",
        "key:abcd1234",
    ]


def test_a_request_names_its_person_itself_and_where_it_came_from():
    request = RequestFactory().get("/admin/", REMOTE_ADDR="203.0.113.7")
    request.user = make_user(email="ada@example.com")
    logs.start_context(request_id="r-1")
    try:
        actor = Actor.of_request(request)
    finally:
        logs.start_context()
    assert (actor.user_id, actor.label) == (request.user.pk, "ada@example.com")
    assert (actor.request_id, actor.address) == ("r-1", "203.0.113.7")


def test_a_command_names_its_operator_or_else_the_os_user():
    ada = make_user(email="ada@example.com")
    by_ada, by_nobody = Actor.of_command("set_tier", operator=ada), Actor.of_command("set_tier")
    assert (by_ada.user_id, by_ada.label) == (ada.pk, "ada@example.com")
    assert (by_nobody.user_id, by_nobody.label) == (None, getpass.getuser())


@pytest.mark.parametrize("reason", ["", "         ", "  too short"[:9]])
def test_an_entry_needs_a_reason_of_ten_characters(reason):
    org = make_organization()
    with pytest.raises(Invalid, match="at least 10 characters"):
        write_entry(actor=Actor.of_system("x"), verb="v", subject=org, reason=reason)


def test_an_entry_keeps_the_actor_the_subject_and_both_states():
    org = make_organization(name="Acme")
    entry = write_entry(
        actor=Actor.of_stripe("evt_1"),
        verb="change_tier",
        subject=org,
        org=org,
        before={"tier": "FREE"},
        after={"tier": "PRO"},
        reason=f"  {REASON} ",
    )
    entry.refresh_from_db()
    assert (entry.actor, entry.actor_kind, entry.actor_name, entry.actor_label) == (
        None,
        "stripe",
        "evt_1",
        "Stripe",
    )
    assert (entry.object_type, entry.object_id, entry.object_label, entry.org) == (
        "orgs.organization",
        str(org.pk),
        "Acme",
        org,
    )
    assert (entry.before, entry.after, entry.reason) == ({"tier": "FREE"}, {"tier": "PRO"}, REASON)

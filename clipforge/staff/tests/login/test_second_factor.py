"""The second factor: without it a password opens nothing, and with it nothing opens twice."""

from __future__ import annotations

import base64
import datetime
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.audit.models import AuditEntry
from clipforge.common.errors import DomainError
from clipforge.devtools.testing.factories import TESTER, make_user
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.staff import PASSWORD, code_of, make_staff, phone_of, signed_in
from clipforge.orgs.models import User
from clipforge.staff.login import second_factor

pytestmark = pytest.mark.django_db

VERIFY, ENROL = "/admin/second-factor/", "/admin/second-factor/enrol/"
OWN, CODES = "/admin/second-factor/yours/", "/admin/second-factor/codes/"
LIST = "/admin/orgs/organization/"


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2026-11-24 12:00:15Z", tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in every run: by chance, a phone shows what is meant to be a wrong code."""
    numbers = itertools.count(1)
    monkeypatch.setattr(second_factor, "default_key", lambda: f"{next(numbers):040x}")


@pytest.fixture(autouse=True)
def required(settings: Any) -> None:
    settings.STAFF_SECOND_FACTOR = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def by_password(user: User, then: str = LIST) -> Client:
    """A browser in which the password was right, and nothing more was shown."""
    client = Client()
    form = {"username": user.username, "password": PASSWORD, "next": then}
    assert client.post(f"/admin/login/?next={then}", form)["Location"] == then
    return client


def verify(client: Client, code: str, then: str = LIST, field: str = "code") -> Any:
    return client.post(VERIFY, {field: code, "next": then})


def secret_on(page: Any) -> str:
    """The secret as a person reads it from the page, in hexadecimal."""
    text = re.search(r'class="cf-secret">([A-Z2-7 ]+)<', page.content.decode())
    assert text
    return base64.b32decode(text[1].replace(" ", "")).hex()


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set a phone up as a person does. The secret that the phone has now, and the recovery codes."""
    secret = secret_on(client.get(f"{ENROL}?next={LIST}"))
    answer = client.post(ENROL, {"code": code_of(secret), "next": LIST})
    assert answer["Location"].startswith(CODES), answer.content.decode()
    page = client.get(answer["Location"]).content.decode()
    return secret, re.findall(r"<code>([a-z2-7]{4}-[a-z2-7]{4})</code>", page)


def refused(answer: Any, sentence: str) -> bool:
    return answer.status_code == 200 and sentence in answer.content.decode()


# --- the way in ------------------------------------------------------------------------


def test_a_password_alone_leads_to_the_second_factor_from_every_page():
    user = make_staff("superuser")
    phone_of(user)
    client = by_password(user)
    for url in ("/admin/", LIST, "/admin/password_change/", OWN, CODES, "/admin/nonsense/"):
        assert client.get(url)["Location"] == f"{VERIFY}?next={url}"
        assert client.post(url)["Location"] == f"{VERIFY}?next={url}"
    assert client.get(f"/admin/login/?next={LIST}")["Location"] == f"{VERIFY}?next={LIST}"


def test_a_right_code_opens_the_page_that_was_asked_for():
    user = make_staff("superuser")
    client = by_password(user)
    answer = verify(client, code_of(phone_of(user).key))
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    assert client.get(LIST).status_code == 200


def test_spaces_in_a_code_are_no_error():
    user = make_staff()
    code = code_of(phone_of(user).key)
    assert verify(by_password(user), f" {code[:3]} {code[3:]}").status_code == 302


@pytest.mark.parametrize(
    "then", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"]
)
def test_nobody_is_led_to_another_site(then):
    user = make_staff()
    client = by_password(user)
    assert verify(client, code_of(phone_of(user).key), then)["Location"] == "/admin/"
    assert client.get(VERIFY, {"next": then})["Location"] == "/admin/"


def test_a_code_works_once(clock):
    user = make_staff()
    code = code_of(phone_of(user).key)
    assert verify(by_password(user), code).status_code == 302
    assert refused(verify(by_password(user), code), "That code is not right")
    clock.shift(30)
    assert verify(by_password(user), code_of(phone_of(user).key)).status_code == 302


@pytest.mark.parametrize(("steps", "status"), [(-2, 200), (-1, 302), (1, 302), (2, 200)])
def test_a_clock_may_be_half_a_minute_wrong_and_no_more(steps, status):
    user = make_staff()
    code = code_of(phone_of(user).key, steps=steps)
    assert verify(by_password(user), code).status_code == status


@pytest.mark.parametrize(
    "code", ["", "000000", "12345", "abcdef", "9" * 30, "\uff11\uff12\uff13\uff14\uff15\uff16"]
)
def test_a_code_that_is_none_is_refused_with_a_sentence(code):
    user = make_staff()
    phone_of(user)
    client = by_password(user)
    answer = verify(client, code)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert client.get(LIST).status_code == 302


def test_the_code_of_somebody_else_opens_nothing():
    user, other = make_staff(), make_staff("superuser")
    phone_of(user)
    assert verify(by_password(user), code_of(phone_of(other).key)).status_code == 200


def test_who_has_not_signed_in_or_is_no_staff_is_sent_to_sign_in():
    customer = make_user()
    client = Client()
    client.force_login(customer)
    for browser in (Client(), client):
        for url in (VERIFY, ENROL, CODES, OWN):
            assert browser.get(url)["Location"] == f"/admin/login/?next={url}"


def test_where_it_is_not_required_the_password_is_enough(settings):
    settings.STAFF_SECOND_FACTOR = False
    client = by_password(make_staff("superuser"))
    assert client.get(LIST).status_code == 200
    assert client.get(VERIFY)["Location"] == "/admin/"


def test_signing_out_needs_no_second_factor():
    user = make_staff()
    client = by_password(user)
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_signing_out_needs_the_token_of_the_form_all_the_same():
    user = make_staff()
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert client.post("/admin/logout/").status_code == 403


# --- guessing --------------------------------------------------------------------------


def test_the_wait_after_wrong_codes_doubles_and_the_page_says_how_long_it_is(clock):
    user = make_staff()
    secret = phone_of(user).key
    client = by_password(user)
    for seconds in (1, 2, 4):
        verify(client, "000000")
        clock.shift(seconds)
    verify(client, "000000")
    answer = verify(client, code_of(secret))
    assert refused(answer, "4 wrong codes. Wait 8 seconds")
    clock.shift(8)
    assert verify(client, code_of(secret)).status_code == 302


def test_the_eleventh_try_of_a_person_is_refused_from_wherever_it_comes():
    user = make_staff()
    phone_of(user)
    client = by_password(user)
    for n in range(10):
        assert client.post(VERIFY, {"code": "000000"}, REMOTE_ADDR=f"10.0.0.{n}").status_code == 200
    answer = client.post(VERIFY, {"code": "000000"}, REMOTE_ADDR="10.9.9.9")
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) <= 300


def test_recovery_codes_are_guessed_no_faster(clock):
    user = make_staff()
    client = by_password(user)
    _, (code, *_) = set_up(client)
    client = by_password(user)
    for _ in range(2):
        verify(client, "aaaa-aaaa", field="recovery_code")
        clock.shift(2)
    verify(client, "aaaa-aaaa", field="recovery_code")
    assert refused(verify(client, code, field="recovery_code"), "3 wrong codes. Wait 4 seconds")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", [TOTPDevice, StaticDevice])
def test_of_several_at_once_with_the_same_code_one_is_let_in(kind):
    user = make_staff()
    with time_machine.travel("2026-11-24 12:00:15Z", tick=False):
        phone = phone_of(user)
        (recovery, *_) = second_factor.new_recovery_codes(user=user, actor=TESTER)
        code = code_of(phone.key) if kind is TOTPDevice else recovery
        came = run_together(4, lambda _: second_factor.check_code(user=user, code=code))
    assert sum(isinstance(each, kind) for each in came) == 1
    assert sum(isinstance(each, DomainError) for each in came) == 3


# --- setting up ------------------------------------------------------------------------


def test_who_has_none_sets_it_up_right_after_the_password():
    user = make_staff("superuser")
    client = by_password(user)
    answer = client.get(LIST, follow=True)
    assert answer.redirect_chain[-1][0] == f"{ENROL}?next=/admin/orgs/organization/"
    _, codes = set_up(client)
    assert len(set(codes)) == 10
    assert client.get(LIST).status_code == 200
    action = AuditEntry.objects.get()
    assert (action.verb, action.actor, action.object_id) == (
        "set_up_second_factor",
        user,
        str(user.pk),
    )


def test_the_picture_and_the_text_need_no_script_no_style_and_no_other_host():
    page = by_password(make_staff()).get(ENROL).content.decode()
    assert "<svg" in page
    assert not re.search(r"style=|<style|\son\w+=|https?://(?!www\.w3\.org)", page)
    assert 'autocomplete="one-time-code"' in page
    assert 'inputmode="numeric"' in page


def test_a_wrong_first_code_sets_nothing_up():
    user = make_staff()
    client = by_password(user)
    client.get(ENROL)
    assert refused(client.post(ENROL, {"code": "000000"}), "That code is not right")
    assert not TOTPDevice.objects.exists()
    assert client.get(LIST).status_code == 302


def test_the_first_code_does_not_sign_in_again():
    user = make_staff()
    secret, _ = set_up(by_password(user))
    assert refused(verify(by_password(user), code_of(secret)), "That code is not right")


def test_each_session_and_each_look_is_offered_a_secret_of_its_own():
    user = make_staff()
    client = by_password(user)
    seen = {secret_on(each.get(ENROL)) for each in (by_password(user), client, client)}
    assert len(seen) == 3


def test_after_a_wrong_code_the_page_goes_on_with_the_secret_that_the_phone_has():
    client = by_password(make_staff())
    secret = secret_on(client.get(ENROL))
    assert secret_on(client.post(ENROL, {"code": "000000"})) == secret
    assert client.post(ENROL, {"code": code_of(secret)})["Location"].startswith(CODES)


def test_the_log_says_who_signed_in_and_who_tried_and_no_secret(caplog, clock):
    caplog.set_level("INFO", "clipforge.staff")
    user = make_staff(username="ada")
    phone = phone_of(user)
    for name in ("ada", "a password in the wrong field"):
        Client().post("/admin/login/", {"username": name, "password": "wrong horse"})
    client = by_password(user)
    verify(client, "000000")
    clock.shift(1)
    verify(client, code_of(phone.key))
    said = [
        (each.message, each.user, getattr(each, "name_tried", None), each.address)
        for each in caplog.records
        if each.name.startswith("clipforge.staff")
    ]
    assert said == [
        ("failed to sign in", user.pk, "ada", "127.0.0.1"),
        ("failed to sign in", None, "a p…", "127.0.0.1"),
        ("signed in", user.pk, None, "127.0.0.1"),
        ("wrong code", user.pk, None, "127.0.0.1"),
        ("second factor shown", user.pk, None, "127.0.0.1"),
    ]


def test_who_has_only_the_password_sets_up_no_second_device(clock):
    user = make_staff()
    thief = by_password(user)
    secret = secret_on(thief.get(ENROL))  # before its owner came
    set_up(by_password(user))
    clock.shift(30)
    assert thief.post(ENROL, {"code": code_of(secret)})["Location"].startswith("/admin/login/")
    thief = by_password(user)
    for method in (thief.get, thief.post):
        assert method(ENROL, {"code": "0"})["Location"].startswith(VERIFY)
    assert TOTPDevice.objects.get().key != secret


def test_of_two_sessions_that_set_up_at_once_the_second_one_changes_nothing():
    user = make_staff()
    set_up(by_password(user))
    secret = second_factor.new_secret()
    with pytest.raises(DomainError, match="changed somewhere else"):
        second_factor.set_up(
            user=user, secret=secret, code=code_of(secret), replacing=None, actor=TESTER
        )
    assert TOTPDevice.objects.get().key != secret


def test_the_codes_are_shown_once():
    client = by_password(make_staff())
    set_up(client)
    assert client.get(CODES)["Location"] == OWN


# --- recovery codes --------------------------------------------------------------------


def test_each_recovery_code_signs_in_once_and_leaves_a_row_in_the_audit():
    user = make_staff("superuser")
    _, codes = set_up(by_password(user))
    client = by_password(user)
    assert verify(client, codes[0].upper(), field="recovery_code")["Location"] == LIST
    page = client.get(LIST).content.decode()
    assert "9 are left" in page
    assert AuditEntry.objects.latest("pk").verb == "use_recovery_code"
    again = by_password(user)
    assert verify(again, codes[0], field="recovery_code").status_code == 200
    assert StaticToken.objects.count() == 9


def test_new_recovery_codes_need_a_code_and_end_the_old_ones_and_other_sessions(clock):
    user = make_staff("superuser")
    client = by_password(user)
    secret, old = set_up(client)
    clock.shift(30)
    other = by_password(user)
    verify(other, code_of(secret))
    clock.shift(30)
    assert refused(client.post(OWN, {"current": "000000"}), "That code is not right")
    clock.shift(1)
    answer = client.post(OWN, {"current": code_of(secret)})
    assert answer["Location"] == CODES
    new = re.findall(r"<code>(.{9})</code>", client.get(CODES).content.decode())
    assert len({*new, *old}) == 20
    assert client.get(LIST).status_code == 200
    assert other.get(LIST)["Location"].startswith("/admin/login/")
    assert verify(by_password(user), old[0], field="recovery_code").status_code == 200


def test_a_session_that_a_recovery_code_opened_makes_new_ones_with_another():
    user = make_staff("superuser")
    _, codes = set_up(by_password(user))
    client = by_password(user)
    verify(client, codes[0], field="recovery_code")
    assert client.post(OWN, {"current": codes[1]})["Location"] == CODES
    assert client.get(LIST).status_code == 200


# --- replacing -------------------------------------------------------------------------


def test_a_new_phone_needs_a_code_of_the_old_one_and_ends_other_sessions(clock):
    user = make_staff("superuser")
    client = by_password(user)
    old, _ = set_up(client)
    clock.shift(30)
    other = by_password(user)
    verify(other, code_of(old))
    clock.shift(30)
    new = secret_on(client.get(ENROL))
    assert client.post(ENROL, {"code": code_of(new)}).status_code == 200
    assert client.post(ENROL, {"code": code_of(new), "current": code_of(new)}).status_code == 200
    assert phone_of(user).key == old
    clock.shift(1)
    answer = client.post(ENROL, {"code": code_of(new), "current": code_of(old)})
    assert answer["Location"].startswith(CODES)
    assert phone_of(user).key == new
    assert client.get(LIST).status_code == 200
    assert other.get(LIST)["Location"].startswith("/admin/login/")
    assert AuditEntry.objects.latest("pk").verb == "replace_second_factor"


def test_a_lost_phone_is_replaced_with_recovery_codes():
    user = make_staff("superuser")
    _, codes = set_up(by_password(user))
    client = by_password(user)
    verify(client, codes[0], field="recovery_code")
    new = secret_on(client.get(ENROL))
    answer = client.post(ENROL, {"code": code_of(new), "current": codes[1]})
    assert answer["Location"].startswith(CODES)
    assert phone_of(user).key == new


def test_a_mistyped_new_code_does_not_use_up_the_old_one(clock):
    user = make_staff("superuser")
    client = by_password(user)
    old, _ = set_up(client)
    clock.shift(30)
    new = secret_on(client.get(ENROL))
    assert client.post(ENROL, {"code": "000000", "current": code_of(old)}).status_code == 200
    answer = client.post(ENROL, {"code": code_of(new), "current": code_of(old)})
    assert answer.status_code == 302


# --- sessions --------------------------------------------------------------------------


def test_the_key_of_the_session_changes_with_every_step(clock):
    user = make_staff("superuser")
    client = Client()
    client.get("/admin/login/")
    keys = []

    def note() -> None:
        keys.append(client.session.session_key)

    def sign_in() -> None:
        client.post("/admin/login/", {"username": user.username, "password": PASSWORD})

    sign_in()
    note()
    secret = secret_on(client.get(ENROL))
    client.post(ENROL, {"code": code_of(secret)})
    note()
    clock.shift(30)
    sign_in()
    note()
    verify(client, code_of(secret))
    note()
    new = "a better horse battery"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", form).status_code == 302
    note()
    assert len(set(keys)) == 5
    assert Session.objects.filter(session_key__in=keys).count() == 1


def test_signing_in_again_asks_for_the_second_factor_again():
    user = make_staff("superuser")
    client = signed_in(user)
    assert client.get(LIST).status_code == 200
    client.post("/admin/login/", {"username": user.username, "password": PASSWORD})
    assert client.get(LIST)["Location"] == f"{VERIFY}?next={LIST}"


def test_a_session_ends_after_eight_hours_however_busy_it_was(clock):
    user = make_staff("superuser")
    client = signed_in(user)
    clock.shift(datetime.timedelta(hours=7))
    client.post(OWN, {"current": ""})
    session = client.session
    session["anything"] = "written"  # what Django would count the eight hours from
    session.save()
    clock.shift(datetime.timedelta(minutes=59, seconds=59))
    assert client.get(LIST).status_code == 200
    clock.shift(1)
    assert client.get(LIST)["Location"] == f"/admin/login/?next={LIST}"


def test_a_new_password_ends_the_other_sessions_and_leaves_a_row():
    user = make_staff("superuser")
    client, other = signed_in(user), signed_in(user)
    new = "a better horse battery"
    wrong = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", wrong).status_code == 200
    assert not AuditEntry.objects.exists()
    client.post("/admin/password_change/", {**wrong, "old_password": PASSWORD})
    assert client.get(LIST).status_code == 200
    assert other.get(LIST)["Location"] == f"/admin/login/?next={LIST}"
    action = AuditEntry.objects.get()
    assert (action.verb, action.after) == ("change_password", {"password": "changed"})


# --- resetting -------------------------------------------------------------------------


def reset_page(user: User) -> str:
    return reverse("admin:second-factor-reset", args=[user.pk])


def test_an_admin_resets_the_second_factor_of_a_colleague_with_a_reason():
    colleague = make_staff("finance")
    theirs = signed_in(colleague)
    admin = signed_in(make_staff("admin"))
    assert admin.post(reset_page(colleague), {"reason": "lost"}).status_code == 200
    assert theirs.get(LIST).status_code == 200
    answer = admin.post(reset_page(colleague), {"reason": "lost the phone, called me"})
    assert answer["Location"] == f"/admin/orgs/user/{colleague.pk}/change/"
    assert theirs.get(LIST)["Location"] == f"/admin/login/?next={LIST}"
    assert second_factor.device_of(colleague) is None
    action = AuditEntry.objects.get()
    assert (action.verb, action.object_id, action.reason) == (
        "reset_second_factor",
        str(colleague.pk),
        "lost the phone, called me",
    )
    set_up(by_password(colleague))


@pytest.mark.parametrize(
    ("who", "whose"),
    [("admin", "own"), ("superuser", "own"), ("admin", "superuser"), ("finance", "support")],
)
def test_nobody_resets_their_own_or_that_of_who_may_do_more(who, whose):
    actor = make_staff(who)
    person = actor if whose == "own" else make_staff(whose)
    phone_of(person)
    answer = signed_in(actor).post(reset_page(person), {"reason": "lost the phone, called me"})
    assert answer.status_code == 403
    assert second_factor.device_of(person) is not None


def test_a_superuser_resets_that_of_another():
    person = make_staff("superuser")
    phone_of(person)
    signed_in(make_staff("superuser")).post(reset_page(person), {"reason": "lost the phone, again"})
    assert second_factor.device_of(person) is None


def test_operators_reset_it_for_who_is_locked_out(capsys):
    person = make_staff("superuser", email="root@example.com")
    theirs = signed_in(person)
    call_command("reset_second_factor", "Root@Example.com", reason="phone fell into the lake")
    assert "root@example.com is signed out everywhere" in capsys.readouterr().out
    assert second_factor.device_of(person) is None
    assert theirs.get(LIST)["Location"] == f"/admin/login/?next={LIST}"
    call_command("reset_second_factor", "root@example.com", reason="phone fell into the lake")
    assert "had none" in capsys.readouterr().out


def test_operators_are_told_when_there_is_no_such_person():
    with pytest.raises(CommandError, match='No user has the address or user name "none"'):
        call_command("reset_second_factor", "none", reason="phone fell into the lake")


# --- what it costs ---------------------------------------------------------------------


def statements_of(client: Client) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(LIST).status_code == 200
    return len(queries)


def test_a_page_costs_one_query_more_with_the_second_factor(settings):
    user = make_staff("superuser")
    shown = statements_of(signed_in(user))
    settings.STAFF_SECOND_FACTOR = False
    client = Client()
    client.force_login(user)
    assert shown == statements_of(client) + 1


def test_their_tables_have_no_pages_in_the_admin_which_would_show_the_secrets():
    assert not {TOTPDevice, StaticDevice, StaticToken} & set(admin.site._registry)

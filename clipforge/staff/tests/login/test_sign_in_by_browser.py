"""The way into the admin as a person goes it: password, phone, recovery code, by keyboard."""

from __future__ import annotations

import base64
import json

import pytest

from clipforge.devtools.testing import browser
from clipforge.devtools.testing.browser import Visitor, chromium, enter_password, picture
from clipforge.devtools.testing.service import running_service
from clipforge.devtools.testing.staff import PASSWORD, code_of

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIST = "/admin/orgs/organization/"
# Each test has people of its own, so that none minds which ran before.
SEED = f"""
import json
from clipforge.orgs.models import User
for name in ("ada", "bob", "carol", "dora"):
    User.objects.create_superuser(name, name + "@example.com", {PASSWORD!r})
print(json.dumps({{user.username: user.pk for user in User.objects.all()}}))
"""


@pytest.fixture(scope="module")
def service():
    with running_service(STAFF_SECOND_FACTOR="true") as service:
        yield service


@pytest.fixture(scope="module")
def people(service) -> dict[str, int]:
    found: dict[str, int] = json.loads(
        service.manage("shell", "-v", "0", "-c", SEED).splitlines()[-1]
    )
    return found


@pytest.fixture
def visitor(service, people):
    with chromium() as program:
        visitor = Visitor(program, service.url)
        yield visitor
        visitor.close()


def faults_of(visitor: Visitor, name: str) -> list[str]:
    """The faults of the page. Takes pictures of it."""
    found = browser.faults_of(visitor)
    picture(visitor, name)
    return found


def sign_in(visitor: Visitor, name: str) -> None:
    enter_password(visitor, name, LIST)


def set_up(visitor: Visitor) -> tuple[str, list[str]]:
    """The secret as it is read from the page, and the codes of the page after it."""
    text = visitor.page.inner_text(".cf-secret")
    secret = base64.b32decode(text.replace(" ", "")).hex()
    visitor.page.fill("#id_code", code_of(secret))
    visitor.enter()
    return secret, visitor.page.locator(".cf-codes code").all_inner_texts()


def test_the_first_sign_in_sets_up_a_phone_and_the_next_asks_for_it(visitor):
    page = visitor.page
    sign_in(visitor, "ada")
    page.wait_for_selector(".cf-secret")
    assert faults_of(visitor, "second_factor_enrol") == []
    # As large as a phone can read it, and square.
    box = page.locator("svg.cf-qr").bounding_box()
    assert box is not None
    assert box["width"] == box["height"] >= 180
    _, codes = set_up(visitor)
    assert len(codes) == 10
    assert faults_of(visitor, "second_factor_codes") == []
    visitor.follow("text=go on")
    assert page.locator("#changelist").count() == 1

    visitor.follow("text=Second factor")
    assert page.locator("#id_current").count() == 1
    assert faults_of(visitor, "second_factor_own") == []
    visitor.follow("#logout-form button")

    sign_in(visitor, "ada")
    page.wait_for_selector("#id_code:focus")  # which a browser gives when it first draws the page
    assert page.get_attribute("#id_code", "autocomplete") == "one-time-code"
    assert page.get_attribute("#id_code", "inputmode") == "numeric"
    page.keyboard.type("123 456")  # wrong, and of a phone: recovery codes need not wait after it
    visitor.enter()
    assert page.locator(".errorlist").count() > 0
    page.click("summary")
    assert faults_of(visitor, "second_factor") == []
    page.fill("#id_recovery_code", codes[0])
    visitor.enter()
    assert page.locator("#changelist").count() == 1
    assert "9 are left" in page.inner_text(".messagelist")
    assert visitor.take_faults() == []


def test_the_way_out_is_open_before_the_second_factor(visitor):
    sign_in(visitor, "bob")
    visitor.page.wait_for_selector(".cf-secret")
    visitor.follow("text=Not you? Sign out")
    assert visitor.page.locator("text=Log in again").count() == 1
    visitor.go(LIST)
    visitor.page.wait_for_selector("#id_password")
    assert faults_of(visitor, "login") == []


def test_a_colleague_resets_what_is_lost(visitor, people):
    for name in ("dora", "carol"):
        visitor.context.clear_cookies()
        sign_in(visitor, name)
        visitor.page.wait_for_selector(".cf-secret")
        set_up(visitor)
    visitor.go(f"/admin/orgs/user/{people['dora']}/change/")
    assert faults_of(visitor, "person") == []
    visitor.follow("text=Reset second factor")
    assert faults_of(visitor, "second_factor_reset") == []
    visitor.page.fill("#id_reason", "lost the phone, called me")
    visitor.follow("text=Reset the second factor >> nth=-1")
    assert visitor.page.locator(".messagelist .success").count() == 1
    visitor.go(f"/admin/orgs/user/{people['dora']}/password/")
    assert faults_of(visitor, "person_password") == []

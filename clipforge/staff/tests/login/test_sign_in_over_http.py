"""Signing in as it goes over the wire: cookies, redirects, and what the logs keep to themselves."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import pytest

from clipforge.devtools.testing.service import Service, running_service
from clipforge.devtools.testing.staff import PASSWORD, code_of

pytestmark = pytest.mark.slow

SEED = f"""
from clipforge.orgs.models import User
User.objects.create_superuser("ada", "ada@example.com", {PASSWORD!r})
"""
LIST = "/admin/orgs/organization/"


@pytest.fixture(scope="module")
def service():
    with running_service(STAFF_SECOND_FACTOR="true") as service:
        service.manage("shell", "-v", "0", "-c", SEED)
        yield service


def browser_of(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.url, follow_redirects=True, timeout=30)


def send(browser: httpx.Client, page: httpx.Response, **fields: str) -> httpx.Response:
    """Send the form of the page, with the token that it carries."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token, page.text
    return browser.post(page.url, data={"csrfmiddlewaretoken": token[1], **fields})


def sign_in(browser: httpx.Client) -> httpx.Response:
    return send(browser, browser.get(LIST), username="ada", password=PASSWORD, next=LIST)


def test_password_phone_and_recovery_code_and_nothing_of_them_in_a_log(service):
    with browser_of(service) as ada, browser_of(service) as thief:
        page = sign_in(ada)
        assert page.url.path == "/admin/second-factor/enrol/"
        text = re.search(r'class="cf-secret">([A-Z2-7 ]+)<', page.text)
        assert text
        secret = base64.b32decode(text[1].replace(" ", "")).hex()
        stolen = sign_in(thief)
        assert stolen.url.path == "/admin/second-factor/enrol/"

        code = code_of(secret)
        page = send(ada, page, code=code, next=LIST)
        codes = re.findall(r"<code>([a-z2-7]{4}-[a-z2-7]{4})</code>", page.text)
        assert len(codes) == 10
        assert ada.get(LIST).url.path == LIST

        # Sessions by password alone are signed out, and the phone is asked for from then on.
        assert thief.get(LIST).url.path == "/admin/login/"
        page = sign_in(thief)
        assert page.url.path == "/admin/second-factor/"
        for url in (LIST, "/admin/", "/admin/second-factor/enrol/", "/admin/password_change/"):
            assert thief.get(url).url.path == "/admin/second-factor/"
        assert "That code is not right" in send(thief, page, code=code).text

        # The person themself gets in with a recovery code, to the page that was asked for.
        page = send(thief, page, recovery_code=codes[0], next=LIST)
        assert page.url.path == LIST
        assert "9 are left" in page.text

    logs = [log for log in Path(service.data).rglob("*.log*") if log.is_file()]
    assert service.log in logs
    said = "".join(log.read_text(errors="replace") for log in logs)
    for kept in (secret, text[1], PASSWORD, *codes, *(code.replace("-", "") for code in codes)):
        assert kept not in said


def test_a_code_in_another_sites_form_is_refused(service):
    with browser_of(service) as browser:
        sign_in(browser)
        answer = browser.post("/admin/second-factor/", data={"code": "123456"})
        assert answer.status_code == 403


def test_the_cookie_of_a_session_is_out_of_reach_of_scripts_and_other_sites(service):
    with browser_of(service) as browser:
        page = browser.get(LIST)
        browser.follow_redirects = False
        answer = send(browser, page, username="ada", password=PASSWORD)
        (cookie,) = (
            line for line in answer.headers.get_list("set-cookie") if line.startswith("sessionid=")
        )
        parts = {part.strip().split("=")[0]: part.partition("=")[2] for part in cookie.split(";")}
        assert "HttpOnly" in parts
        assert parts["SameSite"] == "Lax"
        assert 8 * 3600 - 60 < int(parts["Max-Age"]) <= 8 * 3600

"""Error pages say what to do next, and depend on nothing that may have failed."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from clipforge.common.api import problems
from clipforge.devtools.testing.factories import make_user


@pytest.fixture
def staff(db):
    client = Client()
    client.force_login(make_user(is_staff=True))
    return client


def says(response, status, heading):
    text = response.content.decode()
    assert response.status_code == status
    assert f"<h1>{heading}</h1>" in text
    assert f'href="{reverse("admin:index")}"' in text
    assert "<style" not in text
    return text


def test_an_address_that_is_none(staff):
    says(staff.get("/admin/nonsense/"), 404, "There is nothing here")


def test_a_page_of_another_role(staff):
    says(staff.get(reverse("admin:orgs_user_changelist")), 403, "You may not do this")


def test_a_form_whose_token_is_of_another_session():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "ada"})
    says(response, 403, "This form is too old")


def test_a_failure_of_ours_needs_no_database_and_no_session():
    says(
        problems.server_error(RequestFactory().get("/admin/")), 500, "Something failed on our side"
    )

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from clipforge.testing.factories import make_grant, make_user
from credits.models import CreditAccount, CreditGrant, CreditHold, CreditTransaction
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

MODELS = [CreditAccount, CreditGrant, CreditHold, CreditTransaction]


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    return client


def address(model: type, action: str, *args: object) -> str:
    return reverse(f"admin:credits_{model.__name__.lower()}_{action}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_staff_read_the_ledger_and_not_even_a_superuser_changes_it(staff, organization, model):
    make_grant(organization, 10)
    make_hold(organization, 4)
    row = model.objects.get()
    assert organization.name in staff.get(address(model, "changelist")).content.decode()
    assert staff.get(address(model, "changelist"), {"q": organization.slug}).status_code == 200
    assert staff.get(address(model, "change", row.pk)).status_code == 200
    assert staff.post(address(model, "change", row.pk), {"reason": "x"}).status_code == 403
    assert staff.get(address(model, "add")).status_code == 403
    assert staff.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_number_of_queries_at_any_length(
    staff, organization, model, django_assert_num_queries
):
    for _ in range(20):
        make_grant(organization, 1)
        make_hold(organization, 1)
    # Session, user, bounded count, rows with their organization.
    with django_assert_num_queries(4):
        staff.get(address(model, "changelist"))

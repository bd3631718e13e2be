from __future__ import annotations

import pytest
from django.urls import reverse

from clipforge.devtools.testing.factories import TESTER, make_grant
from clipforge.devtools.testing.state import nothing_changes
from credits import services
from credits.models import (
    CreditAccount,
    CreditGrant,
    CreditHold,
    CreditReversal,
    CreditTransaction,
)
from credits.tests.makers import make_hold

pytestmark = pytest.mark.django_db

MODELS = [CreditAccount, CreditGrant, CreditHold, CreditTransaction]
EVERY = [*MODELS, CreditReversal]


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


@pytest.mark.parametrize("model", EVERY)
def test_nothing_that_a_superuser_sends_adds_changes_or_deletes_a_row(staff, organization, model):
    bought = make_grant(organization, 10)
    make_hold(organization, 4)
    services.reverse_grant(
        transaction=bought,
        amount=8,
        reason="money back",
        actor=TESTER,
        audit=False,
        idempotency_key="back",
    )
    row = model.objects.latest("pk")
    fields = {
        field.attname: str(getattr(row, field.attname)) for field in model._meta.concrete_fields
    }
    bulk = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
    with nothing_changes():
        for page in (
            address(model, "add"),
            address(model, "change", row.pk),
            address(model, "delete", row.pk),
        ):
            assert staff.post(page, {**fields, "amount": "1000", "post": "yes"}).status_code == 403
        # No list has an action to choose, or a field to edit.
        for sent in (bulk, {"form-0-amount": "1", "_save": "Save"}):
            listed = staff.post(address(model, "changelist"), sent)
            assert b"delete_selected" not in listed.content


@pytest.mark.parametrize("model", MODELS)
def test_a_list_costs_the_same_number_of_queries_at_any_length(
    staff, organization, model, django_assert_num_queries
):
    for _ in range(20):
        make_grant(organization, 1)
        make_hold(organization, 1)
    # Session, user, phone, rows, their organizations. Nothing is counted.
    with django_assert_num_queries(5):
        staff.get(address(model, "changelist"))

"""Serializers show by their plans the same as DRF shows."""

from __future__ import annotations

import datetime
import decimal
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from clipforge.common.api.plans import plan_of
from clipforge.common.api.serializers import MaybeText, Serializer, Text
from clipforge.devtools.testing.factories import make_export, make_moment, make_project
from exports.api.serializers import ExportSerializer
from projects.api.serializers import MomentSerializer, ProjectSerializer

AT = datetime.datetime(2026, 11, 30, 12, 0, 0, 250_000, tzinfo=datetime.UTC)
ABROAD = AT.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))


class Part(Serializer):
    code = Text()
    at = serializers.DateTimeField(allow_null=True)


class Whole(Serializer):
    number = serializers.IntegerField()
    share = serializers.FloatField()
    price = serializers.DecimalField(max_digits=8, decimal_places=2)
    kind = serializers.ChoiceField(choices=[("a", "A"), ("b", "B")], allow_null=True)
    is_on = serializers.BooleanField()
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    day = serializers.DateField()
    note = MaybeText(allow_null=True)
    words = serializers.ListField(child=serializers.CharField())
    texts = serializers.DictField(child=serializers.CharField())
    part = Part(allow_null=True)
    parts = Part(many=True)
    renamed = Part(source="part", allow_null=True)
    secret = serializers.CharField(write_only=True)


def whole(**changes: Any) -> dict[str, Any]:
    part = {"code": "x", "at": AT, "more": "is not shown"}
    return {
        "number": 7,
        "share": 0.1,
        "price": decimal.Decimal("12.5"),
        "kind": "a",
        "is_on": True,
        "id": uuid.UUID(int=1),
        "at": AT,
        "day": AT.date(),
        "note": "",
        "words": ["a", 1],
        "texts": {"k": "v"},
        "part": part,
        "parts": [part, {"code": "y", "at": None}],
        **changes,
    }


def by_drf(serializer: Any, thing: Any) -> bytes:
    """The answer of DRF alone; plans are left out of those that are inside, too."""
    shown = serializers.Serializer.to_representation(serializer, thing)
    return bytes(JSONRenderer().render(shown))


def planned(serializer: Any, thing: Any) -> bytes:
    kind: Any = type(serializer)
    plan = plan_of(kind)
    assert plan is not None
    return bytes(JSONRenderer().render(plan.show(serializer, thing)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"part": None, "parts": [], "kind": None, "note": "text"},
        {"kind": "of a release before", "at": ABROAD},
        {"at": AT.replace(microsecond=0), "words": [], "texts": {}},
        {"number": "7", "share": 3, "is_on": "true"},
    ],
)
@pytest.mark.parametrize("make", [dict, lambda values: SimpleNamespace(**values)])
def test_what_is_nested_is_shown_byte_by_byte_as_drf_shows_it(changes: Any, make: Any):
    thing = make(whole(**changes))
    assert planned(Whole(), thing) == by_drf(Whole(), thing)
    assert Whole(thing).data == serializers.Serializer.to_representation(Whole(), thing)


@pytest.mark.parametrize("left_out", ["number", "parts", "words"])
def test_of_a_member_that_is_missing_drf_is_asked(left_out: str):
    thing = whole()
    del thing[left_out]
    with pytest.raises(KeyError):
        Whole(thing).data  # noqa: B018 - as DRF says it
    del (without := whole())["part"]
    assert Whole(without).data["part"] is None


def test_a_member_that_has_to_be_called_is_called():
    class Called(Serializer):
        total = serializers.IntegerField()

    assert Called(SimpleNamespace(total=lambda: 3)).data == {"total": 3}


def test_fields_that_are_made_for_each_request_have_no_plan():
    class Changing(Serializer):
        def get_fields(self) -> dict[str, Any]:
            return {"a": serializers.IntegerField()}

    class Outer(Serializer):
        inner = Changing()

    assert (plan_of(Changing), plan_of(Outer)) == (None, None)
    assert Outer({"inner": {"a": 1}}).data == {"inner": {"a": 1}}


@pytest.mark.django_db
def test_rows_of_every_list_are_planned_and_shown_as_drf_shows_them():
    project = make_project(warnings=[{"code": "picture_damaged", "message": "Damaged."}])
    rows: list[tuple[Any, Any]] = [
        (ProjectSerializer, project),
        (MomentSerializer, make_moment(project)),
        (ExportSerializer, make_export(project)),
        (ExportSerializer, make_export(project, status="FAILED", error_code="x")),
    ]
    for row in (project, rows[2][1], rows[3][1]):
        row.reserved = 0
    for kind, row in rows:
        serializer = kind(context={"list": True})
        assert planned(serializer, row) == by_drf(serializer, row)

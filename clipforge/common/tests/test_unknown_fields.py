"""The members of a body that a serializer does not write: found at any depth, in JSON and in forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import QueryDict
from rest_framework import serializers

from clipforge.common.api.serializers import Serializer
from clipforge.common.api.unknown_fields import MOST_NAMED
from clipforge.common.errors import Invalid


class Line(Serializer):
    text = serializers.CharField()
    at = serializers.ListField(child=serializers.FloatField(), required=False)


class Order(Serializer):
    id = serializers.IntegerField(read_only=True)
    title = serializers.CharField(required=False)
    line = Line(required=False)
    lines = Line(many=True, required=False)
    labels = serializers.DictField(child=serializers.CharField(), required=False)
    named = serializers.DictField(child=Line(), required=False)
    anything = serializers.JSONField(required=False)


def pointers(data: Any) -> list[str]:
    with pytest.raises(Invalid) as refusal:
        Order(data=data).is_valid()
    assert refusal.value.error_code == "unknown_field"
    return [error["pointer"] for error in refusal.value.extra["errors"]]


def is_taken(data: Any) -> bool:
    return Order(data=data).is_valid()


def test_a_member_of_the_body_is_pointed_at():
    assert pointers({"title": "a", "titel": "b"}) == ["/titel"]


def test_so_are_all_of_them_at_every_depth():
    data = {
        "x": 1,
        "line": {"text": "a", "y": 1},
        "lines": [{"text": "a"}, {"text": "b", "z": {"text": 1}}],
        "named": {"first": {"text": "a", "w": 1}},
    }
    assert pointers(data) == ["/x", "/line/y", "/lines/1/z", "/named/first/w"]


def test_a_member_that_is_only_read_is_unknown_to_a_body():
    assert pointers({"id": 7}) == ["/id"]


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("", "/"),
        ("a/b~c", "/a~1b~0c"),
        ("non_field_errors", "/non_field_errors"),
        ("code", "/code"),
        ("message", "/message"),
    ],
)
def test_a_pointer_is_that_of_rfc_6901_whatever_the_name(name: str, pointer: str):
    assert pointers({name: 1, "message": 2, "code": 3})[0] == pointer


def test_what_may_hold_anything_may():
    assert is_taken({"labels": {"any": "x"}, "anything": {"deep": [{"x": 1}]}})


@pytest.mark.parametrize("data", [None, 7, "x", [], {"line": 7}, {"lines": {"text": "a"}}])
def test_a_wrong_shape_is_left_to_validation(data: Any):
    assert not is_taken(data)


def test_a_form_may_write_what_is_inside_a_field_and_nothing_else():
    assert is_taken(QueryDict("title=a&line.text=b&lines[0]text=c&lines[0]at=1"))
    assert pointers(QueryDict("titel=a&line.x=b&lines[1]z=c&title.x=1&title[0]=1")) == [
        "/titel",
        "/title.x",
        "/title[0]",
        "/line/x",
        "/lines/0/z",
    ]


def test_a_hundred_thousand_names_are_refused_by_the_first_twenty():
    assert len(pointers({f"n{number}": 1 for number in range(100_000)})) == MOST_NAMED == 20


def test_a_long_name_is_not_repeated_in_the_sentence():
    with pytest.raises(Invalid) as refusal:
        Order(data={"n" * 1000: 1}).is_valid()
    assert len(refusal.value.message) < 250

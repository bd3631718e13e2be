"""orjson writes the bytes that DRF's renderer writes, or is not used."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import TextChoices
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer

from clipforge.common.api.renderers import Renderer


class Kind(TextChoices):
    ONE = "ONE"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e15, 1e15)
    | st.floats(0, 1e-3)
    | st.text()
    | st.uuids()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.dates()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def rendered(renderer: JSONRenderer, data: Any, media_type: str) -> bytes | str:
    try:
        return renderer.render(data, media_type, {})
    except UnicodeEncodeError:
        return "half of a surrogate pair"


@given(VALUES)
@example(9.9999e-06)
@example([1e-05, 0.0001])
def test_any_value_is_rendered_as_by_drf(data: Any):
    assert rendered(Renderer(), data, "application/json") == rendered(
        JSONRenderer(), data, "application/json"
    )


@pytest.mark.parametrize(
    "data",
    [
        {"at": "\u2028 and \u2029", "control": "\x00\x1f\x7f\b\f\n\r\t", "slash": '</script>\\"'},
        [0.1**power for power in range(1, 30)],
        {"small": 1e-05, "uuid": uuid.UUID("1e-4".replace("-", "") + "0" * 29)},
        {"text": "3e-5,", "float": 0.0001},
        {1: "number", None: "nothing"},
        {"big": 2**70, "kind": Kind.ONE, "price": Decimal("1.10"), "set": (1, 2)},
        {"day": datetime.timedelta(days=1, seconds=2), "time": datetime.time(1, 2, 3)},
        [],
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("media_type", ["application/json", "application/json; indent=4"])
def test_what_the_two_would_write_in_two_ways_is_written_in_drfs(data: Any, media_type: str):
    assert Renderer().render(data, media_type, {}) == JSONRenderer().render(data, media_type, {})

"""The wishes of a customer for a choice of moments, as they are stored and as media takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipforge.common.errors import Invalid
from clipforge.media import Choice

Span = tuple[float, float]


def require_inside(wishes: Mapping[str, Any], *, duration: float) -> None:
    """Raises Invalid when the range that is wished for begins past the end of the source."""
    start, _ = wishes.get("range") or (0.0, None)
    if start >= duration:
        raise Invalid(
            f"range begins at {start:g} seconds, and the source lasts {duration:.3f}.",
            code="bad_range",
        )


def choice_of(wishes: Mapping[str, Any] | None, *, taken: tuple[Span, ...] = ()) -> Choice:
    """The wishes as the choice of moments takes them, staying out of what is `taken`."""
    wishes = wishes or {}
    start, end = wishes.get("range") or (0.0, None)
    return Choice(
        count=wishes.get("count"),
        min_seconds=wishes.get("min_seconds"),
        max_seconds=wishes.get("max_seconds"),
        start=start,
        end=end,
        keywords=tuple(wishes.get("keywords") or ()),
        kinds=tuple(wishes.get("kinds") or ()),
        taken=taken,
    )

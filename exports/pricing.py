"""The price of an export."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.conf import settings

from clipforge.media.tightening import seconds
from credits.pricing import Charge, per_started_minute

if TYPE_CHECKING:
    from exports.models import Export


def export_charge(start: float, end: float, resolution: int = 1080) -> Charge:
    """The price of rendering [start, end), in seconds of the source.

    Above 1080 a clip has several times the pixels, which `export_resolution_factors` multiplies by.
    Captions, formats and frame rates cost nothing more.
    """
    charge = per_started_minute("export_per_output_minute", end - start)
    charge = replace(charge, options={"resolution": resolution})
    prices: dict[str, Any] = settings.PRICES
    factor: int = prices["export_resolution_factors"].get(resolution, 1)
    if factor == 1:
        return charge
    inputs: dict[str, Any] = {**charge.inputs, "resolution": resolution, "factor": factor}
    return replace(
        charge,
        credits=charge.credits * factor,
        unit_price=charge.unit_price * factor,
        inputs=inputs,
    )


def charge_of(export: Export) -> Charge:
    """The price of this export: what tightening leaves out is not charged."""
    return export_charge(0, seconds(export.ranges), export.resolution)

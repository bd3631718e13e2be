"""The price of an export."""

from credits.pricing import Charge, per_started_minute


def export_charge(start: float, end: float) -> Charge:
    """The price of rendering [start, end), in seconds of the source."""
    return per_started_minute("export_per_output_minute", end - start)

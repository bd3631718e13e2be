"""The price of an analysis."""

from credits.pricing import Charge, per_started_minute


def analysis_charge(duration: float) -> Charge:
    """The price of analysing a source of `duration` seconds."""
    return per_started_minute("analysis_per_source_minute", duration)

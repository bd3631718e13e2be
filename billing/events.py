"""Signals of billing."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with the catalogue's new `version` whenever any price was written, inside the transaction
# and before it commits: a receiver that must not see it rolled back waits with
# `transaction.on_commit`.
pricing_changed = Signal()


def announce_pricing(sender: type, version: int) -> None:
    """Send the signal. A receiver that fails is logged; the change of the price stands."""
    pricing_changed.send_robust(sender=sender, version=version)

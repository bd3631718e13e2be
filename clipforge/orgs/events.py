"""News of organizations, for the apps above."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `sandbox` in the transaction that makes one. A receiver that fails undoes it.
sandbox_made = Signal()

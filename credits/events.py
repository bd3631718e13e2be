"""Signals of the ledger."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `org_id` and `version` whenever an account moved, inside the transaction and before
# it commits: a receiver that must not see it rolled back waits with `transaction.on_commit`.
credits_changed = Signal()

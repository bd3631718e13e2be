"""The colours of statuses: each has its word beside it."""

from __future__ import annotations

# The statuses that share the colour of a badge.
STATES = {
    "ok": {"READY", "PAID", "ACTIVE", "CAPTURED", "DONE", "DELIVERED", "SENT", "APPLIED"},
    "busy": {
        "UPLOADED",
        "QUEUED",
        "ANALYZING",
        "RENDERING",
        "PENDING",
        "HELD",
        "REQUESTED",
        "RECEIVED",
    },
    "bad": {"FAILED", "PAST_DUE", "SUSPENDED", "REVERSED"},
}


def state_of(status: str) -> str:
    """The colour of a status: ok, busy, bad, or idle for an end that is no fault."""
    return next((state for state, statuses in STATES.items() if status in statuses), "idle")

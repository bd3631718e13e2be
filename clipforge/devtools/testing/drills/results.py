"""The result of a fault drill, and whether it is as it must be."""

from __future__ import annotations

from typing import Any, NamedTuple

from clipforge.devtools.testing.fault_injection import NotPermitted

# How soon after a fault is over all must have recovered. Seconds; an operator's limit, not a test's.
RECOVERY_SECONDS = 5.0

# With these no request may see an error: none depends on the part that broke.
UNSEEN = {
    *("nothing", "disk full (upload)", "disk full (upload, in the middle)", "disk full (log)"),
    *("clock ten minutes ahead", "clock ten minutes behind"),
    *("cache flushed", "cache frozen", "cache killed", "proxy reloaded (HUP)"),
}

# With these some request must see one: else nothing was broken.
SEEN = {
    *("web stopped (TERM) and started", "database restarted", "database crashed"),
    *("database backends terminated", "database connections exhausted"),
    *("pooler killed and started", "proxy killed and started"),
    *("proxy and pooler killed and started", "web behind the proxy stopped and started"),
}


class Row(NamedTuple):
    """`errors` are answers of 5xx, `broken` requests without an answer.

    `recovery` is how long after the end of the fault something still went wrong, or nothing went
    right yet. Seconds; None where the fault had no end, or its consequences were not measured.
    """

    fault: str
    requests: int = 0
    errors: int = 0
    broken: int = 0
    lost: int = 0
    double: int = 0
    recovery: float | None = None
    # An answer that is neither the effect nor a 503 with Retry-After, or no answer in the end; what
    # ended the drill before its end.
    unexplained: str = ""
    # Why this machine could not do it.
    skipped: str = ""
    # How soon all must have recovered.
    within: float = RECOVERY_SECONDS


def attempt(place: Any, name: str, fault: Any) -> Row:
    """The row of a drill on a stand or a bench; it says so where this machine cannot do it."""
    try:
        row: Row = place.run(name, fault)
    except NotPermitted as reason:
        return Row(name, skipped=str(reason))
    return row


def breaches(row: Row) -> list[str]:
    """The faults of a row, in words."""
    wrong = [f"{row.fault}: {row.lost} lost"] if row.lost else []
    wrong += [f"{row.fault}: {row.double} double"] if row.double else []
    wrong += [f"{row.fault}: {row.unexplained}"] if row.unexplained else []
    if row.fault in UNSEEN and row.errors + row.broken:
        wrong.append(f"{row.fault}: {row.errors} errors and {row.broken} broken requests")
    if row.fault in SEEN and not row.skipped + row.unexplained and not row.errors + row.broken:
        wrong.append(f"{row.fault}: no request noticed it, so nothing broke")
    return wrong


def too_slow(row: Row) -> list[str]:
    """For an operator, on a machine that has nothing else to do."""
    if row.recovery is None or row.recovery <= row.within:
        return []
    return [f"{row.fault}: recovered only after {row.recovery:g} s"]

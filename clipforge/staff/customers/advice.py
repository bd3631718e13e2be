"""Remedies for refusals and failures, by their codes."""

from __future__ import annotations

from typing import NamedTuple

from clipforge.jobs import failures
from projects.failures import IMPORT_CODES, LASTING, SOURCE_MISSING


class Help(NamedTuple):
    """A remedy for a refusal, and the page that does it, for those with the permission.

    `of_key`: the page is about the key, else about its organization.
    """

    todo: str
    page: str = ""
    permission: str = ""
    of_key: bool = False


CHANGE_TIER = Help("Change tier", "change-tier", "staff.change_tier")
GRANT = Help("Grant credits", "grant-credits", "staff.grant_credits")
LIMIT_KEY = Help("Change the limits of the key", "limit-key", "staff.manage_keys", of_key=True)
REVOKE = Help("Revoke the key if it leaked", "revoke-key", "staff.manage_keys", of_key=True)
_BY_CODE = {
    "rate_limited": CHANGE_TIER,
    "concurrent_jobs": CHANGE_TIER,
    "storage_limit_reached": CHANGE_TIER,
    "resolution_not_in_tier": CHANGE_TIER,
    "pin_not_in_tier": CHANGE_TIER,
    "watermark_not_in_tier": CHANGE_TIER,
    "too_long": CHANGE_TIER,
    "insufficient_credits": GRANT,
    "key_cap_reached": LIMIT_KEY,
    "scope_missing": LIMIT_KEY,
    "address_not_allowed": REVOKE,
    "origin_not_allowed": Help("Allow its origin", "allow-origins", "staff.manage_keys"),
    "organization_inactive": Help("Restore it", "restore", "staff.suspend_organization"),
}
# By the number of its class, of those with no entry above.
OURS = Help("Ours: look at the dashboard")
THEIRS = Help("The customer's program has to change")


def after_refusal(status: int, code: str, limit_name: str) -> Help:
    """A limit a minute can also be raised for one organization alone."""
    if code == "rate_limited" and limit_name == "api":
        return Help("Override the limit, or change tier", "override-limit", "staff.override_limit")
    return _BY_CODE.get(code, OURS if status >= 500 and status != 507 else THEIRS)


class Advice(NamedTuple):
    """Whether a job that failed so may succeed when it is tried again, and what to do first."""

    retry: str
    todo: str


# Of imports: what has to change before they can succeed.
_BEFORE_RETRY = {
    "insufficient_credits": "Grant credits first",
    "key_cap_reached": "Raise the cap of the key first",
    "storage_limit_reached": "Make room, or change the tier first",
    "too_long": "Change the tier first",
}
_OF_OURS = {
    failures.WORKER_LOST.code: "Look at the workers: one died several times with it",
    failures.INTERNAL_ERROR.code: "Look at its last words, and tell an engineer",
    failures.STORAGE_FULL.code: "Make room in the storage first",
    failures.STORAGE_UNAVAILABLE.code: "Look at the storage first",
    failures.HOLD_LAPSED.code: "Look at the queue: it waited too long",
    "timed_out": "Look at its length: it took longer than it may",
    "out_of_memory": "Look at its size: it took more memory than it may",
    "decoder_crashed": "The file is damaged, or the decoder has a fault: tell an engineer",
    "verify_failed": "Tell an engineer: what was rendered is not what was asked for",
}


def after_failure(code: str) -> Advice:
    if code == SOURCE_MISSING.code:
        return Advice("No", "The customer has to upload the file again")
    if code in LASTING:
        return Advice("No", "The file or the order has to change")
    if todo := _BEFORE_RETRY.get(code) or _OF_OURS.get(code):
        return Advice("Afterwards" if code in _BEFORE_RETRY else "Yes", todo)
    if code in IMPORT_CODES:
        return Advice("Yes", "The customer looks at the address it was to come from")
    return Advice("Yes", "Look at what the customer was told")

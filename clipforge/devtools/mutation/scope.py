"""Which code is mutated, and which tests are beside it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]


class Group(NamedTuple):
    """Files whose mutants are tested together. Paths are relative to the repository."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


GROUPS = {
    "credits": Group(
        tuple(
            f"credits/{name}.py"
            for name in (
                "ledger",
                "services",
                "rules",
                "expiry",
                "selectors",
                "reconciling",
                "caching",
                *("migrations/0009_functions", "migrations/0010_keys_spend"),
                "migrations/0011_ordered_by",
            )
        ),
        (
            *(
                f"credits/tests/test_{name}.py"
                for name in (
                    *("adjust", "announcements", "caching", "clock_edges", "expiry"),
                    *("functions", "grant", "key_caps", "ledger_checks", "meanings"),
                    *("models", "neighbours", "races", "reconciliation", "refund", "reserve"),
                    *("reverse_grant", "rules", "settle"),
                )
            ),
            "credits/tests/api",
            "clipforge/jobs/tests/test_asking.py",
            "clipforge/audit/tests/test_every_service.py",
        ),
    ),
    "jobs": Group(
        tuple(
            f"clipforge/jobs/{name}.py"
            for name in (
                *("lifecycle", "heartbeat", "sweeping", "outcome", "selectors", "queue"),
                *("places", "registry", "rules", "services"),
                *("migrations/0003_functions_of_places", "migrations/0004_time_given_back"),
                *(
                    "migrations/0006_submit",
                    "migrations/0007_cancel",
                    "migrations/0008_preparations",
                    "migrations/0009_prepared_in_turn",
                    "migrations/0010_expected_start",
                ),
            )
        ),
        (
            "clipforge/jobs/tests",
            "projects/tests/test_fair_imports.py",
            "projects/tests/api/test_cancel.py",
            "projects/tests/api/test_retry.py",
            "exports/tests/api/test_cancel.py",
            "exports/tests/api/test_retry.py",
        ),
    ),
    "limits": Group(
        (
            *(
                f"clipforge/orgs/{name}.py"
                for name in ("windows", "admission", "caching", "keys", "idempotency", "tasks")
            ),
            "clipforge/orgs/lua/window.lua",
            "clipforge/orgs/lua/admit.lua",
        ),
        (
            *(
                f"clipforge/orgs/tests/test_{name}.py"
                for name in (
                    "windows",
                    "admission",
                    "caching",
                    "clock_edges",
                    "keys",
                    "idempotency",
                    "services",
                )
            ),
            "clipforge/orgs/tests/api",
        ),
    ),
    "retention": Group(
        (
            "clipforge/jobs/retention.py",
            *(f"exports/{name}.py" for name in ("downloads", "pinning", "rendering", "tasks")),
            "projects/tasks.py",
        ),
        (
            "exports/tests/test_keeping_files.py",
            "exports/tests/test_events.py",
            "exports/tests/test_rendering.py",
            "exports/tests/test_rendering_options.py",
            "exports/tests/test_rendering_steps.py",
            "exports/tests/test_retention.py",
            "exports/tests/test_steady_links.py",
            "exports/tests/api/test_download.py",
            "exports/tests/api/test_twins_and_links.py",
            "projects/tests/test_tasks.py",
        ),
    ),
    "tenancy": Group(
        (
            "clipforge/common/models.py",
            "exports/selectors.py",
            "projects/selectors.py",
        ),
        (
            "clipforge/tests/test_tenancy.py",
            "clipforge/orgs/tests/test_admission.py",
            "clipforge/orgs/tests/test_announced_updates.py",
            "projects/tests/test_selectors.py",
            "projects/tests/api/test_detail.py",
            "projects/tests/api/test_list.py",
            "projects/tests/api/test_moments.py",
            "projects/tests/api/test_search_transcripts.py",
            "projects/tests/api/test_transcript.py",
            "projects/tests/api/test_correct_transcript.py",
            "projects/tests/api/test_select_moments.py",
            "projects/tests/test_export_feedback.py",
            "exports/tests/test_selectors.py",
            "exports/tests/api/test_archive.py",
            "exports/tests/api/test_detail.py",
            "exports/tests/api/test_list.py",
            "exports/tests/api/test_twins_and_links.py",
        ),
    ),
}

# Faults that are not planted, and why not.
SPARED = {
    r"\*, .* → .*/, |^\*, → /,$": "how arguments may be named",
    r"\bstrict=(True|False)": "a check of ours that two lists of one function are equally long",
    r"\bTypeVar\(": "read by the type checker only",
    r"\blogger\.|\bextra=\{|\brecord\(": "a line of the log, or a count of what the cache did",
    r"(?<!\.)\bstep\b(?! = share)|\bgrowing\b": "a loop inside Redis that would not end, and Redis with it",
    r"\bRetryStrategy\(": "a pause before a task is tried again",
    r"\blru_cache\(": "how much a process remembers",
    r"^abstract = ": "a base class of models, made when it is imported",
}

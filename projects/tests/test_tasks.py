"""The maintenance of uploads: which of its parts runs when, and what each is told."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import time_machine
from procrastinate.contrib.django import app

from clipforge.common import storage
from projects import importing, uploads

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (
            "projects.remove_uploads",
            {
                "remove_old_incoming": ((), {"older_than_seconds": 86400, "now": NOON.timestamp()}),
                "abort_uploads": (
                    (),
                    {
                        "older_than_seconds": 172800,
                        "now": NOON.timestamp(),
                        "is_wanted": uploads.is_awaited,
                    },
                ),
                "release_room": ((), {}),
            },
        ),
        (
            "projects.expire_uploads",
            {"remove_expired": ((), {}), "remove_orphans": ((NOON.timestamp(),), {})},
        ),
    ],
)
def test_what_uploads_leave_behind_is_removed_in_its_time(
    task: str, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    heard: dict[str, Any] = {}

    def listen_to(name: str) -> Any:
        return lambda *args, **options: heard.update({name: (args, options)})

    for module, names in {
        storage: ("remove_old_incoming", "abort_uploads"),
        importing: ("release_room",),
        uploads: ("remove_expired", "remove_orphans"),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, listen_to(name))
    with time_machine.travel(NOON, tick=False):
        app.tasks[task](timestamp=0)
    assert heard == told

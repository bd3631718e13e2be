"""`manage.py storage`: rows and files compared both ways, and a store that the database does not know."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.devtools.testing.factories import make_export, make_project
from clipforge.devtools.testing.state import nothing_changes, stored_files
from clipforge.jobs import retention, store_audit, store_markers
from clipforge.jobs.models import StoreMarker
from clipforge.jobs.tasks import mark_store
from clipforge.orgs.models import StorageUsage
from exports.jobs import RENDER
from exports.models import Export

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 86_400


def audit(*options: str) -> tuple[list[str], str]:
    """The lines and the failure of `storage audit`."""
    from io import StringIO

    out, failure = StringIO(), ""
    try:
        call_command("storage", "audit", *options, stdout=out)
    except CommandError as error:
        failure = str(error)
    return out.getvalue().splitlines(), failure


def orphan(beside: Export | None = None) -> Path:
    folder = f"{uuid.uuid4()}/exports/{uuid.uuid4()}"
    if beside is not None:
        folder = str(Path(beside.file_key).parent)
    path = storage.path_of(f"{folder}/99.mp4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nobody's")
    return path


@pytest.fixture
def export(tmp_path: Path) -> Export:
    source = tmp_path / "source"
    source.write_bytes(b"s" * 1000)
    return make_export(make_project(source=source))


def test_what_fits_is_no_finding(export: Export):
    with nothing_changes():
        assert audit() == (["Rows and files fit."], "")


def test_every_way_not_to_fit_is_found_and_none_is_repaired(export: Export):
    missing, larger = make_export(export.project), make_export(export.project)
    storage.path_of(missing.file_key).unlink()
    companion = storage.path_of(storage.companion_of(larger.file_key, "poster.jpg"))
    companion.write_bytes(b"123")
    lost, beside = orphan(), orphan(export)
    StorageUsage.objects.filter(pk=export.org_id).update(bytes=5)
    with time_machine.travel(time.time() + DAY + 60), nothing_changes():
        lines, failure = audit()
    root = storage.path_of("x").parent
    size = larger.stored_bytes
    total = 1000 + 3 * size
    assert sorted(lines[:-1]) == sorted(
        [
            f"no row names this file: {lost.relative_to(root)}",
            f"no row names this file: {beside.relative_to(root)}",
            f"the file of this row is missing: export {missing.pk}: {missing.file_key}",
            "the row counts other bytes than its files have: "
            f"export {larger.pk}: {size}, and not {size + 3}",
            "the organization counts other bytes than its rows: "
            f"organization {export.org_id}: 5, and not {total}",
        ]
    )
    assert failure == "5 findings."


def test_a_file_younger_than_a_day_may_be_of_a_row_that_is_not_committed(export: Export):
    orphan()
    assert audit() == (["Rows and files fit."], "")


def test_repair_removes_what_no_row_has_named_for_a_day_and_nothing_else(export: Export):
    kept = stored_files()
    lost = orphan()
    later = int(time.time()) + DAY + 60
    with time_machine.travel(later, tick=False):
        assert audit("--repair", "--dry-run")[1] == "1 findings."
        assert lost.exists()
        assert audit("--repair")[1] == "1 findings."
        assert not lost.exists()
        key = str(lost.relative_to(storage.path_of("x").parent))
        aside = storage.path_of(f"{storage.ASIDE}/{key}")
        assert audit("--repair") == (["Rows and files fit."], "")
        assert aside.exists()
    with time_machine.travel(later + DAY, tick=False):
        audit("--repair")
        assert aside.exists()
    with time_machine.travel(later + DAY + 1, tick=False):
        audit("--repair")
    assert not aside.exists()
    assert stored_files() == kept


def test_it_says_the_same_to_programs(export: Export, capsys: pytest.CaptureFixture[str]):
    call_command("storage", "audit", "--json")
    assert json.loads(capsys.readouterr().out) == {"findings": {}, "repaired": False}


def test_four_times_as_many_files_take_no_more_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_audit, "BATCH", 50)
    peaks = []
    for count in (200, 600):
        for _ in range(count):
            orphan()
        tracemalloc.start()
        found = sum(1 for _ in store_audit.findings(now=time.time() + DAY + 60))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found == 800
    assert peaks[1] < 1.5 * peaks[0]


def test_it_asks_once_for_every_batch_of_files_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(store_audit, "BATCH", 50)
    asked = []
    for more in (100, 200):
        for _ in range(more):
            orphan()
        with CaptureQueriesContext(connection) as queries:
            found = sum(1 for _ in store_audit.findings(now=time.time() + DAY + 60))
        asked.append(len(queries))
    assert found == 300
    assert asked[1] - asked[0] == 200 // 50


# --- a database that was restored --------------------------------------------------------


def restore_to_before(marker: Any) -> None:
    """As a database of an older moment is: without the marker, and without the rows since."""
    StoreMarker.objects.filter(pk=marker).delete()


def sweep() -> None:
    retention.expire(RENDER)
    app.tasks["exports.remove_orphans"](timestamp=0)
    app.tasks["projects.remove_orphans"](timestamp=0)


def test_a_store_that_is_ahead_of_the_database_loses_nothing_until_an_operator_accepts_it(
    export: Export, caplog: pytest.LogCaptureFixture
):
    mark_store(0)
    mark_store(0)
    newer = orphan()  # a file whose row was committed after the moment that was restored
    os.utime(newer.parent, (1, 1))
    token = store_markers.stored_token()
    restore_to_before(token)
    before = stored_files()
    sweep()
    assert stored_files() == before
    assert caplog.text.count("nothing is removed") == 3
    with pytest.raises(store_markers.StoreIsUnknown):
        mark_store(0)  # a new marker would hide it
    assert store_markers.stored_token() == token
    lines, failure = audit()
    assert lines[0].startswith("the store is unknown: marker: ")
    assert failure == "1 findings."
    assert "does not know" in audit("--repair")[1]
    call_command("storage", "accept", reason="the lost hour was looked at", verbosity=0)
    assert audit() == (["Rows and files fit."], "")
    sweep()
    assert not newer.exists()


def test_a_store_without_a_marker_is_not_the_one_that_the_database_knows(export: Export):
    mark_store(0)
    storage.path_of(store_markers.KEY).unlink()
    assert not store_markers.is_known()
    storage.path_of(store_markers.KEY).write_text("nonsense")
    assert not store_markers.is_known()


def test_a_store_and_a_database_that_are_both_new_belong_together():
    assert store_markers.is_known()
    mark_store(0)
    assert store_markers.is_known()
    assert StoreMarker.objects.get().pk == store_markers.stored_token()


def test_a_crash_between_database_and_store_is_no_unknown_store(monkeypatch: pytest.MonkeyPatch):
    mark_store(0)
    StoreMarker.objects.create()  # committed, and never written into the store
    assert store_markers.is_known()

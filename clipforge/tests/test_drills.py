"""Faults during operation: nothing is lost or done twice, and clients see no avoidable error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from clipforge.devtools.testing import drills
from clipforge.devtools.testing.drills import topology as drill_topology
from clipforge.devtools.testing.drills import workers as drill_workers
from clipforge.devtools.testing.fault_injection import (
    NotPermitted,
    clock_off_by,
    disk_of,
    log_full,
    patient,
)
from clipforge.devtools.testing.service import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# The usual run sees the worst of each kind; the long run sees them all.
SHORT = [
    *("web process killed", "web reloaded (HUP)", "web stopped (TERM) and started"),
    *("database backends terminated", "database connections exhausted", "database crashed"),
    *("clock ten minutes ahead", "disk full (log)", "cache frozen", "cache killed"),
]


@pytest.fixture(scope="module")
def stand() -> Iterator[drills.Stand]:
    with drills.stand() as made:
        yield made


def assert_nothing_happened(stand: drills.Stand, name: str) -> None:
    row = drills.attempt(stand, name, drills.FAULTS[name])
    assert drills.breaches(row) == [], row


@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_or_double_while_something_breaks(stand, name):
    assert_nothing_happened(stand, name)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_double_whatever_breaks(stand):
    for name in drills.FAULTS:
        assert_nothing_happened(stand, name)


@pytest.mark.long
def test_without_a_fault_an_operator_is_told_that_all_is_well():
    out = StringIO()
    call_command("faultdrill", only="nothing", worker_seconds=0, json=True, stdout=out)
    report = json.loads(out.getvalue())
    (row,) = report["faults"]
    assert (row["fault"], row["errors"], row["broken"], report["wrong"]) == ("nothing", 0, 0, [])
    assert row["recovery"] <= drills.RECOVERY_SECONDS


def forgets(stand: drills.Stand, load: drills.Load) -> None:
    """That it was asked for this export already; and is asked again."""
    key = next(iter(load.counts.kept))
    with stand.service.sql() as connection:
        connection.execute("DELETE FROM orgs_idempotencyrecord WHERE key = %s", [key])
    assert stand.export(key).status_code == 201


def loses(stand: drills.Stand, load: drills.Load) -> None:
    made = next(iter(load.counts.kept.values()))
    with stand.service.sql() as connection:
        connection.execute("DELETE FROM exports_export WHERE id = %s", [made])


def works_for_nothing(stand: drills.Stand, load: drills.Load) -> None:
    """Of one export the hold is gone, of another one the job."""
    unpaid, undone, *_ = load.counts.kept.values()
    with stand.service.sql() as connection:
        connection.execute("UPDATE exports_export SET hold_id = NULL WHERE id = %s", [unpaid])
        connection.execute("DELETE FROM procrastinate_jobs WHERE args->>'export_id' = %s", [undone])


def test_a_real_double_a_real_loss_and_half_a_charge_are_seen(stand):
    assert drills.breaches(stand.run("test", forgets)) == ["test: 1 double"]
    assert drills.breaches(stand.run("test", loses)) == [
        *("test: 1 lost", "test: 1 holds without an export")
    ]
    (halves,) = drills.breaches(stand.run("test", works_for_nothing))
    assert sorted(halves.removeprefix("test: ").split("; ")) == [
        *("1 exports without a hold", "1 exports without a job", "1 holds without an export")
    ]


@pytest.mark.parametrize(
    ("status", "code", "headers", "explained"),
    [
        (201, "", {}, True),
        (409, "request_in_progress", {}, True),
        (409, "conflict", {}, False),
        (503, "unavailable", {"Retry-After": "1"}, True),
        (503, "unavailable", {}, False),
        (402, "insufficient_credits", {}, False),
        (500, "", {}, False),
    ],
)
def test_errors_outside_a_customers_control_are_not_explained(status, code, headers, explained):
    answer = httpx.Response(status, json={"code": code}, headers=headers)
    assert drills.is_explained(answer) is explained


def test_a_drill_finds_a_seeded_double_and_a_seeded_loss():
    good = drills.Row("nothing", 10, 0, 0, 0, 0, 0.0)
    assert drills.breaches(good) == []
    changes: tuple[dict[str, Any], ...] = (
        {"lost": 1},
        {"double": 1},
        {"errors": 1},
        {"broken": 1},
        {"unexplained": "500"},
    )
    for change in changes:
        assert len(drills.breaches(good._replace(**change))) == 1


def test_a_fault_without_an_effect_does_not_count():
    row = drills.Row("database crashed", 10, 1, 0, 0, 0, 1.0)
    assert drills.breaches(row) == []
    assert drills.breaches(row._replace(errors=0)) == [
        "database crashed: no request noticed it, so nothing broke"
    ]


def test_an_operator_is_told_of_a_service_that_was_not_recovered_within_five_seconds():
    row = drills.Row("database restarted", 10, 3, 0, 0, 0, recovery=5.0)
    assert drills.too_slow(row) == []
    late = row._replace(recovery=5.1)
    assert drills.too_slow(late) == ["database restarted: recovered only after 5.1 s"]
    assert drills.too_slow(late._replace(within=20.0)) == []  # work comes back with its lease
    assert drills.too_slow(row._replace(recovery=None)) == []


def test_recovery_lasts_from_the_end_of_the_fault_to_its_last_consequence():
    counts = drills.Counts(served_at=[90.0, 103.0, 108.0], last_trouble=99.0)
    assert counts.recovery(100.0) == 3.0  # nothing was served before
    counts.last_trouble = 107.0
    assert counts.recovery(100.0) == 7.0  # something still went wrong


class DrillThatIsTheFault:
    """Where the drill itself is the fault."""

    def run(self, _: str, fault: Callable[[], drills.Row]) -> drills.Row:
        return fault()


def place() -> AbstractContextManager[DrillThatIsTheFault]:
    return nullcontext(DrillThatIsTheFault())


def well() -> drills.Row:
    return drills.Row("well", 10, 0, 0, 0, 0, 0.5)


def breaks_off() -> drills.Row:
    raise AssertionError("it did not stop properly")


def refused() -> drills.Row:
    raise NotPermitted("only root can")


@pytest.fixture
def drilled(monkeypatch, capsys) -> Callable[..., tuple[str, str]]:
    """Runs the command on these drills. What it printed, and said on its way out."""

    def command(
        *faults: Callable[[], drills.Row], stand: Any = place, **options: Any
    ) -> tuple[str, str]:
        monkeypatch.setattr(drills, "stand", stand)
        monkeypatch.setattr(drills, "FAULTS", {fault.__name__: fault for fault in faults})
        monkeypatch.setattr(drill_workers, "DRILLS", {})
        monkeypatch.setattr(drill_topology, "FAULTS", {})
        out, said = StringIO(), ""
        try:
            call_command("faultdrill", worker_seconds=0, stdout=out, **options)
        except CommandError as error:
            said = str(error)
        return out.getvalue(), said

    return command


def test_a_drill_that_breaks_off_is_a_row_and_takes_no_other_along(drilled):
    printed, said = drilled(breaks_off, refused, well, json=True)
    assert said == "breaks_off: AssertionError: it did not stop properly"
    report = json.loads(printed)
    assert report["wrong"] == [said]
    rows = {row["fault"]: row for row in report["faults"]}
    assert list(rows) == ["breaks_off", "refused", "well"]
    assert rows["breaks_off"]["unexplained"] == "AssertionError: it did not stop properly"
    assert (rows["refused"]["skipped"], rows["refused"]["unexplained"]) == ("only root can", "")


def test_people_see_the_table_before_they_are_told_what_is_wrong(drilled):
    printed, said = drilled(well, refused, breaks_off)
    assert said == "breaks_off: AssertionError: it did not stop properly"
    assert [line.split()[1] for line in printed.splitlines() if line[:1] == "│"] == [
        *("well", "refused", "breaks_off")
    ]
    assert "refused: not done, only root can" in printed


def test_a_service_that_cannot_be_started_or_ends_badly_is_a_row_too(drilled):
    @contextmanager
    def ends_badly() -> Iterator[DrillThatIsTheFault]:
        yield DrillThatIsTheFault()
        raise AssertionError("the ledger does not add up")

    @contextmanager
    def never_starts() -> Iterator[DrillThatIsTheFault]:
        raise AssertionError("no port is free")
        yield

    printed, said = drilled(well, stand=ends_badly, json=True)
    assert said == "the end of the service: AssertionError: the ledger does not add up"
    assert [row["fault"] for row in json.loads(printed)["faults"]] == ["well", said.split(":")[0]]
    printed, said = drilled(well, stand=never_starts, json=True)
    assert said == "a new service: AssertionError: no port is free"
    assert [row["fault"] for row in json.loads(printed)["faults"]] == ["a new service"]


def test_what_a_process_is_started_with_is_so(tmp_path: Path):
    """A drill without its fault would find nothing."""

    def said(argv: list[str]) -> str:
        return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    clock = [sys.executable, "-m", "timeit", "-n1", "-r1", "-s", "import time; print(time.time())"]
    now = float(said(clock).split()[0])
    assert float(said(clock_off_by(600)(clock)).split()[0]) - now == pytest.approx(600, abs=60)
    assert float(said(clock_off_by(-600)(clock)).split()[0]) - now == pytest.approx(-600, abs=60)
    ask = "from clipforge.common.cache import redis; print(redis.ANSWER_SECONDS)"
    patience = [sys.executable, "-m", "timeit", "-n1", "-r1", "-s", ask]
    assert [said(each).split()[0] for each in (patience, patient(patience))] == ["0.2", "10.0"]
    write = ["/bin/sh", "-c", "echo text; echo $?", "sh"]
    assert said(write).split() == ["text", "0"]
    assert said(log_full([*write[:2], f"echo text; echo $? >{tmp_path}/code"])) == ""
    assert (tmp_path / "code").read_text() != "0\n"


def test_a_small_disk_is_small_and_only_for_the_process_that_has_it(tmp_path: Path):
    fill = ["/bin/sh", "-c", f"head -c 100000 /dev/zero >{tmp_path}/file"]
    try:
        filled = subprocess.run(disk_of(64 << 10, tmp_path)(fill), capture_output=True, text=True)
    except NotPermitted as error:
        pytest.skip(str(error))
    assert "No space left on device" in filled.stderr
    assert list(tmp_path.iterdir()) == []

"""The main job through real processes, and what happens when one of them dies in the middle."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipforge.client import ApiError, Json
from clipforge.devtools.testing.drills import Row, breaches
from clipforge.devtools.testing.drills import workers as drill_workers
from clipforge.devtools.testing.drills.faults import STOPPING_SECONDS
from clipforge.devtools.testing.drills.workers import Bench
from clipforge.devtools.testing.fault_injection import NotPermitted
from clipforge.devtools.testing.service import Service, eventually
from clipforge.media import probe
from clipforge.media.sample import make_still

pytestmark = [pytest.mark.slow, pytest.mark.faults]

# Takes several seconds to render.
LONG = {"start": 0, "end": 30, "aspect": "source", "resolution": 1080}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with drill_workers.bench() as made:
        yield made


@pytest.fixture(scope="module")
def service(bench: Bench) -> Service:
    return bench.service


@pytest.fixture(scope="module")
def video(bench: Bench) -> Path:
    return bench.video


@pytest.fixture
def worker(service: Service) -> Iterator[subprocess.Popen[bytes]]:
    process = service.start_worker(concurrency=2)
    yield process
    if process.poll() is None:
        process.terminate()
    assert process.wait(STOPPING_SECONDS) is not None


def assert_done(bench: Bench, export: Json, *, attempts: int) -> Row:
    """READY after so many attempts, paid once, one file, nothing left."""
    assert (export["status"], export["attempts"]) == ("READY", attempts)
    row = bench.row("test", [export])
    assert breaches(row) == [], row
    return row


def test_a_video_becomes_clips_paid_with_credits(
    service: Service, video: Path, worker: subprocess.Popen[bytes], tmp_path: Path
):
    client = service.customer("Main job", 100)
    project = client.wait(f"projects/{client.upload(video, title='Sample')['id']}", seconds=200)
    assert (project["status"], project["credits"]) == ("READY", {"reserved": 0, "charged": 1})
    best = next(client.pages(f"projects/{project['id']}/moments"))

    export = client.post("exports", {"moment": best["id"], "aspect": "9:16", "resolution": 480})
    export = client.wait(f"exports/{export['id']}", seconds=200)
    client.download(export["id"], tmp_path / "clip.mp4")

    clip = probe(tmp_path / "clip.mp4")
    assert (clip.width, clip.height, clip.video_codec, clip.audio_codec) == (
        480,
        854,
        "h264",
        "aac",
    )
    assert clip.duration == pytest.approx(best["duration"], abs=1 / 20)
    assert clip.size == export["size"]
    assert client.get("credits/balance") == {"available": 98, "held": 0, "posted": 98, "debt": 0}


def test_of_two_clients_after_the_last_credits_one_gets_402(
    service: Service, worker: subprocess.Popen[bytes], video: Path
):
    client = service.customer("Last credits", 2)
    project = client.wait(f"projects/{client.upload(video)['id']}", seconds=200)
    drill_workers.stop(worker)  # so that the export stays open
    start = threading.Barrier(2)

    def export(_: int) -> Json:
        start.wait()
        try:
            return client.post("exports", {"project": project["id"], **LONG})
        except ApiError as refusal:
            return refusal.problem

    with ThreadPoolExecutor(2) as pool:
        won, lost = sorted(pool.map(export, range(2)), key=lambda answer: "code" in answer)
    assert won["credits"] == {"reserved": 1, "charged": 0}
    assert (lost["status"], lost["code"]) == (402, "insufficient_credits")
    assert (lost["needed"], lost["available"]) == (1, 0)
    assert client.get("credits/balance") == {"available": 0, "held": 1, "posted": 1, "debt": 0}
    client.post(f"exports/{won['id']}/cancel")


def test_of_twenty_uploads_at_once_as_many_are_kept_as_are_paid_for(
    service: Service, tmp_path: Path
):
    make_still(tmp_path / "still.mp4", 2)
    client = service.customer("Twenty", 8)
    start = threading.Barrier(20)

    def upload(_: int) -> str:
        start.wait()
        try:
            return str(client.upload(tmp_path / "still.mp4")["id"])
        except ApiError as refusal:
            return str(refusal.problem["code"])

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(upload, range(20)))
    kept = set(answers) - {"insufficient_credits"}
    assert (answers.count("insufficient_credits"), len(kept)) == (12, 8), answers
    assert client.get("credits/balance") == {"available": 0, "held": 8, "posted": 8, "debt": 0}
    assert kept == {row["id"] for row in client.pages("projects")}
    (org,) = {path.parts[0] for path in service.files("source") if path.parts[2] in kept}
    assert {path.parts[2] for path in service.files(f"{org}/projects/*/*")} == kept
    assert service.files("incoming/**/*") == []
    for project in kept:
        client.post(f"projects/{project}/cancel")


def test_silence_over_a_still_picture_ends_empty_and_costs_nothing(
    service: Service, worker: subprocess.Popen[bytes], tmp_path: Path
):
    make_still(tmp_path / "still.mp4", 20)
    client = service.customer("Still", 10)
    project = client.wait(f"projects/{client.upload(tmp_path / 'still.mp4')['id']}", seconds=200)
    assert (project["status"], project["credits"]["charged"]) == ("EMPTY", 0)
    assert client.get("credits/balance") == {"available": 10, "held": 0, "posted": 10, "debt": 0}


def test_a_worker_killed_in_the_middle_of_a_render_costs_the_customer_nothing_extra(
    bench: Bench, tmp_path: Path
):
    (done,) = drill_workers.killed(bench)
    recovery = assert_done(bench, done, attempts=2).recovery
    assert recovery is not None
    assert recovery > 0
    bench.client.download(done["id"], tmp_path / "clip.mp4")
    assert probe(tmp_path / "clip.mp4").duration == pytest.approx(30, abs=1 / 20)
    assert bench.service.manage_json("reconcile_credits")["breaches"] == []


def test_a_worker_asked_to_stop_hands_its_render_back_and_exits_0(bench: Bench):
    (done,) = drill_workers.stopped(bench)
    assert_done(bench, done, attempts=1)


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(bench: Bench):
    (done,) = drill_workers.frozen(bench)
    assert_done(bench, done, attempts=2)


@pytest.mark.parametrize(
    "how",
    [Service.crash_database, pytest.param(Service.restart_database, marks=pytest.mark.long)],
)
def test_a_worker_whose_database_went_away_goes_on_with_everything_once_it_is_back(
    bench: Bench, how: Callable[[Service], None]
):
    row = bench.run("test", drill_workers.database_lost(how))
    assert breaches(row) == [], row


def test_workers_killed_at_random_moments_lose_nothing_and_leave_nothing(bench: Bench):
    ended = drill_workers.killed_at_random(6)(bench)
    assert len(ended) >= 4
    row = bench.row("test", ended)
    assert breaches(row) == [], row


@pytest.mark.long
@pytest.mark.timeout(900)
def test_neither_do_those_killed_for_minutes(bench: Bench):
    row = bench.run("worker killed at random", drill_workers.killed_at_random(180))
    assert breaches(row) == [], row


def test_a_render_on_a_full_disk_fails_unpaid_and_is_done_elsewhere(bench: Bench):
    try:
        (done,) = drill_workers.disk_full(bench)
    except NotPermitted as error:
        pytest.skip(str(error))
    assert_done(bench, done, attempts=1)


def test_a_worker_that_cannot_log_does_its_work_and_stops_as_always(bench: Bench):
    (done,) = drill_workers.log_full(bench)
    assert_done(bench, done, attempts=1)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [600, -600])
def test_a_worker_with_a_wrong_clock_takes_no_running_job_and_its_own_is_retried(
    bench: Bench, seconds: float
):
    first, second = drill_workers.clock_off_by(seconds)(bench)
    assert_done(bench, first, attempts=1)
    assert_done(bench, second, attempts=2)


@contextlib.contextmanager
def probe_of(parent: int) -> Iterator[int]:
    """A process that looks like a probe which this parent left behind, so long as it reads its orders."""
    command = [sys.executable, "-c", "input()", "clipforge.media", str(parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process.pid


def test_leftover_lost_and_duplicate_jobs_are_reported(bench: Bench):
    """Seeded: an export paid twice, one without its file, and what the dead leave."""
    (done,) = drill_workers.log_full(bench)
    (path,) = bench.service.files(f"*/exports/{done['id']}/*.mp4")
    file, copy = bench.service.media / path, bench.service.media / path.with_name("0.mp4")
    copy.write_bytes(b"another one")
    assert breaches(bench.row("test", [done])) == ["test: 1 double"]
    copy.unlink()
    file.rename(bench.service.media / "incoming" / "dead.part")
    lost, left = breaches(bench.row("test", [done]))
    assert lost == "test: 1 lost"
    assert left == "test: dead.part was left"
    (bench.service.media / "incoming" / "dead.part").rename(file)
    (workspace := bench.service.media / "incoming" / f"{done['id']}.2").mkdir()
    assert breaches(bench.row("test", [done])) == [f"test: {workspace.name} was left"]
    workspace.rmdir()
    with probe_of(bench.service.processes[0].pid) as leaked:
        assert breaches(bench.row("test", [done])) == [f"test: process {leaked} works on"]
    open_export = bench.start_export()
    assert breaches(bench.row("test", [open_export])) == [
        "test: 1 lost",
        "test: 1 credits are held",
    ]
    bench.client.post(f"exports/{open_export['id']}/cancel")


def test_cancelling_a_running_render_stops_it_and_gives_the_credits_back(bench: Bench):
    client = bench.client
    before = client.get("credits/balance")
    export = bench.start_export()
    worker = bench.worker_at(export)
    bench.hold_renders()
    assert client.post(f"exports/{export['id']}/cancel")["status"] == "CANCELLED"
    eventually("ffmpeg is gone", lambda: not bench.service.media_children())
    assert client.get("credits/balance") == before
    with pytest.raises(ApiError, match="export_not_ready"):
        client.download(export["id"], Path("unused"))
    drill_workers.stop(worker)

"""The main job through real processes, and what happens when one of them dies in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clipforge.client import ApiError, Client, Json
from clipforge.media import probe
from clipforge.media.sample import make_sample, make_still
from clipforge.testing.service import Service, eventually, running_service

pytestmark = [pytest.mark.slow, pytest.mark.faults]

LEASE_SECONDS = 3


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service(WORK_LEASE_SECONDS=str(LEASE_SECONDS)) as running:
        yield running


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "sample.mp4"
    make_sample(path, seconds=60)
    return path


@pytest.fixture
def worker(service: Service) -> Iterator[subprocess.Popen[bytes]]:
    process = service.start_worker(concurrency=2)
    yield process
    if process.poll() is None:
        process.terminate()
    assert process.wait(40) is not None


@pytest.fixture(scope="module")
def client(service: Service) -> Client:
    return service.customer("Unlucky", 100)


@pytest.fixture(scope="module")
def project(service: Service, client: Client, video: Path) -> Json:
    """Analysed once, by a worker that is gone again."""
    helper = service.start_worker()
    ready = client.wait(f"projects/{client.upload(video)['id']}", seconds=200)
    helper.terminate()
    assert helper.wait(40) == 0
    return ready


def spends(client: Client, reference: str) -> list[int]:
    rows = client.pages("credits/transactions", type="SPEND")
    return [row["amount"] for row in rows if row["reference_id"] == reference]


def start_export(client: Client, project: Json) -> Json:
    """An export that takes several seconds, waiting in the queue."""
    return client.post(
        "exports",
        {"project": project["id"], "start": 0, "end": 30, "aspect": "source", "resolution": 1080},
    )


def rendering(client: Client, export: Json) -> Json | None:
    item = client.get(f"exports/{export['id']}")
    return item if item["status"] == "RENDERING" and item["progress"] > 0 else None


def freeze(service: Service) -> None:
    """Hold the renders where they are, so that none is done, on however fast a machine, before
    what comes next."""
    for child in service.media_children():
        os.kill(child, signal.SIGSTOP)


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
    start = threading.Barrier(2)

    def export(_: int) -> Json:
        start.wait()
        try:
            return start_export(client, project)
        except ApiError as refusal:
            return refusal.problem

    with ThreadPoolExecutor(2) as pool:
        won, lost = sorted(pool.map(export, range(2)), key=lambda answer: "code" in answer)
    assert won["credits"] == {"reserved": 1, "charged": 0}
    assert (lost["status"], lost["code"]) == (402, "insufficient_credits")
    assert (lost["needed"], lost["available"]) == (1, 0)
    assert client.get("credits/balance") == {"available": 0, "held": 1, "posted": 1, "debt": 0}
    client.post(f"exports/{won['id']}/cancel")


def test_silence_over_a_still_picture_ends_empty_and_costs_nothing(
    service: Service, worker: subprocess.Popen[bytes], tmp_path: Path
):
    make_still(tmp_path / "still.mp4", 20)
    client = service.customer("Still", 10)
    project = client.wait(f"projects/{client.upload(tmp_path / 'still.mp4')['id']}", seconds=200)
    assert (project["status"], project["credits"]["charged"]) == ("EMPTY", 0)
    assert client.get("credits/balance") == {"available": 10, "held": 0, "posted": 10, "debt": 0}


def test_a_worker_killed_in_the_middle_of_a_render_costs_the_customer_nothing_extra(
    service: Service, client: Client, project: Json, tmp_path: Path
):
    export = start_export(client, project)
    doomed = service.start_worker()
    eventually("the render runs", lambda: rendering(client, export))
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.wait()
    eventually("its ffmpeg is gone", lambda: not service.media_children(), seconds=5)
    assert client.get(f"exports/{export['id']}")["status"] == "RENDERING"

    rescuer = service.start_worker()
    done = client.wait(f"exports/{export['id']}", seconds=200)
    assert (done["status"], done["attempts"]) == ("READY", 2)
    assert spends(client, export["id"]) == [-1]
    assert len(service.files(f"*/exports/{export['id']}/*")) == 1
    assert service.files("incoming/**/*") == []
    client.download(export["id"], tmp_path / "clip.mp4")
    assert probe(tmp_path / "clip.mp4").duration == pytest.approx(30, abs=1 / 20)

    rescuer.terminate()
    assert rescuer.wait(40) == 0
    assert service.manage_json("reconcile_credits")["breaches"] == []


def test_a_worker_asked_to_stop_hands_its_render_back_and_exits_0(
    service: Service, client: Client, project: Json
):
    export = start_export(client, project)
    first = service.start_worker()
    eventually("the render runs", lambda: rendering(client, export))
    freeze(service)
    first.terminate()
    assert first.wait(40) == 0

    waiting = client.get(f"exports/{export['id']}")
    assert (waiting["status"], waiting["attempts"], waiting["queue_position"]) == ("QUEUED", 0, 1)
    assert service.files("incoming/**/*") == []

    second = service.start_worker()
    done = client.wait(f"exports/{export['id']}", seconds=200)
    assert (done["status"], done["attempts"]) == ("READY", 1)
    assert spends(client, export["id"]) == [-1]
    second.terminate()
    assert second.wait(40) == 0


def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(
    service: Service, client: Client, project: Json
):
    export = start_export(client, project)
    frozen = service.start_worker()
    eventually("the render runs", lambda: rendering(client, export))
    os.kill(frozen.pid, signal.SIGSTOP)

    other = service.start_worker()
    done = client.wait(f"exports/{export['id']}", seconds=200)
    assert (done["status"], done["attempts"]) == ("READY", 2)
    os.kill(frozen.pid, signal.SIGCONT)
    frozen.terminate()
    assert frozen.wait(40) == 0

    assert client.get(f"exports/{export['id']}") == done
    assert spends(client, export["id"]) == [-1]
    assert len(service.files(f"*/exports/{export['id']}/*")) == 1
    other.terminate()
    assert other.wait(40) == 0


def test_cancelling_a_running_render_stops_it_and_gives_the_credits_back(
    service: Service, client: Client, project: Json, worker: subprocess.Popen[bytes]
):
    before = client.get("credits/balance")
    export = start_export(client, project)
    eventually("the render runs", lambda: rendering(client, export))
    assert client.post(f"exports/{export['id']}/cancel")["status"] == "CANCELLED"
    eventually("ffmpeg is gone", lambda: not service.media_children(), seconds=10)
    assert client.get("credits/balance") == before
    with pytest.raises(ApiError, match="export_not_ready"):
        client.download(export["id"], Path("unused"))

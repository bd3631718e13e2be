"""Fault drills of the work: exports of one customer, the workers that render them, and the faults of those.

Each drill returns its exports as they ended. Whatever broke: an export that is READY was paid once and
has one file, any other was not paid, and nothing is left of the dead. `manage.py faultdrill` runs them for
an operator; `clipforge/tests/test_work_end_to_end.py` looks more closely.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import LiteralString

from clipforge.client import FINAL, Json
from clipforge.devtools.testing import fault_injection
from clipforge.devtools.testing.drills.faults import STOPPING_SECONDS
from clipforge.devtools.testing.drills.results import RECOVERY_SECONDS, Row
from clipforge.devtools.testing.fault_injection import Injection
from clipforge.devtools.testing.service import Service, durable_service, eventually
from clipforge.media.sample import make_sample

# Short, so that work of the dead comes back soon, but no worker on a busy machine is taken for dead;
# many, because some drills kill often.
ENVIRONMENT = {"WORK_LEASE_SECONDS": "8", "WORK_MAX_ATTEMPTS": "8"}

SECONDS = 60  # of the video
# How long work may take to come back and end: a lease, a sweep every 15 s, a render of some seconds.
# Far below the ten minutes by which a clock is off. Seconds.
PATIENCE = 200
# When, after a fault, all open work must have been taken again: a lease runs out, the sweeper comes
# every 15 s, a worker starts. An operator's limit, not a test's.
RECOVERED_SECONDS = float(ENVIRONMENT["WORK_LEASE_SECONDS"]) + 15 + RECOVERY_SECONDS

SWEEP = """
from clipforge.jobs.sweeping import sweep
from exports.models import Export
print(*sweep(Export))
"""

# The moments for which workers deferred their sweeps.
SWEEPS: LiteralString = """
    SELECT defer_timestamp FROM procrastinate_periodic_defers WHERE task_name = 'exports.sweep'
"""


class Bench:
    """A customer whose video is analysed, ready to be cut. No worker runs yet."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.client = service.customer("Unlucky", 1000)
        self._over: float | None = None
        self.video = service.data / "sample.mp4"
        make_sample(self.video, seconds=SECONDS)
        self._short = service.data / "short.mp4"
        make_sample(self._short, seconds=30)
        helper = service.start_worker()
        uploaded = self.client.upload(self.video)
        self.project = self.client.wait(f"projects/{uploaded['id']}", seconds=PATIENCE)
        stop(helper)

    def start_export(self, *, seconds: int = 30, resolution: int = 1080) -> Json:
        """An export waiting in the queue. By itself this one takes several seconds to render."""
        cut = {"start": 0, "end": seconds, "aspect": "source", "resolution": resolution}
        return self.client.post("exports", {"project": self.project["id"], **cut})

    def start_analysis(self) -> Json:
        """A project waiting in the queue."""
        return self.client.upload(self._short)

    def export(self, export: Json) -> Json:
        return self.client.get(f"exports/{export['id']}")

    def rendered(self, export: Json) -> Json:
        """The export, once it ended in whatever way."""
        return self.client.wait(f"exports/{export['id']}", seconds=PATIENCE)

    def analysed(self, project: Json) -> Json:
        return self.client.wait(f"projects/{project['id']}", seconds=PATIENCE)

    def until_rendering(self, export: Json) -> None:
        def renders() -> bool:
            item = self.export(export)
            return bool(item["status"] == "RENDERING" and item["progress"] > 0)

        eventually("the render runs", renders)

    def worker_at(
        self, export: Json, injection: Injection = fault_injection.none
    ) -> subprocess.Popen[bytes]:
        """A new worker, in the middle of rendering this export."""
        worker = self.service.start_worker(injection=injection)
        self.until_rendering(export)
        return worker

    def hold_renders(self, *, still: bool = True) -> None:
        """Stop them where they are, so that none is done, on however fast a machine, before what
        comes next; or let them go on."""
        for child in self.service.media_children():
            with contextlib.suppress(ProcessLookupError):  # a probe that has just ended
                os.kill(child, signal.SIGSTOP if still else signal.SIGCONT)

    def ticked(self, seconds: float) -> bool:
        """Whether a worker whose clock is off by about so much deferred a sweep."""
        return self._sweep_deferred(
            "abs(defer_timestamp - extract(epoch FROM now()) - %s) < 60", seconds
        )

    def ticked_after(self, moment: float) -> bool:
        """Whether a worker deferred a sweep for a later moment than this one, which it thought it was."""
        return self._sweep_deferred("defer_timestamp > %s", moment)

    def _sweep_deferred(self, where: LiteralString, value: float) -> bool:
        query: LiteralString = f"{SWEEPS} AND {where} LIMIT 1"
        with self.service.sql() as connection:
            return connection.execute(query, [value]).fetchone() is not None

    def spends(self) -> Counter[str]:
        """How often each project and export was paid."""
        rows = self.client.pages("credits/transactions", type="SPEND")
        return Counter(row["reference_id"] for row in rows)

    def files(self, export: Json) -> int:
        # Beside each clip are its pictures.
        return len(self.service.files(f"*/exports/{export['id']}/*.mp4"))

    def fault_is_over(self) -> None:
        """From now on the work has to come back."""
        self._over = time.time()

    def run(self, name: str, drill: Drill) -> Row:
        """An error of the API, or anything else that must not be, ends the drill with an exception."""
        self._over = None
        return self.row(name, drill(self))

    def row(self, name: str, ended: list[Json]) -> Row:
        paid = self.spends()
        lost = double = 0
        for each in ended:
            due = 1 if each["status"] == "READY" else 0
            # What an export makes is a file; what a project has was uploaded.
            files = self.files(each) if "project" in each else due
            lost += each["status"] not in FINAL or min(paid[each["id"]], files) < due
            double += max(paid[each["id"]], files) > due
        return Row(
            name,
            requests=len(ended),
            lost=lost,
            double=double,
            recovery=self._recovery(ended),
            unexplained="; ".join(self.left()),
            within=RECOVERED_SECONDS,
        )

    def _recovery(self, ended: list[Json]) -> float | None:
        """Seconds from the end of the fault until a worker had taken everything that was still to do."""
        taken = [datetime.fromisoformat(each["started_at"]) for each in ended if each["started_at"]]
        if self._over is None or not taken:
            return None
        return round(max(0.0, max(taken).timestamp() - self._over), 2)

    def left(self) -> list[str]:
        """Holds, processes and files that should be gone when no work is open."""
        held = self.client.get("credits/balance")["held"]
        return [
            *([f"{held} credits are held"] if held else []),
            *(f"process {pid} works on" for pid in self.service.media_children()),
            *(f"{left.name} was left" for left in self.service.media.glob("incoming/*")),
        ]


Drill = Callable[[Bench], list[Json]]


@contextlib.contextmanager
def bench() -> Iterator[Bench]:
    with durable_service(**ENVIRONMENT) as service:
        yield Bench(service)


def stop(*workers: subprocess.Popen[bytes]) -> None:
    """Ask them to stop; they do, and say that all is well."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        assert worker.wait(STOPPING_SECONDS) == 0, "a worker did not stop properly"


# --- the drills -----------------------------------------------------------------------


def killed(bench: Bench) -> list[Json]:
    """SIGKILL in the middle of a render: another worker begins it anew."""
    export = bench.start_export()
    doomed = bench.worker_at(export)
    bench.hold_renders()
    doomed.kill()
    doomed.wait()
    bench.fault_is_over()
    eventually("its ffmpeg is gone", lambda: not bench.service.media_children())
    assert bench.export(export)["status"] == "RENDERING"
    rescuer = bench.service.start_worker()
    done = bench.rendered(export)
    stop(rescuer)
    return [done]


def stopped(bench: Bench) -> list[Json]:
    """SIGTERM in the middle of a render: it is handed back and costs no attempt."""
    export = bench.start_export()
    first = bench.worker_at(export)
    bench.hold_renders()
    stop(first)
    bench.fault_is_over()
    waiting = bench.export(export)
    state = (waiting["status"], waiting["attempts"], waiting["queue_position"])
    assert state == ("QUEUED", 0, 1), state
    assert bench.service.files("incoming/**/*") == []
    second = bench.service.start_worker()
    done = bench.rendered(export)
    stop(second)
    return [done]


def frozen(bench: Bench) -> list[Json]:
    """SIGSTOP until another worker has done the work, then SIGCONT: it changes nothing any more."""
    export = bench.start_export()
    sleeper = bench.worker_at(export)
    sleeper.send_signal(signal.SIGSTOP)
    bench.fault_is_over()  # the work must not wait for the thaw
    other = bench.service.start_worker()
    done = bench.rendered(export)
    sleeper.send_signal(signal.SIGCONT)
    stop(sleeper, other)
    assert bench.export(export) == done, "who came back from the dead changed it"
    return [done]


def database_lost(lose: Callable[[Service], None]) -> Drill:
    """The database goes away under a worker and comes back: the same worker renders and sweeps on."""

    def drill(bench: Bench) -> list[Json]:
        export = bench.start_export()
        worker = bench.worker_at(export)
        lose(bench.service)
        bench.fault_is_over()
        back = time.time()
        done = bench.rendered(export)
        eventually("the worker sweeps again", lambda: bench.ticked_after(back))
        stop(worker)
        return [done]

    return drill


def disk_full(bench: Bench) -> list[Json]:
    """The disk where a worker renders is full: FAILED and not paid. Elsewhere there is room again."""
    (folder := bench.service.media / "incoming").mkdir(exist_ok=True)
    export = bench.start_export()
    worker = bench.service.start_worker(injection=fault_injection.disk_of(64 << 10, folder))
    failed = bench.rendered(export)
    stop(worker)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "storage_full"), failed
    assert bench.spends()[export["id"]] == 0
    bench.fault_is_over()
    bench.client.post(f"exports/{export['id']}/retry")
    worker = bench.service.start_worker()
    done = bench.rendered(export)
    stop(worker)
    return [done]


def log_full(bench: Bench) -> list[Json]:
    """Nothing can be logged: the work is done all the same, and the worker stops as always."""
    export = bench.start_export(seconds=4, resolution=480)
    worker = bench.service.start_worker(injection=fault_injection.log_full)
    done = bench.rendered(export)
    stop(worker)
    return [done]


def clock_off_by(seconds: float) -> Drill:
    """The clock of one worker is wrong: it takes no lease of another, and its own ends as soon as any."""
    off = fault_injection.clock_off_by(seconds)

    def drill(bench: Bench) -> list[Json]:
        first = bench.start_export()
        owner = bench.worker_at(first)
        bench.hold_renders()
        swept = bench.service.manage("shell", "-v", "0", "-c", SWEEP, injection=off)
        assert swept.split() == ["0", "0"], f"it took the work of the living: {swept}"
        other = bench.service.start_worker(injection=off)
        eventually("it sweeps by its own clock", lambda: bench.ticked(seconds))
        bench.hold_renders(still=False)
        done = [bench.rendered(first)]
        stop(owner)

        second = bench.start_export()
        bench.until_rendering(second)
        other.kill()
        other.wait()
        bench.fault_is_over()
        rescuer = bench.service.start_worker()
        done.append(bench.rendered(second))
        stop(rescuer)
        return done

    return drill


def killed_at_random(seconds: float, *, seed: int = 1) -> Drill:
    """SIGKILL at random moments of a worker's life while uploads and exports flow; one finishes what is left."""
    choose = random.Random(seed)  # noqa: S311 - no secret

    def drill(bench: Bench) -> list[Json]:
        projects: list[Json] = []
        exports: list[Json] = []
        life = 0.0
        while life < seconds:
            worker = bench.service.start_worker(2)
            projects.append(bench.start_analysis())
            exports.append(bench.start_export(seconds=4, resolution=480))
            moment = choose.uniform(0.5, 4)
            life += moment
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(moment)
            worker.kill()
            worker.wait()
        last = bench.service.start_worker(2)
        # Only the last one can render this: so it is up before it is asked to stop.
        exports.append(bench.start_export(seconds=4, resolution=480))
        ended = [*map(bench.rendered, exports), *map(bench.analysed, projects)]
        stop(last)
        return ended

    return drill


DRILLS: dict[str, Drill] = {
    "worker killed (KILL)": killed,
    "worker stopped (TERM)": stopped,
    "worker frozen and thawed": frozen,
    "worker's database restarted": database_lost(Service.restart_database),
    "worker's database crashed": database_lost(Service.crash_database),
    "worker's clock ten minutes ahead": clock_off_by(600),
    "worker's clock ten minutes behind": clock_off_by(-600),
    "worker's log on a full disk": log_full,
    "worker's disk full": disk_full,
}

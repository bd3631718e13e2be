"""A child that does nothing any more is ended, and one that is slow is left alone."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipforge.media import ErrorCode, MediaError, operations, sandbox, stalling
from clipforge.media.tests.samples import (
    children_of,
    make_video,
    session_of,
    started_with,
    wait_until,
)

LOOK, LOOKS = 0.1, 5

# Two threads, each of which holds the lock that the other one waits for.
DEADLOCK = """
import threading
both, one, other = threading.Barrier(2), threading.Lock(), threading.Lock()
def take(first, second):
    with first:
        both.wait()
        second.acquire()
def stand_still(*_):
    threading.Thread(target=take, args=(one, other)).start()
    take(other, one)
"""
ALWAYS = f"""{DEADLOCK}
from clipforge.media import probing
probing.probe = stand_still
"""
BUSY = """
import time
from clipforge.media import probing
probe = probing.probe
def slowly(*arguments):
    while time.process_time() < 1.5:
        pass
    return probe(*arguments)
probing.probe = slowly
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("stalling") / "video.mp4", seconds=1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    vigil = functools.partial(stalling.Vigil, look_seconds=LOOK, looks=LOOKS)
    monkeypatch.setattr(sandbox, "Vigil", vigil)


@pytest.mark.usefixtures("impatient")
class TestChild:
    def test_that_always_stands_still_is_ended_twice(self, video, monkeypatch, caplog):
        others = children_of(os.getpid())
        monkeypatch.setattr(sandbox, "_start", started_with(ALWAYS))
        with pytest.raises(MediaError) as caught:
            operations.probe(video)
        assert caught.value.code is ErrorCode.DECODER_CRASHED
        assert caplog.messages == ["the media child stands still and is killed: probe"] * 2
        assert children_of(os.getpid()) <= others

    def test_that_stood_still_once_is_begun_again(self, video, monkeypatch, caplog):
        starts = iter([started_with(ALWAYS), sandbox._start])
        monkeypatch.setattr(sandbox, "_start", lambda: next(starts)())
        assert operations.probe(video).duration == 1.0
        assert caplog.messages == ["the media child stands still and is killed: probe"]

    def test_that_only_computes_for_long_is_left_alone(self, video, monkeypatch, caplog):
        monkeypatch.setattr(sandbox, "_start", started_with(BUSY))
        assert operations.probe(video).duration == 1.0
        assert caplog.messages == []


class TestProgressOfTheSecondAttempt:
    def test_is_told_from_where_the_first_one_came_to(self):
        told: list[tuple[str, float]] = []
        rising = sandbox.Rising(lambda stage, fraction: told.append((stage, fraction)))
        first = [("probing", 0.0), ("probing", 1.0), ("decoding", 0.0), ("decoding", 0.5)]
        second = [*first, ("decoding", 0.6), ("scoring", 0.0)]
        for stage, fraction in (*first, *second):
            rising(stage, fraction)
        assert told == [*first, ("decoding", 0.6), ("scoring", 0.0)]


@pytest.fixture
def program(request: pytest.FixtureRequest):
    """A program that leads a group of its own, and has said that it is there."""
    code = f"print('here', flush=True); {request.param}"
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.send_signal(signal.SIGCONT)
        process.kill()


SLEEPS = "import time; time.sleep(600)"
WORKS = "exec('while True: pass')"


def looks(process: subprocess.Popen[bytes], number: int) -> list[bool]:
    """The findings of so many looks at a program."""
    vigil = stalling.Vigil(process.pid, look_seconds=LOOK, looks=LOOKS)
    found = []
    for _ in range(number):
        time.sleep(LOOK)
        found.append(vigil.stands_still())
    return found


class TestVigil:
    @pytest.mark.parametrize("program", [SLEEPS], indirect=True, ids=["sleeps"])
    def test_it_takes_so_many_looks_in_a_row_after_the_first(self, program):
        wait_until(lambda: stalling.look(program.pid).sleeps)
        assert looks(program, LOOKS + 2) == [False] * LOOKS + [True, True]

    @pytest.mark.parametrize("program", [WORKS], indirect=True, ids=["works"])
    def test_what_works_or_would_like_to_does_not_stand_still(self, program):
        assert looks(program, LOOKS + 2) == [False] * (LOOKS + 2)

    @pytest.mark.parametrize("program", [SLEEPS], indirect=True, ids=["sleeps"])
    def test_nor_does_what_somebody_has_stopped_to_look_at_it(self, program):
        program.send_signal(signal.SIGSTOP)
        wait_until(lambda: not stalling.look(program.pid).sleeps)
        assert looks(program, LOOKS + 2) == [False] * (LOOKS + 2)

    @pytest.mark.parametrize("program", [SLEEPS], indirect=True, ids=["sleeps"])
    def test_nor_what_has_ended(self, program):
        vigil = stalling.Vigil(program.pid, look_seconds=0, looks=1)
        program.kill()
        program.wait()
        assert session_of(program.pid) == {}
        assert [vigil.stands_still() for _ in range(3)] == [False] * 3

    def test_one_that_looked_once_in_five_minutes_has_not_looked_often(self, monkeypatch):
        """A parent that was held up for long, by a database or a debugger."""
        asleep = stalling.Seen(frozenset({1}), 0.0, sleeps=True)
        now = [0.0]
        monkeypatch.setattr(stalling, "look", lambda _group: asleep)
        monkeypatch.setattr(stalling, "time", SimpleNamespace(monotonic=lambda: now[0]))
        vigil = stalling.Vigil(1)
        found = []
        for seconds in (300, 300, 300, *[stalling.LOOK_SECONDS] * 4):
            now[0] += seconds
            found.append(vigil.stands_still())
        assert found == [False] * 6 + [True]

    @pytest.mark.parametrize(("used", "stands_still"), [(0.049, True), (0.05, False)])
    def test_timers_that_find_nothing_are_no_work(self, used, stands_still, monkeypatch):
        seen = [stalling.Seen(frozenset({1}), at * used, sleeps=True) for at in range(2)]
        monkeypatch.setattr(stalling, "look", lambda _group: seen.pop(0))
        vigil = stalling.Vigil(1, look_seconds=0, looks=1)
        assert [vigil.stands_still() for _ in range(2)] == [False, stands_still]

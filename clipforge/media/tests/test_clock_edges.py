"""When an operation has taken too long: before, on and after the edge."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from clipforge.media import ErrorCode, MediaError, sandbox, stalling
from clipforge.media.__main__ import PROGRESS_SECONDS, Events


@pytest.mark.parametrize(("seconds", "is_over"), [(9.999, False), (10.0, True), (10.001, True)])
def test_an_operation_is_given_up_at_its_deadline(
    seconds: float, is_over: bool, monkeypatch: pytest.MonkeyPatch
):
    now = [1000.0]
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: now[0]))
    deadline = sandbox.Deadline(10, None)
    now[0] += seconds
    ends = pytest.raises(MediaError) if is_over else nullcontext()
    with ends as raised:
        deadline.check()
    assert raised is None or raised.value.code is ErrorCode.TIMED_OUT


@pytest.mark.parametrize(("share", "asked"), [(0.999, 1), (1.0, 2), (1.001, 2)])
def test_whether_to_stop_is_asked_once_in_a_while(
    share: float, asked: int, monkeypatch: pytest.MonkeyPatch
):
    now, count = [1000.0], [0]

    def should_stop() -> bool:
        count[0] += 1
        return False

    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: now[0]))
    deadline = sandbox.Deadline(10, should_stop)
    deadline.check()
    now[0] += share * sandbox.POLL_SECONDS
    deadline.check()
    assert count[0] == asked


@pytest.mark.parametrize(("share", "events"), [(0.999, 1), (1.0, 2), (1.001, 2)])
def test_progress_is_told_once_in_a_while(
    share: float, events: int, monkeypatch: pytest.MonkeyPatch
):
    now = [1000.0]
    written: list[bytes] = []
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("clipforge.media.__main__.time", clock)
    told = Events(0)
    monkeypatch.setattr(told, "write", written.append)
    told.progress("decoding", 0.1)
    now[0] += share * PROGRESS_SECONDS
    told.progress("decoding", 0.2)
    assert len(written) == events


@pytest.mark.parametrize(("seconds", "looks"), [(4.999, 0), (5.0, 1), (5.001, 1)])
def test_whether_a_child_stands_still_is_looked_at_once_in_a_while(
    seconds: float, looks: int, monkeypatch: pytest.MonkeyPatch
):
    now, count = [1000.0], [0]

    def look(_group: int) -> stalling.Seen:
        count[0] += 1
        return stalling.Seen(frozenset({1}), 0.0, sleeps=True)

    monkeypatch.setattr(stalling, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(stalling, "look", look)
    vigil = stalling.Vigil(1)
    now[0] += seconds
    assert not vigil.stands_still()
    assert count[0] == looks

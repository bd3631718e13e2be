"""The child process of a video job, stopped in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clipforge.jobs.heartbeat import Heartbeat
from clipforge.media.tests.samples import media_child


def on_first_sign_of_life(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[int]:
    """Call `act` once the child works. Returns a list that gets the child's process id.

    The child stands still until the worker was asked whether it must stop, which is then looked up:
    however fast the child is, it is not done before.
    """
    children: list[int] = []
    note, must_stop = Heartbeat.note, Heartbeat.must_stop

    def noted(heartbeat: Heartbeat, stage: str, progress: float) -> None:
        note(heartbeat, stage, progress)
        if not children:
            children.append(media_child())
            os.killpg(children[0], signal.SIGSTOP)
            act()
            heartbeat._beaten_at -= 3600  # so that it looks now, not in a third of the lease

    def asked(heartbeat: Heartbeat) -> bool:
        stops = must_stop(heartbeat)
        if children and not stops:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(children[0], signal.SIGCONT)
        return stops

    monkeypatch.setattr(Heartbeat, "note", noted)
    monkeypatch.setattr(Heartbeat, "must_stop", asked)
    return children


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()

"""How long a client may keep a thread waiting for what it sends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from clipforge.common import slow_clients
from clipforge.common.errors import ClientTooSlow
from clipforge.common.slow_clients import MINIMUM_RATE, SEND_SECONDS, SlowClientSocket


class Clock:
    """Each wait takes as long as it is told: the clock is read before and after."""

    def __init__(self) -> None:
        self.now, self.takes, self._waiting = 0.0, 0.0, False

    def monotonic(self) -> float:
        if self._waiting:
            self.now += self.takes
        self._waiting = not self._waiting
        return self.now


class Watched(SlowClientSocket):
    def settimeout(self, value: float | None) -> None:
        super().settimeout(value)
        self.__dict__.setdefault("timeouts", []).append(value)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(slow_clients, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(slow_clients, "patience", 10.0)
    return clock


@pytest.fixture
def pair(clock) -> Iterator[tuple[socket.socket, Watched]]:
    """The client, and the server's side of it, as a thread has it."""
    client, accepted = socket.socketpair()
    with client, Watched(accepted) as served:
        served.setblocking(True)
        yield client, served


def test_ten_seconds_of_waiting_are_all_that_a_byte_at_a_time_gets(pair, clock):
    client, served = pair
    client.sendall(b"abcd")
    clock.takes = 4
    assert [served.recv(1) for _ in range(3)] == [b"a", b"b", b"c"]
    assert clock.now == 12
    with pytest.raises(ClientTooSlow):
        served.recv(1)
    assert clock.now == 12  # it did not even look
    waited = [round(each, 3) for each in served.timeouts if each != SEND_SECONDS]
    assert waited == [10, 6, 2]


def test_a_client_that_sends_fast_enough_may_send_for_ever(pair, clock):
    client, served = pair
    clock.takes = 1
    for _ in range(100):
        client.sendall(bytes(MINIMUM_RATE))
        assert len(served.recv(MINIMUM_RATE)) == MINIMUM_RATE
    assert clock.now == 100


def test_silence_uses_up_the_budget_and_leaves_the_time_to_send_as_it_was(pair, monkeypatch):
    client, served = pair
    monkeypatch.setattr(slow_clients, "patience", 0.01)
    served.setblocking(False)
    served.setblocking(True)
    with pytest.raises(ClientTooSlow):
        served.recv(1)
    client.sendall(b"too late")
    with pytest.raises(ClientTooSlow):
        served.recv(1)
    assert served.gettimeout() == SEND_SECONDS


def test_the_next_request_of_a_connection_has_a_budget_of_its_own(pair, clock):
    client, served = pair
    client.sendall(b"abc")
    clock.takes = 9
    assert served.recv(1) == b"a"
    served.setblocking(False)
    assert served.recv(1) == b"b"
    assert clock.now == 9  # what does not block costs nothing
    served.setblocking(True)
    served.recv(1)
    assert [each for each in served.timeouts if each != SEND_SECONDS] == [10, 10]

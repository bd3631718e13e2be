"""A slow endpoint delays nobody else, and an organization that is slow does not either."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from clipforge.common.outbound import Outbound
from clipforge.devtools.testing.factories import make_endpoint, make_organization
from clipforge.devtools.testing.receivers import Receiver
from clipforge.events import sending, services
from clipforge.events.models import Delivery
from clipforge.events.tests.makers import happen
from clipforge.jobs import worker
from clipforge.jobs.registry import OUTBOUND

pytestmark = pytest.mark.django_db(transaction=True)

ORGANIZATIONS = 10


def work() -> None:
    """A worker, until nothing is left that is due."""

    async def run() -> None:
        app = worker._worker_app()
        async with app.open_async():
            await app.run_worker_async(
                queues=[OUTBOUND],
                concurrency=worker.OUTBOUND_AT_ONCE,
                wait=False,
                install_signal_handlers=False,
            )

    async_to_sync(run)()


def test_of_a_hundred_endpoints_one_hangs_and_the_others_are_told_meanwhile(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    """It has the oldest events, and more of them than anybody; and it hangs until all others were told."""
    monkeypatch.setattr(sending, "CLIENT", Outbound(seconds=120))
    organizations = [make_organization() for _ in range(ORGANIZATIONS)]
    hanging, *others = [
        make_endpoint(org, receiver.url(f"/{number}/{each}"))
        for number, org in enumerate(organizations)
        for each in range(services.MAX_ENDPOINTS)
    ]
    assert len(others) == 99
    over = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        over.wait(120)
        handler.close_connection = True

    receiver.replies["/0/0"] = hang
    for _ in range(3):
        for org in organizations:
            happen(org)
    told: list[Any] = []

    def watch() -> None:
        with receiver.arrived:
            receiver.arrived.wait_for(
                lambda: len([each for each in receiver.received if each.path != "/0/0"]) == 297, 100
            )
        told.extend(receiver.received)
        over.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    watcher.join()
    # One round of it was under way all the time, and nothing else of it.
    assert len([each for each in told if each.path == "/0/0"]) == 3
    assert len(told) == 300
    of_others = Delivery.objects.exclude(endpoint=hanging)
    assert list(of_others.values_list("status", "tries").distinct()) == [("DELIVERED", 1)]
    assert of_others.count() == 297

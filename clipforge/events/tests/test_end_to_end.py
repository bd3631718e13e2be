"""Webhooks through real processes: the API asks, a worker sends, a customer's server receives."""

from __future__ import annotations

import json

import pytest
from standardwebhooks import Webhook

from clipforge.devtools.testing.receivers import Receiver
from clipforge.devtools.testing.service import eventually, running_service

pytestmark = pytest.mark.slow


def test_an_endpoint_that_is_made_over_http_is_told_by_a_worker(receiver: Receiver):
    with running_service(OUTBOUND_LOOPBACK="true") as service:
        http = service.customer()._http
        made = http.post("webhooks/endpoints", json={"url": receiver.url("/hook")})
        assert made.status_code == 201
        endpoint = made.json()
        for _ in range(3):
            assert http.post(f"webhooks/endpoints/{endpoint['id']}/test").status_code == 201
        service.start_worker()
        got = receiver.wait_for(3, "/hook", seconds=120)
        told = [Webhook(endpoint["secret"]).verify(each.body, each.headers) for each in got]
        assert [each["type"] for each in told] == ["endpoint.test"] * 3
        assert [each["sequence"] for each in told] == [1, 2, 3]
        assert json.loads(got[0].body)["data"]["url"] == receiver.url("/hook")

        def states() -> list[str]:
            log = http.get(f"webhooks/endpoints/{endpoint['id']}/deliveries").json()["results"]
            return [each["status"] for each in log]

        eventually("all is recorded", lambda: states() == ["DELIVERED"] * 3)

"""The locustfile: front ends of every tier, and the shape of the load."""

from __future__ import annotations

import json
import logging
import os
import random
import time
import uuid
from pathlib import Path
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.exception import StopUser

from locustfiles import accounts
from locustfiles.accounts import PACES, Account
from locustfiles.recording import THROTTLED, Recorder, Stage
from locustfiles.thresholds import Thresholds, breaches, fault_of

ACCOUNTS = accounts.read(Path(os.environ["LOAD_KEYS"]))
RECORDER = Recorder(Stage.parse(os.environ.get("LOAD_STAGES", "50:60,100:60,200:60")))
# Requests a second of one front end of the crowd.
CROWD_PER_SECOND = 1.0
# Between samples of the rate that the front ends plan. Seconds.
SAMPLE_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Shape(LoadTestShape):
    """The stages, one after the other."""

    def tick(self) -> tuple[int, float] | None:
        stage = RECORDER.at(self.get_run_time())
        # The users of a stage all start within a second.
        return None if stage is None else (stage.users, float(stage.users))


class FrontEnd(FastHttpUser):
    """The front end of a customer: mostly reads, now and then it starts an export."""

    abstract = True
    tier: ClassVar[str]
    per_second: ClassVar[float]
    # No answer after this many seconds is a failure.
    network_timeout = connection_timeout = 10.0

    def on_start(self) -> None:
        self.account = self.seat()
        self.project: str | None = None
        self.export: str | None = None
        # Front ends that start together do not send their requests together.
        gevent.sleep(random.uniform(0, 1 / self.per_second))  # noqa: S311 - no secret
        self.due = time.perf_counter()
        RECORDER.per_second += self.per_second

    def on_stop(self) -> None:
        RECORDER.per_second -= self.per_second
        self.account.leave(self.per_second)

    def wait_time(self) -> float:
        """Seconds until the next request, for a rate of `per_second`, spread at random.

        locust's constant_throughput counts from the start of the user, which is the same for all of
        a stage: they would send their requests together.
        """
        now = time.perf_counter()
        pause = random.uniform(0.5, 1.5) / self.per_second  # noqa: S311 - no secret
        self.due = max(self.due + pause, now)
        return self.due - now

    def seat(self) -> Account:
        return ACCOUNTS.seat(self.tier, self.per_second)

    @task(30)
    def poll_project(self) -> None:
        if self.project is None:
            self.list_projects()
        else:
            self.ask("GET", f"projects/{self.project}", "GET /projects/{id}")

    @task(15)
    def list_moments(self) -> None:
        if self.project is None:
            self.list_projects()
            return
        name = "GET /projects/{id}/moments"
        if page := self.ask("GET", f"projects/{self.project}/moments", name):
            self.account.moments = [moment["id"] for moment in page["results"]]

    @task(25)
    def get_balance(self) -> None:
        self.ask("GET", "credits/balance", "GET /credits/balance")

    @task(12)
    def list_projects(self) -> None:
        page = self.ask("GET", "projects?status=READY&page_size=20", "GET /projects")
        if page and page["results"]:
            self.project = random.choice(page["results"])["id"]  # noqa: S311 - no secret

    @task(8)
    def list_exports(self) -> None:
        self.ask("GET", "exports?page_size=20", "GET /exports")

    @task(6)
    def get_pricing(self) -> None:
        if os.environ.get("LOAD_PRICING", "yes") == "yes":
            self.ask("GET", "pricing", "GET /pricing")
        else:
            self.get_balance()

    @task(4)
    def export_a_moment(self) -> None:
        """Start an export, and cancel it the next time: no worker renders during the load test."""
        if self.export is not None:
            self.ask("POST", f"exports/{self.export}/cancel", "POST /exports/{id}/cancel")
            self.export = None
        elif not self.account.moments:
            self.list_moments()
        else:
            moment = random.choice(self.account.moments)  # noqa: S311 - no secret
            if started := self.ask("POST", "exports", "POST /exports", {"moment": moment}):
                self.export = started["id"]

    def ask(
        self, method: str, path: str, name: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """The answer; None for one that was throttled or failed, which is recorded."""
        headers = {"Authorization": f"Bearer {self.account.key}"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        with self.client.request(
            method, f"/api/v1/{path}", name=name, headers=headers, json=body, catch_response=True
        ) as response:
            fault = self.fault_of(response, may_have_ended=path.endswith("/cancel"))
            if response.status_code == 429:
                response.request_meta["name"] += THROTTLED
            if fault is None:
                response.success()
            else:
                response.failure(fault)
            return response.json() if fault is None and response.status_code < 300 else None

    def fault_of(self, response: Any, *, may_have_ended: bool) -> str | None:
        if not response.status_code:
            return f"no answer: {response.error}"
        return fault_of(
            response.status_code,
            response.headers.get("Retry-After"),
            code=code_of(response),
            may_be_throttled=self.account.is_crowded,
            may_have_ended=may_have_ended,
        )


def code_of(response: Any) -> str:
    """The code of a problem document; empty for any other answer."""
    if response.headers.get("Content-Type") != "application/problem+json":
        return ""
    return str(response.json()["code"])


def front_end_of(tier: str) -> type[FrontEnd]:
    pace = PACES[tier]
    return type(
        f"{tier.capitalize()}FrontEnd",
        (FrontEnd,),
        {
            "tier": tier,
            "per_second": pace.per_second,
            "weight": pace.weight,
        },
    )


for _tier in ACCOUNTS.tiers:
    globals()[f"{_tier.capitalize()}FrontEnd"] = front_end_of(_tier)


class Crowd(FrontEnd):
    """Two front ends of one FREE organization that has outgrown its tier.

    A 429 is expected here.
    """

    fixed_count = 2
    per_second = CROWD_PER_SECOND

    def context(self) -> dict[str, Any]:
        return {"of_crowd": True}

    def seat(self) -> Account:
        if ACCOUNTS.crowded is None:
            raise StopUser
        ACCOUNTS.crowded.enter(self.per_second)
        return ACCOUNTS.crowded


@events.request.add_listener
def note(
    name: str,
    response_time: float,
    exception: Exception | None,
    context: dict[str, Any],
    **_: Any,
) -> None:
    failure = str(exception) if exception else None
    RECORDER.current.add(name, response_time, failure, of_crowd="of_crowd" in context)


@events.init.add_listener
def plan(**_: Any) -> None:
    def sample() -> None:
        while True:
            gevent.sleep(SAMPLE_SECONDS)
            RECORDER.pass_time(SAMPLE_SECONDS)

    gevent.spawn(sample)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    result = RECORDER.summary()
    result["breaches"] = breaches(result, Thresholds())
    if path := os.environ.get("LOAD_RESULT"):
        Path(path).write_text(json.dumps(result))
    for line in result["breaches"]:
        logger.error(line)
    environment.process_exit_code = 1 if result["breaches"] else 0

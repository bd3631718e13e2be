"""Limits, caches and faults of Redis, through a gunicorn of four processes."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any, NamedTuple, TypeVar

import httpx
import pytest
from django_ratelimit.core import _get_window

from clipforge.common.cache.redis import ANSWER_SECONDS, BYPASS_SECONDS, COOL_DOWN_SECONDS
from clipforge.common.cache.versioned_cache import BORN_KEY
from clipforge.devtools.testing import fault_injection
from clipforge.devtools.testing.fault_injection import Injection
from clipforge.devtools.testing.redis_server import RedisServer, redis_server
from clipforge.devtools.testing.service import TLS, Service, eventually, limited_service

pytestmark = pytest.mark.slow

T = TypeVar("T")

PROCESSES, THREADS = 4, 4
# A minute, of an address. More than any test here asks `everywhere` with a key that is no good.
GUESSES = 150
# For an answer, on however busy a machine. Seconds.
PATIENCE = 120
PRICING = "/api/v1/pricing"
ME, BALANCE = "/api/v1/me", "/api/v1/credits/balance"
LIVE = "/health/live"

PREPARE = """
import json, uuid
from django.utils import timezone
from clipforge.orgs.models import APIKey
from clipforge.devtools.testing.factories import make_api_key, make_organization, make_project
made = {{}}
for tier in {tiers!r}:
    org = make_organization(name=uuid.uuid4().hex, tier=tier, credits_=10)
    made[tier] = {{"org": org.slug, "key": make_api_key(org).secret}}
    if {projects}:
        made[tier]["project"] = str(make_project(org).pk)
APIKey.objects.update(last_used_at=timezone.now())
print(json.dumps(made))
"""


class Limited(NamedTuple):
    service: Service
    redis: RedisServer
    injection: Injection = fault_injection.none

    def manage(self, *arguments: str) -> str:
        return self.service.manage(*arguments, injection=self.injection)

    def customers(self, *tiers: str, projects: bool = False) -> dict[str, dict[str, str]]:
        """A new organization with 10 credits and a key of each tier."""
        code = PREPARE.format(tiers=tiers, projects=projects)
        printed = self.manage("shell", "-v", "0", "-c", code)
        made: dict[str, dict[str, str]] = json.loads(printed.splitlines()[-1])
        return made

    def customer(self, tier: str = "FREE") -> tuple[str, httpx.Client]:
        made = self.customers(tier)[tier]
        return made["org"], self.client(made["key"])

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        client = httpx.Client(base_url=self.service.url, headers=headers, timeout=PATIENCE)
        self.service.clients.append(client)  # type: ignore[arg-type] # all it asks for is close()
        return client

    def logged(self, since: int = 0) -> list[dict[str, Any]]:
        """The lines of our own log from that place on; gunicorn's are no JSON, nor is one that is
        being written."""
        with self.service.log.open("rb") as log:
            log.seek(since)
            return [json.loads(line) for line in log if line[:1] == b"{" and line[-1:] == b"\n"]

    def end_of_log(self) -> int:
        return self.service.log.stat().st_size


@pytest.fixture(scope="module")
def mortal() -> Iterator[Limited]:
    """Four processes of web, and a Redis that may be killed."""
    with (
        redis_server() as redis,
        limited_service(
            REDIS_URL=redis.url,
            WEB_PROCESSES=str(PROCESSES),
            WEB_THREADS=str(THREADS),
            LOG_FORMAT="json",
            ANONYMOUS_REQUESTS_PER_MINUTE=str(GUESSES),
        ) as service,
    ):
        made = Limited(service, redis)
        everywhere(made, made.client("nobody"), LIVE)  # some processes are up later than the first
        yield made


@pytest.fixture(scope="module")
def limited(mortal: Limited) -> Iterator[Limited]:
    """Four others on the same data, which no busy machine keeps from counting together."""
    service = mortal.service.beside()
    try:
        service.start_web(fault_injection.patient)
        made = Limited(service, mortal.redis, fault_injection.patient)
        everywhere(made, made.client("nobody"), LIVE)
        yield made
    finally:
        service.stop()


@pytest.fixture(autouse=True)
def nothing_counted(mortal: Limited) -> None:
    """All tests come from one address, and some are refused a lot."""
    redis = mortal.redis.patient_client()
    redis.flushdb()
    redis.set(BORN_KEY, 0)  # long ago: it may store at once


def everywhere(limited: Limited, client: httpx.Client, path: str = ME) -> list[httpx.Response]:
    """The answers of all processes: connections of their own, many at once, until each had some."""
    since = limited.end_of_log()
    answers: list[httpx.Response] = []

    def each_had_some() -> bool:
        start = Barrier(24)

        def one(_: int) -> httpx.Response:
            start.wait(PATIENCE)
            url = client.base_url.join(path)
            return httpx.get(url, headers=client.headers, timeout=PATIENCE, verify=TLS)

        with ThreadPoolExecutor(24) as pool:
            answers.extend(pool.map(one, range(24)))
        accesses = [line for line in limited.logged(since) if line["logger"] == "clipforge.access"]
        return len({line["pid"] for line in accesses}) == PROCESSES

    eventually("each process answers a request", each_had_some)
    return answers


@pytest.mark.parametrize(
    ("tier", "limit"),
    [("FREE", 50), ("STARTER", 100), ("PRO", 200), ("BUSINESS", 500), ("ENTERPRISE", 1000)],
)
def test_of_five_times_the_limit_at_once_exactly_the_limit_passes(
    limited: Limited, tier: str, limit: int
):
    asked = ask_at_once(limited.client(limited.customers(tier)[tier]["key"]), 5 * limit)
    assert_exact(asked, limit)
    for _, _, answer in asked:
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 60


class Asked(NamedTuple):
    """It was decided somewhere between the two. Seconds."""

    sent: float
    answered: float
    answer: httpx.Response


def ask_at_once(client: httpx.Client, count: int) -> list[Asked]:
    """By sixteen, a connection each."""

    def some(_: int) -> list[Asked]:
        with httpx.Client(
            base_url=client.base_url, headers=client.headers, timeout=PATIENCE
        ) as own:
            return [ask(own) for _ in range(count // 16 + 1)]

    with ThreadPoolExecutor(16) as pool:
        return [each for several in pool.map(some, range(16)) for each in several]


def ask(client: httpx.Client) -> Asked:
    sent = time.monotonic()
    answer = client.get(ME)
    return Asked(sent, time.monotonic(), answer)


def assert_exact(asked: list[Asked], limit: int) -> None:
    """No minute let more than the limit in, and none that had room refused: however long it took.

    Where all was asked within a minute, exactly the limit passed.
    """
    statuses = Counter(each.answer.status_code for each in asked)
    assert set(statuses) == {200, 429}
    passed = sorted(each[:2] for each in asked if each.answer.status_code == 200)
    for number, (begins, _) in enumerate(passed):
        assert sum(answered < begins + 60 for _, answered in passed[number:]) <= limit
    for each in asked:
        if each.answer.status_code == 429:
            may_count = [
                sent
                for sent, answered in passed
                if sent < each.answered and answered > each.sent - 60
            ]
            assert len(may_count) >= limit


def test_a_refusal_says_which_limit_and_when_and_every_answer_what_is_left(limited: Limited):
    _, client = limited.customer("FREE")
    first = client.get(ME)
    assert first.headers["RateLimit-Policy"] == '"api";q=50;w=60'
    assert first.headers["RateLimit"] == '"api";r=49;t=60'
    for _ in range(49):
        client.get(ME)
    refused = client.get(BALANCE)
    body = refused.json()
    assert (refused.status_code, body["code"], body["limit"]) == (429, "rate_limited", "api")
    assert (body["quota"], body["window"]) == (50, 60)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["RateLimit"].startswith('"api";r=0;t=')
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_a_new_tier_an_override_and_a_new_figure_hold_in_every_process_from_the_next_request_on(
    limited: Limited,
):
    org, client = limited.customer("FREE")
    for _ in range(50):
        client.get(ME)
    assert {answer.status_code for answer in everywhere(limited, client)} == {429}
    limited.manage("set_tier", org, "PRO", "--reason", "was paid for")
    assert {answer.json()["organization"]["tier"] for answer in everywhere(limited, client)} == {
        "PRO"
    }
    change = "from clipforge.orgs.models import Organization as O; O.objects.filter(slug={!r}).update({})"
    limited.manage("shell", "-c", change.format(org, "rate_limit_override=10"))
    assert {answer.status_code for answer in everywhere(limited, client)} == {429}
    limited.manage("shell", "-c", change.format(org, "rate_limit_override=500"))
    assert {answer.status_code for answer in everywhere(limited, client)} == {200}
    shown = json.loads(limited.manage("throttle", "show", org, "--json"))
    assert shown["scopes"]["api"]["limit"] == 500
    limited.manage("throttle", "reset", org)
    assert client.get(ME).headers["RateLimit"].startswith('"api";r=499')


def test_a_revoked_key_and_a_suspended_organization_are_refused_in_every_process_at_once(
    limited: Limited,
):
    made = limited.customers("PRO", "BUSINESS")
    revoked, suspended = (limited.client(made[tier]["key"]) for tier in ("PRO", "BUSINESS"))
    for client in (revoked, suspended):
        assert {answer.status_code for answer in everywhere(limited, client)} == {200}
    limited.manage("revoke_api_key", made["PRO"]["key"].split("_")[2])
    assert {answer.status_code for answer in everywhere(limited, revoked)} == {401}
    limited.manage(
        "shell",
        "-c",
        "from clipforge.orgs.models import Organization as O;"
        f"O.objects.filter(slug={made['BUSINESS']['org']!r}).update(is_active=False)",
    )
    assert {answer.json()["code"] for answer in everywhere(limited, suspended)} == {
        "organization_inactive"
    }


def test_a_transaction_of_credits_shows_in_every_process_on_the_next_request(limited: Limited):
    org, client = limited.customer("ENTERPRISE")
    for amount in (1, 2):
        limited.manage("grant_credits", org, "1", "--reason", "for a test")
        balances = {answer.json()["available"] for answer in everywhere(limited, client, BALANCE)}
        assert balances == {10 + amount}


def test_a_change_of_prices_shows_in_every_process_on_the_next_request(limited: Limited):
    _, client = limited.customer("ENTERPRISE")
    code = "from billing.models import Price; from billing import services;"
    code += "from clipforge.audit.actor import Actor;"
    code += "by = {'reason': 'for a test', 'actor': Actor.of_system('test')};"
    code += "prices = Price.objects.filter(is_active=True);"

    def shown() -> set[tuple[int | None, ...]]:
        """The prices of two packs as the API shows them; None for one that is not sold."""
        lists = [answer.json()["packs"] for answer in everywhere(limited, client, PRICING)]
        costs = [{pack["code"]: pack["amount"] for pack in packs} for packs in lists]
        return {(cost.get("pack-100"), cost.get("pack-500")) for cost in costs}

    ((before, other),) = shown()
    assert None not in (before, other)
    for change, after in [
        (
            "services.revise_price(price=prices.get(code='pack-100'), amount=1, **by)",
            (1, other),
        ),
        ("services.withdraw_price(price=prices.get(code='pack-100'), **by)", (None, other)),
        ("prices.filter(code='pack-500').delete()", (None, None)),
    ]:
        limited.manage("shell", "-c", code + change)
        assert shown() == {after}


def test_guesses_are_limited_by_address_before_the_database_is_asked(limited: Limited):
    _, good = limited.customer("FREE")
    assert good.get(ME).status_code == 200  # cached from now on
    guess = limited.client("cf_live_" + "x" * 58)

    redis = limited.redis.patient_client()

    def guessed_and_forged() -> tuple[list[int], httpx.Response]:
        for counter in redis.keys("ratelimit:*"):
            redis.delete(counter)
        statuses = [guess.get(ME).status_code for _ in range(GUESSES + 10)]
        return statuses, guess.get(ME, headers={"X-Forwarded-For": "203.0.113.77"})

    statuses, forged = in_one_minute(guessed_and_forged)
    assert statuses == [401] * GUESSES + [429] * 10
    assert (forged.status_code, forged.json()["limit"]) == (429, "anonymous")
    # A client at the same address with a valid key is not limited.
    assert good.get(ME).status_code == 200
    assert (
        httpx.get(f"{limited.service.url}{LIVE}", timeout=PATIENCE, verify=TLS).status_code == 200
    )


def in_one_minute(act: Callable[[], T]) -> T:
    """The result of `act` for a call that ran within one minute of the limit by address."""
    for _ in range(5):
        minute = _get_window("127.0.0.1", 60)
        found = act()
        if _get_window("127.0.0.1", 60) == minute:
            return found
    raise AssertionError("it takes a minute")


# --- Redis that is dead or silent -------------------------------------------------------


def hammer(count: int, *asks: Callable[[str], httpx.Response]) -> Counter[int]:
    """The statuses of so many requests, eight at once, each kind in its turn, which is told a number."""

    def one(number: int) -> int:
        return asks[number % len(asks)](f"{number:04}").status_code

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(one, range(count)))


def most_probes(seconds: float) -> int:
    """How often Redis may have been asked in vain: what was under way, and then one a cool-down."""
    return PROCESSES * (THREADS + 1 + int(seconds / (0.75 * COOL_DOWN_SECONDS)))


def faults(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["logger"] == "clipforge.redis"]


def test_redis_killed_costs_no_request_and_limits_go_on_in_each_process(mortal: Limited):
    _, client = mortal.customer("FREE")
    assert client.get(ME).status_code == 200
    since, killed_at = mortal.end_of_log(), time.monotonic()
    mortal.redis.kill()
    try:
        statuses = hammer(200, lambda _: client.get(BALANCE))
        assert set(statuses) == {200, 429}
        # Each process lets its share through: a quarter of 50, rounded up.
        assert 13 <= statuses[200] <= 4 * 13
        ready = httpx.get(f"{mortal.service.url}/health/ready", timeout=PATIENCE, verify=TLS).json()
        assert (ready["status"], ready["checks"]["cache"]) == ("degraded", "unreachable")
        assert 1 <= len(faults(mortal.logged(since))) <= most_probes(time.monotonic() - killed_at)
    finally:
        restarted = mortal.end_of_log()
        with ThreadPoolExecutor(1) as beside:  # it comes back under load
            hammered = beside.submit(hammer, 400, lambda _: client.get(BALANCE))
            mortal.redis.start()
            assert set(hammered.result()) <= {200, 429}
    _recovered(mortal)
    # No herd: of each thread the one that it admits requests by and one of the pool at the most,
    # another one after a fault, and a few of this test and its command.
    connections = mortal.redis.patient_client().info("stats")["total_connections_received"]
    assert connections <= 2 * PROCESSES * THREADS + len(faults(mortal.logged(restarted))) + 4


def test_no_request_waits_for_a_silent_redis_longer_than_one_timeout_and_a_write_half_as_long_again(
    mortal: Limited,
):
    made = mortal.customers("ENTERPRISE", projects=True)["ENTERPRISE"]
    client = mortal.client(made["key"])
    body = {"project": made["project"], "start": 0, "end": 10}

    def read(name: str) -> httpx.Response:
        return client.get(BALANCE, headers={"X-Request-ID": f"request-read-{name}"})

    def read_without_a_key(name: str) -> httpx.Response:
        headers = {"X-Request-ID": f"request-read-{name}"}
        return httpx.get(
            f"{mortal.service.url}{PRICING}", headers=headers, timeout=PATIENCE, verify=TLS
        )

    def move(name: str) -> httpx.Response:
        headers = {"X-Request-ID": f"request-move-{name}"}
        return client.post("/api/v1/exports", json=body, headers=headers)

    for path in (BALANCE, PRICING):
        assert client.get(path).status_code == 200
    since, frozen_at = mortal.end_of_log(), time.monotonic()
    mortal.redis.freeze()
    try:
        # Fewer without a key than an address may: they are counted in the processes, and so are
        # those of later tests while Redis is slow.
        statuses = hammer(200, read, move, read, move, read, move, read_without_a_key)
        frozen_for = time.monotonic() - frozen_at
    finally:
        mortal.redis.thaw()
    assert set(statuses) <= {200, 201, 402, 429}
    assert statuses[201] == 10  # as many credits as there are, one each
    waits = waits_of_requests(mortal.logged(since))
    # One timeout at the most; and one more for each cool-down that the request itself outlived.
    too_long = {name: wait for name, wait in waits.items() if wait.full > 1 + wait.ms // 750}
    assert too_long == {}
    assert 1 <= sum(wait.full for wait in waits.values()) <= most_probes(frozen_for)
    reads, moves = (
        [wait for name, wait in waits.items() if name.startswith(f"request-{kind}-")]
        for kind in ("read", "move")
    )
    # What moves credits says so all the same, before it commits and after: 50 ms each.
    assert {wait.short for wait in reads} == {0}
    assert {wait.short for wait in moves} == {0, 2}
    _recovered(mortal)


@dataclass
class Waits:
    """How often a request waited for Redis in vain: as long as usual, and in short."""

    full: int = 0
    short: int = 0
    ms: float = 0  # that it took; what comes after its answer is not its own

    def add(self, line: dict[str, Any]) -> None:
        if line["logger"] == "clipforge.access":
            self.ms = line["ms"]
        elif not self.ms:
            self.full += line["patience"] == ANSWER_SECONDS
            self.short += line["patience"] == BYPASS_SECONDS


def waits_of_requests(lines: list[dict[str, Any]]) -> dict[str, Waits]:
    found: defaultdict[str, Waits] = defaultdict(Waits)
    for line in lines:
        name = line.get("request_id", "")
        if name.startswith("request-") and line["logger"] in {
            "clipforge.redis",
            "clipforge.access",
        }:
            found[name].add(line)
    return found


def _recovered(mortal: Limited) -> None:
    """Limits are counted together again, of themselves, once each process has looked anew."""
    _, client = mortal.customer("FREE")

    def all_are_counted() -> bool:
        return all("RateLimit" in answer.headers for answer in everywhere(mortal, client))

    eventually("limits are counted together", all_are_counted)

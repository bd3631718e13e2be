"""The cost of a request, beside that of other servers which do the same.

    python -m clipforge.devtools.benchmarks.request [ROUNDS] [--profile]

Each round asks every case in turn over 16 kept connections, one process a server, and counts the CPU
of all processes of that server. Lists have ten rows, and nothing changes meanwhile. Printed is the
smallest of the rounds: CPU milliseconds a request, and of the peer's requests a CPU second how many
ours are. Where Node is installed the peer is the balance in NestJS, with the same script in Redis, the same headers and the same log line (its packages come
from npm); else it is `bare`, a view that does nothing behind our middleware. `alone` is the same view
behind none. `--profile` shows where the time of the balance goes, in one process.
"""

from __future__ import annotations

import contextlib
import cProfile
import functools
import os
import pstats
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

# Of the peer's requests a CPU second.
GOAL = 0.6
REQUESTS = 1500
ORGANIZATIONS = 20
BALANCE = "/api/v1/credits/balance"
PATHS = {
    "alone": "/alone",
    "bare": "/bare",
    "live": "/health/live",
    "me": "/api/v1/me",
    "pricing": "/api/v1/pricing",
    # Ten rows each.
    "moments": "/api/v1/projects/{project}/moments",
    "exports": "/api/v1/exports",
    # Just before the peer, which has no way to load what has ended after a minute.
    "balance": BALANCE,
}
PEER = Path(__file__).parent / "peer"


def main(rounds: int, *, profile: bool) -> None:
    with measuring.own_servers() as data:
        key = api_keys()[0]
        if profile:
            _profile(key)
            return
        project = _rows(key)
        from clipforge.stack import Stack, web_command

        command = [*web_command()[:-1], "clipforge.devtools.benchmarks.bare:application"]
        one = {"WEB_PROCESSES": "1", "LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
        with (
            Stack(concurrency=0, log=data / "web.log", web=command, environment=one) as stack,
            _peer(data) as peer,
        ):
            cases = {
                name: functools.partial(
                    _cost, stack.port, stack.web_pid, path.format(project=project), key
                )
                for name, path in PATHS.items()
            }
            if peer is not None:
                cases["peer"] = functools.partial(_cost, *peer, BALANCE, key)
            costs = _smallest(cases, rounds)
    _print(costs, rounds)


def _smallest(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, measure in cases.items():
            cost = measure()
            if number:  # the first warms
                found[name].append(cost)
    return {name: min(each) for name, each in found.items()}


def _print(costs: dict[str, float], rounds: int) -> None:
    beside = "peer" if "peer" in costs else "bare"
    for name, cost in costs.items():
        say(
            f"{name:8} {cost:6.3f} ms CPU a request, {costs[beside] / cost:5.2f} of {beside}'s requests, "
            f"{cost / costs['balance']:5.2f} of the balance"
        )
    say(f"goal     {GOAL} of the peer's for balance (smallest of {rounds} rounds of {REQUESTS})")


def _cost(port: int, pid: int, path: str, key: str) -> float:
    from clipforge.devtools.benchmarks import closed_loop
    from clipforge.devtools.loadtest.host import cpu_of_family

    before = cpu_of_family(pid)
    closed_loop.ask(port, path, key, REQUESTS)
    return (cpu_of_family(pid) - before) * 1000 / REQUESTS


@contextlib.contextmanager
def _peer(data: Path) -> Iterator[tuple[int, int] | None]:
    """Port and process of the peer; None where there is no Node, or no npm to fetch its packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        yield None
        return
    from django.conf import settings

    from clipforge.common.cache.backend import default_cache
    from clipforge.devtools.testing.service import eventually
    from clipforge.orgs.windows import ADMIT
    from clipforge.stack import reserved_port

    folder = data / "peer"
    shutil.copytree(PEER, folder)
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([npm, "install", *quiet], cwd=folder, check=True)
    (folder / "admit.lua").write_text(ADMIT.text)
    with reserved_port() as port, (data / "peer.log").open("wb") as log:
        environment = {
            **os.environ,
            "PORT": str(port),
            "REDIS_PATH": default_cache().redis.connection_pool.connection_kwargs["path"],
            "API_KEY_PEPPER": settings.API_KEY_PEPPER,
            "ADMIT_LUA": str(folder / "admit.lua"),
        }
        process = subprocess.Popen(
            [node, "server.js"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            eventually("the peer listens", lambda: b"listening" in (data / "peer.log").read_bytes())
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def api_keys() -> list[str]:
    """Keys of organizations that no limit stops; of seeded ones, if there are."""
    from clipforge.audit.actor import Actor
    from clipforge.orgs import services
    from clipforge.orgs.models import Organization

    actor, found = Actor.of_system("benchmark"), []
    for number in range(ORGANIZATIONS):
        org = Organization.objects.filter(slug=f"load-1-{number}").first()
        org = org or services.create_organization(
            name=f"Benchmark {number}", tier="ENTERPRISE", reason="for a benchmark", actor=actor
        )
        org.rate_limit_override = 1_000_000
        org.save()
        made = services.create_api_key(
            organization=org, name="benchmark", reason="for a benchmark", actor=actor
        )
        found.append(made.secret)
    return found


def _rows(key: str) -> uuid.UUID:
    """A project of the organization of the key, with ten moments and ten exports."""
    from clipforge.devtools.testing.factories import make_export, make_moment, make_project
    from clipforge.orgs.keys import public_id_of
    from clipforge.orgs.models import APIKey

    project = make_project(APIKey.objects.get(prefix=public_id_of(key)).organization)
    for _ in range(10):
        make_export(project, moment=make_moment(project))
    return project.pk


def _profile(key: str) -> None:
    from django.test import Client

    client = Client(headers={"Authorization": f"Bearer {key}", "Host": "localhost"})
    for _ in range(100):
        client.get(BALANCE)
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(2000):
        client.get(BALANCE)
    profile.disable()
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(45)
    pstats.Stats(profile).strip_dirs().sort_stats("cumtime").print_stats(90)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 3, profile="--profile" in sys.argv)

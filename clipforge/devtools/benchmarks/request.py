"""The cost of a request beyond that of Django and gunicorn.

    python -m clipforge.devtools.benchmarks.request [ROUNDS] [--profile]

GET /credits/balance (key recognised, limits counted, balance from the cache) in turn with a view
that does nothing, behind the same middleware and gunicorn, at the same rate; and with the same view
alone, behind no middleware. Prints CPU milliseconds of gunicorn a request and the ratio (bare /
balance: the requests that a CPU second serves; the goal is 0.6). `--profile` shows where the time of the balance goes, in one process.
"""

from __future__ import annotations

import asyncio
import cProfile
import functools
import pstats
import sys

from clipforge.devtools.benchmarks import measuring
from clipforge.devtools.benchmarks.measuring import say

GOAL = 0.6
PER_SECOND, SECONDS = 150, 8
ORGANIZATIONS = 20
BALANCE = "/api/v1/credits/balance"
PATHS = {"alone": "/alone", "bare": "/bare", "balance": BALANCE, "me": "/api/v1/me"}


def main(rounds: int, *, profile: bool) -> None:
    with measuring.own_servers() as data:
        keys = api_keys()
        if profile:
            _profile(keys[0])
            return
        from clipforge.stack import Stack, web_command

        command = [*web_command()[:-1], "clipforge.devtools.benchmarks.bare:application"]
        with Stack(concurrency=0, log=data / "web.log", web=command) as stack:
            cases = {
                name: functools.partial(_cost, stack.url, stack.web_pid, path, keys)
                for name, path in PATHS.items()
            }
            for measure in cases.values():  # warm
                measure()
            costs = measuring.in_turn(cases, rounds)
    for name, cost in costs.items():
        say(
            f"{name:8} {cost:6.2f} ms CPU a request ({costs['bare'] / cost:.2f} of bare's requests)"
        )
    say(f"goal     {GOAL} for balance ({rounds} rounds of {SECONDS} s at {PER_SECOND} a second)")


def _cost(url: str, pid: int, path: str, keys: list[str]) -> float:
    from clipforge.devtools.loadtest.host import cpu_of_family
    from clipforge.devtools.loadtest.open_loop import OpenLoop, gets

    before = cpu_of_family(pid)
    result = asyncio.run(OpenLoop(url, gets(path, keys)).run(PER_SECOND, SECONDS))
    if result.statuses.keys() != {"200"}:
        raise SystemExit(f"{path}: {dict(result.statuses)}")
    return (cpu_of_family(pid) - before) * 1000 / result.statuses["200"]


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

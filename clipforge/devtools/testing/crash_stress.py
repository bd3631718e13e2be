"""Many customers, workers and sweepers on one ledger at once, in processes that die at any statement.

`stress` runs it on the database of a test and returns what is wrong afterwards. Each process is
`python -m clipforge.devtools.testing.crash_stress`, with fault points that end it or break its connections; a dead
one is replaced. What a thread was told was done is written to a journal at once, so that the end
shows whether anything was lost that a caller had been promised.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import django
import psycopg

if __name__ == "__main__":
    django.setup()

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from procrastinate.exceptions import ConnectorException
from psycopg.errors import DeadlockDetected

from clipforge.common.errors import DomainError
from clipforge.common.faultpoints import EXIT_CODE
from clipforge.devtools.testing.factories import TESTER
from clipforge.devtools.testing.faults import environment
from clipforge.devtools.testing.seeded_bugs import sum_then_insert
from clipforge.devtools.testing.state import lapse_lease
from clipforge.jobs import lifecycle, sweeping
from clipforge.jobs.failures import HoldLost
from clipforge.jobs.models import QUEUED
from clipforge.orgs.models import Organization
from credits import services
from credits.invariants import broken_invariants
from credits.ledger import LedgerBroken
from credits.models import CreditHold, CreditTransaction, GrantKind, HoldStatus
from credits.pricing import Charge
from projects.models import Project
from projects.pricing import analysis_charge

ROOT = Path(__file__).resolve().parents[3]

# Keys that all threads share: few, so that most transactions are repetitions of one another.
KEYS = 60
# By Django, and by the queue, which asks in its own way.
BROKEN = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
# Where nothing may hide: what a sweeper logs instead of raising.
NEVER_LOGGED = ("LedgerBroken", "IntegrityError", "DeadlockDetected")


@dataclass
class StressPlan:
    orgs: list[str]
    acts: int  # of each thread
    threads: int
    seed: int
    journal: str
    seed_bug: bool = False


@dataclass
class StressResult:
    """The counts of a stress run, and its faults. `wrong` is empty when there are none."""

    deaths: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return f"{self.deaths} processes died; {done}; wrong: {self.wrong or 'nothing'}"


def stress(
    orgs: list[Organization],
    *,
    acts: int,
    processes: int,
    threads: int,
    seed: int,
    faultpoints: str = "",
    at_first: str = "",
    seed_bug: bool = False,
) -> StressResult:
    """Run the processes, let every lease and hold end, and check the ledger. `threads` are those of each process, `acts` those of each
    thread at least; `at_first` are rules that hold until a process was replaced."""
    with tempfile.TemporaryDirectory(prefix="cf-stress-") as folder:
        plans = [
            StressPlan(
                orgs=[str(org.pk) for org in orgs],
                acts=acts,
                threads=threads,
                seed=seed + number,
                journal=f"{folder}/{number}",
                seed_bug=seed_bug,
            )
            for number in range(processes)
        ]
        result = StressResult()
        _keep_running(plans, f"{at_first};{faultpoints}", faultpoints, result)
        logs = "".join(path.read_text() for path in Path(folder).glob("*.log"))
        result.wrong += [f"the log says {word}" for word in NEVER_LOGGED if word in logs]
        result.wrong += [str(breach) for breach in broken_invariants()]
        _settle(result)
        for plan in plans:
            _compare(_events(plan), result)
    result.wrong += [str(breach) for breach in broken_invariants()]
    result.wrong += _orphans()
    return result


def _keep_running(
    plans: list[StressPlan], at_first: str, faultpoints: str, result: StressResult
) -> None:
    budget = plans[0].acts
    running = [(plan, _start(plan, at_first)) for plan in plans]
    while running:
        plan, process = running.pop(0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        if process.returncode is None:
            running.append((plan, process))
        elif process.returncode == EXIT_CODE:
            result.deaths += 1
            plan.seed += 1000
            plan.acts = budget - len(_events(plan)) // plan.threads
            if plan.acts > 0:
                running.append((plan, _start(plan, faultpoints)))
        elif process.returncode != 0:
            log = Path(f"{plan.journal}.log").read_text()[-2000:]
            result.wrong.append(f"a process ended with {process.returncode}: {log}")


def _events(plan: StressPlan) -> list[str]:
    """The journal of its threads so far, a line an act."""
    journal = Path(plan.journal)
    return journal.read_text().splitlines() if journal.exists() else []


def _start(plan: StressPlan, faultpoints: str) -> subprocess.Popen[bytes]:
    with Path(f"{plan.journal}.log").open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "clipforge.devtools.testing.crash_stress",
                json.dumps(asdict(plan)),
            ],
            cwd=ROOT,
            env={**environment(), "FAULTPOINTS": faultpoints},
            stdout=log,
            stderr=log,
        )


def _settle(result: StressResult) -> None:
    """Sweep undisturbed, with every lease and every hold run out."""
    for item in Project.objects.filter(status=Project.RUNNING):
        lapse_lease(item)
    sweeping.sweep(Project, batch=100_000)
    for item in Project.objects.filter(status=QUEUED):
        try:
            lifecycle.cancel(item, actor="test")
        except LedgerBroken as error:
            result.wrong.append(str(error))
    later = timezone.now() + datetime.timedelta(days=2)
    while services.expire_holds(now=later):
        pass
    while services.expire_grants():
        pass


def _compare(events: list[str], result: StressResult) -> None:
    """Note as wrong each promise in the journal that the tables break, and each unforeseen error."""
    for line in events:
        event = json.loads(line)
        result.counts[event["what"]] += 1
        if "unforeseen" in event:
            result.wrong.append(event["unforeseen"])
        if "transaction" in event and not _kept(CreditTransaction, event["transaction"], event):
            result.wrong.append(f"lost: {line}")
        if "hold" in event and not _kept(CreditHold, event["hold"], event):
            result.wrong.append(f"lost: {line}")


def _kept(model: Any, pk: Any, event: dict[str, Any]) -> bool:
    rows = model.objects.filter(pk=pk, org=event["org"], idempotency_key=event["key"])
    return bool(rows.filter(amount=event["amount"]).exists())


def _orphans() -> list[str]:
    """Holds that are open although everything came to its end."""
    held = CreditHold.objects.filter(status=HoldStatus.HELD)
    return [f"hold {hold.pk} for {hold.reference_type} is open" for hold in held]


# --- inside a process -----------------------------------------------------------------


class StressThread:
    """One thread: customer, worker and sweeper in turn, with a memory of work it once claimed."""

    def __init__(self, plan: StressPlan, orgs: list[Organization], number: int) -> None:
        self.random = random.Random(plan.seed * 1000 + number)  # noqa: S311 - no secret
        self.orgs = orgs
        self.budget = plan.acts
        self.journal = Path(plan.journal).open("a", buffering=1)  # noqa: SIM115 - for life
        self.claimed: list[Project] = []
        self.acts: list[Callable[[Organization], Any]] = [
            *[self.reserve] * 4,
            *[self.capture] * 2,
            *[self.release, self.zombie, self.refund, self.grant, self.adjust],
            *[self.submit, self.work, self.finish, self.cancel, self.sweep],
        ]

    def run(self) -> None:
        for _ in range(self.budget):
            act, org = self.random.choice(self.acts), self.random.choice(self.orgs)
            event: dict[str, Any] = {"what": act.__name__, "org": str(org.pk)}
            try:
                event |= self._made(act(org))
            except DomainError as refusal:
                event["what"] = refusal.error_code
            except HoldLost:
                event["what"] = "hold lost"
            except (OperationalError, InterfaceError, ConnectorException) as error:
                event |= self._broken(error)
            except Exception as error:  # the harness reports it
                event["unforeseen"] = f"{act.__name__}: {error!r}"
            self.journal.write(json.dumps(event) + "\n")

    def _made(self, made: Any) -> dict[str, Any]:
        if isinstance(made, CreditTransaction | CreditHold):
            kind = "hold" if isinstance(made, CreditHold) else "transaction"
            return {kind: str(made.pk), "key": made.idempotency_key, "amount": made.amount}
        return {}

    def _broken(self, error: Exception) -> dict[str, Any]:
        connection.close()
        causes = list(_causes(error))
        broken = any(isinstance(each, BROKEN) for each in causes)
        if not broken or any(isinstance(each, DeadlockDetected) for each in causes):
            return {"unforeseen": repr(causes)}
        return {"what": "connection broken"}

    # --- customers

    def _key(self) -> int:
        return self.random.randrange(KEYS)

    def _hold(self, org: Organization) -> CreditHold | None:
        return CreditHold.objects.filter(org=org, idempotency_key=f"h{self._key()}").first()

    def reserve(self, org: Organization) -> CreditHold:
        number = self._key()
        # Now and then a key is used for something else.
        amount = number % 7 + 1 + (self.random.random() < 0.05)
        return services.reserve(
            org=org,
            charge=Charge(amount, 1, "test", {}),
            reason="r",
            reference_type="test",
            reference_id=str(number),
            idempotency_key=f"h{number}",
            actor="a",
        )

    def capture(self, org: Organization) -> CreditTransaction | None:
        if hold := self._hold(org):
            part = self.random.choice([None, 1, hold.amount])
            return services.capture(hold_id=hold.pk, fence=hold.fence, actor="a", amount=part)
        return None

    def release(self, org: Organization) -> None:
        if hold := self._hold(org):
            services.release(hold_id=hold.pk, fence=hold.fence, actor="a")

    def zombie(self, org: Organization) -> None:
        """Transfer the hold; the old owner's capture must come to nothing."""
        hold = self._hold(org)
        if hold and services.transfer_hold(
            hold_id=hold.pk, from_fence=hold.fence, to_fence=hold.fence + 1
        ):
            assert services.capture(hold_id=hold.pk, fence=hold.fence, actor="zombie") is None

    def refund(self, org: Organization) -> CreditTransaction | None:
        number = self._key()
        spend = CreditTransaction.objects.filter(org=org, type="SPEND").order_by("-pk").first()
        return spend and services.refund(
            transaction=spend,
            amount=1,
            reason="r",
            actor=TESTER,
            audit=False,
            idempotency_key=f"r{number}",
        )

    def grant(self, org: Organization) -> CreditTransaction:
        number = self._key()
        soon = timezone.now() + datetime.timedelta(seconds=0.5 + number % 3)
        return services.grant(
            org=org,
            amount=number % 5 + 1,
            kind=self.random.choice(GrantKind.values),
            reason="r",
            actor=TESTER,
            audit=False,
            idempotency_key=f"g{number}:{int(time.time()) // 5}",
            expires_at=soon if number % 2 else None,
        )

    def adjust(self, org: Organization) -> CreditTransaction:
        number = self._key()
        amount = 1 if number % 2 else -1
        return services.adjust(
            org=org,
            amount=amount,
            reason="r",
            actor=TESTER,
            audit=False,
            idempotency_key=f"a{number}",
        )

    # --- work and its workers

    def submit(self, org: Organization) -> None:
        item = Project(
            org=org, title="Stress", source_name="f", size=1, duration=60, width=16, height=16
        )
        item.has_audio = False
        charge = analysis_charge(60)
        lifecycle.submit(item, charge=charge, reason="r", actor="a")

    def work(self, org: Organization) -> None:
        waiting = Project.objects.filter(org=org, status=QUEUED).order_by("?").first()
        if waiting and (item := lifecycle.claim(Project, waiting.pk, fence=waiting.fence)):
            self.claimed.append(item)

    def finish(self, _: Organization) -> None:
        """Of work claimed long ago too, and the same work twice."""
        if not self.claimed:
            return
        item = self.random.choice(self.claimed[-20:])
        match self.random.randrange(4):
            case 0:
                lifecycle.succeed(item, status="READY", actor="w")
            case 1:
                lifecycle.succeed(item, status="EMPTY", actor="w", charged=False)
            case 2:
                lifecycle.fail(item, error=("timed_out", "It took long."), actor="w")
            case 3:
                lifecycle.hand_back(item)

    def cancel(self, org: Organization) -> None:
        item = Project.objects.filter(org=org).order_by("-created_at").first()
        if item and self.random.random() < 0.5:
            lifecycle.cancel(item, actor="a")
        elif item:
            lifecycle.retry(item, charge=analysis_charge(60), reason="r", actor="a")

    def sweep(self, org: Organization) -> None:
        hold = self._hold(org)
        if hold and self.random.random() < 0.3:
            ended = timezone.now() - datetime.timedelta(seconds=1)
            CreditHold.objects.filter(pk=hold.pk, status=HoldStatus.HELD).update(expires_at=ended)
        running = Project.objects.filter(org=org, status=Project.RUNNING).first()
        if running:
            past = timezone.now() - datetime.timedelta(seconds=1)
            Project.objects.filter(pk=running.pk, status=Project.RUNNING).update(
                lease_expires_at=past
            )
        services.expire_holds()
        services.expire_grants(org=org)
        sweeping.sweep(Project)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came from, and so on: the queue has an error of its own for what the database says."""
    while error is not None:
        yield error
        error = error.__cause__


@contextlib.contextmanager
def _seeded_bug(plan: StressPlan) -> Iterator[None]:
    with sum_then_insert() if plan.seed_bug else contextlib.nullcontext():
        yield


def _organizations(plan: StressPlan) -> list[Organization]:
    while True:
        try:
            return list(Organization.objects.filter(pk__in=plan.orgs).order_by("pk"))
        except (OperationalError, InterfaceError):  # a rule may come this early
            connection.close()


def main() -> None:
    plan = StressPlan(**json.loads(sys.argv[1]))
    with _seeded_bug(plan):
        orgs = _organizations(plan)
        threads = [
            threading.Thread(target=StressThread(plan, orgs, n).run) for n in range(plan.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()

from __future__ import annotations

from typing import Any

from clipforge.common.commands import OperatorCommand
from clipforge.upgrading import readiness, schema
from clipforge.upgrading.readiness import Finding, Severity
from clipforge.upgrading.statements import Waits


class Command(OperatorCommand):
    help = (
        "Say what an upgrade to this release would do, and change nothing: its migrations, what each locks "
        "and for about how long, whether the release before works on the new schema, settings, servers, "
        "disk, and who of other releases is at work. Exits 1 where something has to be done first."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        ahead = schema.ahead()
        found = readiness.findings(pending=bool(ahead.migrations))
        clients = readiness.clients()
        others = readiness.others(clients)
        found += [Finding(Severity.LOOK, "old and new code", each) for each in ahead.breaking]
        if ahead.breaking and others:
            says = "stop web and workers of the release before; it does not work on the new schema"
            found.append(readiness.stop("upgrade", says))
        self._print(ahead, found, clients)
        first = [each for each in found if each.severity is Severity.STOP]
        if first:
            self.failure = (
                f"{len(first)} to be done first: {'; '.join(each.says for each in first)}"
            )
        return {
            "ok": not first,
            "migrations": ahead.migrations,
            "steps": [{**step._asdict(), "effect": step.effect._asdict()} for step in ahead.steps],
            "works_with_the_release_before": not ahead.breaking,
            "findings": [each._asdict() for each in found],
            "versions": readiness.versions(),
            "clients": [each._asdict() for each in clients],
        }

    def _print(
        self, ahead: schema.Ahead, found: list[Finding], clients: list[readiness.Client]
    ) -> None:
        self.say(", ".join(f"{name} {value}" for name, value in readiness.versions().items()))
        of_releases = ", ".join(f"{each.release} ({each.connections})" for each in clients)
        self.say(f"Connected now, by release: {of_releases or 'nobody'}.")
        self.say()
        self._print_migrations(ahead)
        self.say()
        for finding in found:
            self.say(f"{finding.severity.value.upper():5} {finding.about}: {finding.says}")
        self.say("Nothing was changed.")

    def _print_migrations(self, ahead: schema.Ahead) -> None:
        count = len(ahead.migrations)
        if not count:
            self.say("Migrations: none.")
            return
        self.say(f"Migrations: {count}, {ahead.migrations[0]} to {ahead.migrations[-1]}.")
        if ahead.is_new:
            self.say("The database is empty: they make it, and nobody waits.")
            return
        for step in ahead.steps:
            self.say(f"  {step.migration}: {_sentence(step)}")
        if not ahead.steps:
            self.say("They lock no table that is there.")
        works = "works" if not ahead.breaking else "does not work"
        self.say(f"The release before {works} on the new schema.")


def _sentence(step: schema.Step) -> str:
    """`projects_project (1,200 rows): everybody waits for a moment (ACCESS EXCLUSIVE)`."""
    effect = step.effect
    lasts = effect.lasts.value if effect.lasts.value != "a moment" else "for a moment"
    about = f", about {step.seconds:.1f} s" if step.seconds else ""
    who = f"{effect.waits.value} wait" + ("" if effect.waits is Waits.WRITERS else "s")
    return f"{effect.table} ({step.rows:,} rows): {who} {lasts}{about} ({effect.lock})"

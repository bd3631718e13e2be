from __future__ import annotations

from typing import Any

from clipforge.common.commands import DryRunCommand
from credits import services


class Command(DryRunCommand):
    help = (
        "Give back reservations that were not renewed, and end unused credits whose time has come, "
        "over all organizations. Runs every minute by itself; running it again, or twice at once, "
        "ends nothing more. Exits 1 when any could not be ended."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        # Everything that is due, however much: one run of the sweeps stops at a thousand.
        failed: set[str] = set()
        holds = _until_none(services.expire_holds, failed)
        settled = _until_none(services.settle_returned, failed)
        grants = _until_none(services.expire_grants, failed)
        self.say(f"Gave back {holds} reservations and ended {grants} lots of credits.")
        if failed:
            self.failure = f"{len(failed)} could not be ended: the log says why."
        return {"holds": holds, "settled": settled, "grants": grants, "failed": len(failed)}


def _until_none(sweep: Any, failed: set[str]) -> int:
    total = 0
    while done := sweep(failed=failed):
        total += done
    return total

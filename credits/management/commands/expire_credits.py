from __future__ import annotations

from typing import Any

from clipforge.common.commands import OperatorCommand
from credits import services


class Command(OperatorCommand):
    help = (
        "Give back reservations that nobody renewed, and end unused credits whose time has come, "
        "over all organizations. Runs every minute by itself; running it again, or twice at once, "
        "ends nothing more."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        # Everything that is due, however much: one run of the sweeps stops at a thousand.
        holds = _until_none(services.expire_holds)
        settled = _until_none(services.settle_returned)
        grants = _until_none(services.expire_grants)
        self.say(f"Gave back {holds} reservations and ended {grants} lots of credits.")
        return {"holds": holds, "settled": settled, "grants": grants}


def _until_none(sweep: Any) -> int:
    total = 0
    while done := sweep():
        total += done
    return total

from __future__ import annotations

from typing import Any

from billing import subscriptions
from clipforge.common.commands import DryRunCommand


class Command(DryRunCommand):
    help = (
        "Grant the credits of every plan whose period has begun, and of the free plan's month; end "
        "plans that were not renewed. Runs every hour by itself; running it again, or twice at "
        "once, grants nothing more. Exits 1 when the plan of anybody could not be moved on."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        granted = subscriptions.grant_monthly()
        self.say(
            f"Granted {granted.paid} paid periods and {granted.free} free months; "
            f"{granted.ended} plans ended."
        )
        if granted.failed:
            self.failure = f"{granted.failed} plans were not moved on: the log says why."
        return granted._asdict()

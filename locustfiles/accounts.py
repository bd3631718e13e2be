"""The organizations of the front ends: chosen by Zipf's law, and one crowded one."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ZIPF = 0.9
# The share of its limit that an organization's front ends plan to use. Starting an export takes two
# requests.
PLANNED_SHARE = 0.75


class Pace(NamedTuple):
    """The request rates of a tier, and its share of the front ends."""

    limit: int  # requests a minute of the organization, as its tier grants
    per_second: float  # requests of one front end
    weight: int  # of all front ends


PACES = {
    "FREE": Pace(50, 0.5, 30),
    "STARTER": Pace(100, 0.6, 25),
    "PRO": Pace(200, 1.0, 25),
    "BUSINESS": Pace(500, 1.5, 12),
    "ENTERPRISE": Pace(1000, 2.0, 8),
}


@dataclass
class Account:
    org: str
    tier: str
    key: str
    # Requests a second that its front ends plan to make.
    planned: float = 0
    # The highest `planned` so far: the window of its limit covers the last minute.
    highest_planned: float = 0
    # Ids of moments that one front end found, for the others to use.
    moments: list[str] = field(default_factory=list)

    def has_room_for(self, per_second: float) -> bool:
        return (self.planned + per_second) * 60 <= PACES[self.tier].limit * PLANNED_SHARE

    @property
    def is_crowded(self) -> bool:
        """Whether its front ends may exceed its limit; a 429 is expected then."""
        return self.highest_planned * 60 > PACES[self.tier].limit * PLANNED_SHARE

    def enter(self, per_second: float) -> None:
        self.planned += per_second
        self.highest_planned = max(self.highest_planned, self.planned)

    def leave(self, per_second: float) -> None:
        self.planned -= per_second


class Accounts:
    """All accounts. The first FREE one is kept for the crowd that outgrew its tier."""

    def __init__(self, accounts: Iterable[Account], *, seed: int = 1) -> None:
        found = list(accounts)
        if not found:
            raise ValueError("There is no account.")
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.crowded = next((each for each in found if each.tier == "FREE"), None)
        self._tiers = {
            tier: [each for each in found if each.tier == tier and each is not self.crowded]
            for tier in PACES
        }

    @property
    def tiers(self) -> list[str]:
        """The tiers that have an account."""
        return [tier for tier, members in self._tiers.items() if members]

    def seat(self, tier: str, per_second: float) -> Account:
        """An account of the tier with room for one more front end; any account when all are full."""
        members = self._tiers[tier]
        weights = [1 / rank**ZIPF for rank in range(1, len(members) + 1)]
        roomy = [each.has_room_for(per_second) for each in members]
        if any(roomy):
            weights = [weight * room for weight, room in zip(weights, roomy, strict=True)]
        account = self._random.choices(members, weights)[0]
        account.enter(per_second)
        return account


def read(path: Path) -> Accounts:
    lines = (json.loads(line) for line in path.read_text().splitlines())
    return Accounts(Account(line["org"], line["tier"], line["key"]) for line in lines)

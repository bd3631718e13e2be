"""The random draws: how much each organization has, when jobs ran and how they ended. Plain numpy.

Times are microseconds since 1970. Everything comes from one generator, so that a seed and a
moment give the same world again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.str_]

SECOND = 1_000_000
DAY = 86_400 * SECOND

# Of all work, what the busiest organization does; the others follow Zipf's law.
HOT_SHARE = 0.2
ZIPF = 0.9
# Of its work, what the busiest organization brought along when it moved in: all of one moment.
IMPORTED = 0.05
# Of all moments, those of one recording of many days.
HOT_PROJECT_SHARE = 0.02

# The part of organizations that have this tier or a higher one, the busiest having the highest.
TIERS = [("ENTERPRISE", 0.02), ("BUSINESS", 0.07), ("PRO", 0.22), ("STARTER", 0.45), ("FREE", 1.0)]


# Where the dashes of a UUID are not.
UUID_LENGTH = 36
DIGIT_PLACES = [place for place in range(UUID_LENGTH) if place not in {8, 13, 18, 23}]
HEX_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


class JobKind(enum.IntEnum):
    WELCOME = 0  # no work: the organization's first credits
    PROJECT = 1
    EXPORT = 2


class HoldOutcome(enum.IntEnum):
    """The end of the hold. The last two are open."""

    CAPTURED = 0
    RELEASED = 1
    QUEUED = 2
    RUNNING = 3


@dataclass
class Jobs:
    """Jobs, one row each in arrays side by side. `seconds` is what the price is made of."""

    kind: Ints
    org: Ints
    asked: Ints
    done: Ints
    seconds: Floats
    outcome: Ints
    id: Bits  # two columns: the upper and the lower half
    hold: Bits

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, which: Any) -> Jobs:
        return Jobs(*(getattr(self, field.name)[which] for field in fields(self)))

    @staticmethod
    def join(parts: list[Jobs]) -> Jobs:
        names = [field.name for field in fields(Jobs)]
        return Jobs(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Draw:
    """The generator, and the shapes of what it gives."""

    def __init__(self, seed: int, now: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.now = now
        # When the busiest organization came: what it brought along carries this one moment.
        self.founded_first = now - 710 * DAY
        self.moved_in = self.founded_first + DAY

    def shares(self, count: int) -> Floats:
        """How work is spread over organizations: the first has HOT_SHARE of it."""
        shares = 1 / np.arange(1, count + 1) ** ZIPF
        if count > 1:
            shares[1:] *= (1 - HOT_SHARE) / shares[1:].sum()
            shares[0] = HOT_SHARE
        return np.asarray(shares / shares.sum())

    def spread(self, shares: Floats, count: int) -> Ints:
        """`count` numbers of a share each, in no order."""
        if not count:
            return np.zeros(0, np.int64)
        return self.rng.choice(len(shares), count, p=shares).astype(np.int64)

    def founded(self, count: int) -> Ints:
        """When the organizations came: over two years, the busiest first."""
        at = self.now - (self.rng.uniform(30, 700, count) * DAY).astype(np.int64)
        at[:1] = self.founded_first
        return at

    def between(self, start: Ints) -> Ints:
        """Moments after `start` and more than an hour ago, the later the more of them."""
        room = self.now - 3600 * SECOND - start
        return np.asarray(start + (room * np.sqrt(self.rng.random(len(start)))).astype(np.int64))

    def later(self, start: Ints, mean_seconds: float) -> Ints:
        """Moments after `start`, at least a minute ago; one for all that was moved in."""
        wait = (self.rng.exponential(mean_seconds, len(start)) * SECOND).astype(np.int64)
        wait[start == self.moved_in] = 0
        return np.asarray(np.minimum(start + SECOND + wait, self.now - 60 * SECOND))

    def imported(self, org: Ints, asked: Ints) -> Ints:
        """`asked`, with a part of the first organization's work moved to one moment."""
        moved = (org == 0) & (self.rng.random(len(org)) < IMPORTED)
        return np.where(moved, self.moved_in, asked)

    def durations(self, longest: Ints) -> Floats:
        """Seconds of sources: half an hour, give or take, as the tier allows."""
        seconds = self.rng.lognormal(np.log(1500), 0.8, len(longest))
        return np.asarray(np.round(np.clip(seconds, 120, longest), 2), np.float64)

    def lengths(self, count: int) -> Floats:
        """Seconds of clips."""
        seconds = np.clip(self.rng.gamma(2.0, 14.0, count), 0, 80)
        return np.asarray(np.round(15 + seconds, 2), np.float64)

    def pick(self, weights: dict[str, float], count: int) -> Strings:
        names, shares = np.array(list(weights)), np.array(list(weights.values()))
        return np.asarray(self.rng.choice(names, count, p=shares / shares.sum()))

    def ids(self, at: Ints) -> Bits:
        """UUIDs of version 7 for rows made at these moments."""
        milliseconds = (at // 1000).astype(np.uint64)
        upper = milliseconds << np.uint64(16) | np.uint64(0x7000)
        upper |= self.rng.integers(0, 1 << 12, len(at), np.uint64)
        lower = np.uint64(1 << 63) | self.rng.integers(0, 1 << 62, len(at), np.uint64)
        return np.stack([upper, lower], axis=1)

    def jobs(
        self,
        kind: JobKind | Ints,
        org: Ints,
        asked: Ints,
        done: Ints,
        seconds: Floats,
        outcome: Ints,
    ) -> Jobs:
        kinds = np.broadcast_to(np.asarray(kind, np.int64), org.shape)
        return Jobs(kinds, org, asked, done, seconds, outcome, self.ids(asked), self.ids(asked))


def tier_of(rank: int, count: int) -> str:
    """The tier of the organization at this rank by size, from 0. Five have one each."""
    floor = 0
    for tier, share in TIERS:
        floor = max(floor + 1, round(count * share))
        if rank < floor:
            return tier
    return TIERS[-1][0]


def texts_of_ids(ids: Bits) -> list[str]:
    """As PostgreSQL and Python write a UUID."""
    octets = np.ascontiguousarray(ids, ">u8").view(np.uint8)
    texts = np.full((len(ids), UUID_LENGTH), ord("-"), np.uint32)
    texts[:, DIGIT_PLACES[0::2]] = HEX_DIGITS[octets >> 4]
    texts[:, DIGIT_PLACES[1::2]] = HEX_DIGITS[octets & 15]
    found: list[str] = texts.view(f"U{UUID_LENGTH}").ravel().tolist()
    return found


def texts_of_times(at: Ints) -> list[str]:
    """As PostgreSQL reads a time in UTC."""
    texts: list[str] = np.datetime_as_string(at.astype("datetime64[us]"), unit="us").tolist()
    return texts

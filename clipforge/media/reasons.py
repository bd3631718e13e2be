"""Reasons in words: why a moment was chosen, with figures that its viewer can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from clipforge.media.scoring import WORTH_SAYING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clipforge.media.scoring import Facts

# A clip whose sub-score is below WORTH_SAYING does not have that quality in its reason.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    # aspect: (strong, present)
    "speech": ("dense speech", "some speech"),
    "energy": ("energetic sound", "lively sound"),
    "motion": ("a lot of movement", "movement"),
    "pace": ("a fast pace", "a brisk pace"),
    "opening": ("a strong opening", "a fair opening"),
}
STRONG: Final = 65.0
MOST_SAID: Final = 3
# What is said in the words of the moment itself, in this order.
QUOTED: Final = ("keywords", "hook", "reaction", "payoff")
MOST_QUOTED: Final = 2

# Facts that are worth a figure.
LOUDER: Final = 3.0  # dB
LIVELIER: Final = 1.5


def explain(
    aspects: Mapping[str, float],
    facts: Facts | None = None,
    seconds: float = 0,
    quotes: Mapping[str, str] | None = None,
) -> str:
    """One sentence in plain words: the two or three strongest aspects, strongest first.

    With the facts of a stretch of so many seconds, each says by what it can be seen. Quotes come first.
    """
    quotes = quotes or {}
    quoted = [
        quotes[name] for name in QUOTED if name in quotes and aspects.get(name, 0) >= WORTH_SAYING
    ][:MOST_QUOTED]
    ranked = sorted(
        ((name, value) for name, value in aspects.items() if name in REASONS),
        key=lambda item: -item[1],
    )
    figures = _figures(facts, seconds) if facts else {}
    said = [
        " ".join(filter(None, [REASONS[name][0 if value >= STRONG else 1], figures.get(name)]))
        for name, value in ranked[: MOST_SAID - len(quoted)]
        if value >= WORTH_SAYING
    ]
    if not said and not quoted:
        return "Livelier than the rest of the video."
    joined = " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))
    words = "; ".join(filter(None, [*quoted, joined]))
    return f"{words[0].upper()}{words[1:]}."


def _figures(facts: Facts, seconds: float) -> dict[str, str]:
    figures = {"speech": f"({facts.speech:.0%} of the time)"}
    if facts.louder >= LOUDER:
        figures["energy"] = f"({facts.louder:.0f} dB above the rest)"
    if facts.livelier >= LIVELIER:
        figures["motion"] = f"({facts.livelier:.1f} times the usual)"
    if facts.cuts:
        cuts = "1 cut" if facts.cuts == 1 else f"{facts.cuts} cuts"
        figures["pace"] = f"({cuts} in {seconds:.0f} s)"
    if facts.after_calm:
        figures["opening"] = "after a calm stretch"
    return figures

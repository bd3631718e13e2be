"""English as it is spoken: the words that make a hook, refer back, conclude, or say nothing."""

from __future__ import annotations

import re
from typing import Final


def _any(words: str) -> str:
    return "|".join(word.replace("_", " ") for word in words.split())


QUESTIONS: Final = re.compile(
    rf"(?:{_any('what why how who when where which')})\b(?! (?:a|an)\b)"
    rf"|(?:{_any('do does did is are was were can could would should have has will')})"
    r" (?:you|we|they|it|he|she|i|there|this|that|anyone|anybody)\b"
)
NUMBERS: Final = re.compile(
    rf"\b(?:{_any('two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty')}"
    rf"|{_any('hundred hundreds thousand thousands million millions billion percent half twice first')})\b"
)
CLAIMS: Final = re.compile(
    rf"\b(?:{_any('never always nobody everybody everyone nothing everything impossible only')}"
    rf"|{_any('best worst biggest greatest most fastest hardest secret mistake wrong truth must')}"
    rf"|{_any('no_one the_one_thing the_problem_is the_reason guarantee proven')})\b"
)
CONTRASTS: Final = re.compile(
    rf"\b(?:{_any('but however instead although yet unless rather opposite actually')}"
    rf"|{_any('turns_out even_though ask_not it_was_not it_is_not not_because used_to')}"
    r"|(?:do|does|did|is|was|are|were)n't|not)\b"
)
ADDRESS: Final = re.compile(
    rf"\b(?:{_any('you your yours yourself imagine listen look remember think picture')}"
    rf"|{_any('let_me let_us my_fellow ladies friends everyone')}|let's)\b"
)
DANGLING: Final = re.compile(
    rf"(?:{_any('and or so because which who whom then also he she they them it this that these those')}"
    rf"|{_any('his her their its him such otherwise therefore but')}"
    r"|that's why|he's|she's|it's|they're|he'd|she'd|they've|that's|as well|in addition)\b"
)
CLOSINGS: Final = re.compile(
    rf"\b(?:{_any('therefore finally because lesson answer result conclusion remember')}"
    rf"|{_any('in_the_end turns_out the_point_is this_is_why the_moral after_all that_was_when')}"
    rf"|{_any('that_is_why the_truth_is changed_everything at_last from_then_on')}"
    r"|that's (?:why|how|it|what|when|all)|and so|so (?:i|we|you|they|he|she|the|that)|never again)\b"
)
FILLERS: Final = re.compile(
    r"^(?:(?:and|so|well|but|um+|uh+|er+|like|okay|ok|yeah|yes|right|now|you know|i mean"
    r"|because|then|anyway)\b[\s,]*)+",
    re.IGNORECASE,
)
STOPWORDS: Final = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can could
    did do does doing don't down for from get go going gonna got had has have having he her here hers him
    his how i i'm if in into is it it's its just know like made make me more most my no not now of off
    okay on once one only or other our out over own really said same say she should so some such than
    that that's the their them then there these they thing things think this those through to too um up
    very want was we well were what when where which while who why will with would yeah you your you're
    """.split()  # noqa: SIM905 - a list to read
)


def unfilled(text: str) -> str:
    """The text without the words with which people begin to speak, its first letter large."""
    rest = FILLERS.sub("", text).strip() or text.strip()
    return rest[:1].upper() + rest[1:]


def shortened(text: str, most: int = 60) -> str:
    """The text, at a space and with an ellipsis if it is longer than `most` characters."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    return text[: most - 1].rsplit(" ", 1)[0].rstrip(" ,;:.–—") + "…"

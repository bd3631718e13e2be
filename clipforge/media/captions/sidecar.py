"""Captions as files beside the clip: SubRip (SRT) and WebVTT.

Words are text, whatever they look like: what a player would take for a tag or for the end of a cue is
written so that it shows as it is.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clipforge.media.captions.cues import Cue

# SRT knows no escapes. Players take `<b>` and `{\an8}` for tags and read `-->` as times; with this
# character, which has no width, inside, they do not.
NO_WIDTH = "\N{ZERO WIDTH SPACE}"
SRT_SPECIAL = re.compile(r"<|\{|--(?=>)")


def srt(cues: Iterable[Cue]) -> str:
    """The cues as SubRip. Empty for none."""
    return "\n".join(
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n"
        + "".join(f"{_srt_text(line)}\n" for line in cue.texts)
        for number, cue in enumerate(cues, 1)
    )


def webvtt(cues: Iterable[Cue]) -> str:
    """The cues as WebVTT."""
    blocks = (
        f"\n{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n"
        + "".join(f"{html.escape(line, quote=False)}\n" for line in cue.texts)
        for cue in cues
    )
    return "WEBVTT\n" + "".join(blocks)


def _srt_text(line: str) -> str:
    return SRT_SPECIAL.sub(lambda found: found[0] + NO_WIDTH, line)


def _time(seconds: float, point: str) -> str:
    millis = round(seconds * 1000)
    minutes, millis = divmod(millis, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{millis // 1000:02}{point}{millis % 1000:03}"

"""Burned-in captions: the files that the filter of ffmpeg needs, and its place in the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clipforge.media.captions import ass, fonts
from clipforge.media.captions.cues import COLUMNS, cues_of
from clipforge.media.contracts import ErrorCode, MediaError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clipforge.media.contracts import Captions
    from clipforge.media.words.transcript import Transcript

SCRIPT, FONTS, FONTCONFIG = "captions.ass", "fonts", "fonts.conf"
# Without a folder in it: libass asks fontconfig for what `fontsdir` lacks, and it must find nothing.
NO_SYSTEM_FONTS = '<?xml version="1.0"?>\n<fontconfig></fontconfig>\n'
# The fastest talkers say seven. What has more is not speech, and its cues would flash by.
MAX_WORDS_A_SECOND = 12
SPARE_WORDS = 50


@dataclass(frozen=True, slots=True)
class Burning:
    """Captions ready to be drawn by an ffmpeg that runs inside `folder`."""

    folder: Path

    @property
    def filter(self) -> str:
        # Relative names, since a path may have any character, and a filter gives some a meaning.
        return f"ass=filename={SCRIPT}:fontsdir={FONTS}"

    @property
    def environment(self) -> dict[str, str]:
        return {"FONTCONFIG_FILE": str(self.folder / FONTCONFIG)}


def require_drawable(transcript: Transcript, start: float, end: float) -> None:
    """Raises MediaError(BAD_CAPTIONS) where the words of [start, end) cannot be shown."""
    words = transcript.between(start, end).words
    if len(words) > SPARE_WORDS + MAX_WORDS_A_SECOND * (end - start):
        raise MediaError(
            ErrorCode.BAD_CAPTIONS,
            f"The transcript has {len(words)} words within {end - start:.1f} seconds, more than "
            "can be shown. Correct it, or export without captions.",
        )
    shown = "".join(
        {char for cue in cues_of(transcript, start, end) for char in "".join(cue.texts)}
    )
    if missing := fonts.undrawable(shown, transcript.language):
        raise MediaError(
            ErrorCode.BAD_CAPTIONS,
            f"Captions cannot be drawn in this script: there is no font with {missing[:10]}. "
            "Export without captions.",
        )


def prepare(
    captions: Captions,
    start: float,
    end: float,
    size: tuple[int, int],
    folder: Path,
    *,
    delay: float = 0.0,
    faces: Sequence[ass.FaceBox] = (),
) -> Burning:
    """Write what draws the words of the source's [start, end) into pictures of `size` (width, height).

    `folder` is created. Raises MediaError(BAD_CAPTIONS).
    """
    require_drawable(captions.transcript, start, end)
    frame = ass.Frame(*size)
    columns = frame.columns(captions.size, COLUMNS)
    cues = cues_of(captions.transcript, start, end, columns=columns)
    document = ass.document(captions, cues, frame, faces=faces, delay=delay)
    (folder / FONTS).mkdir(parents=True)
    for number, path in enumerate(sorted(document.fonts)):
        (folder / FONTS / f"{number}{path.suffix}").symlink_to(path)
    (folder / FONTCONFIG).write_text(NO_SYSTEM_FONTS)
    (folder / SCRIPT).write_text(document.content, encoding="utf-8")
    return Burning(folder)

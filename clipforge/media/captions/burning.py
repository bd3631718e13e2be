"""Burned-in captions: the files that the filter of ffmpeg needs, and its place in the command."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clipforge.media import tightening
from clipforge.media.captions import ass, fonts
from clipforge.media.captions.cues import COLUMNS, cues_of
from clipforge.media.contracts import ErrorCode, MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from clipforge.media.contracts import Captions, FaceBox, RenderSpec
    from clipforge.media.words.transcript import Transcript

SCRIPT, FONTS, FONTCONFIG = "captions.ass", "fonts", "fonts.conf"
# Without a folder in it: libass asks fontconfig for what `fontsdir` lacks, and it must find nothing.
NO_SYSTEM_FONTS = '<?xml version="1.0"?>\n<fontconfig></fontconfig>\n'
# The fastest talkers say seven. What has more is not speech, and its cues would flash by.
MAX_WORDS_A_SECOND = 12
SPARE_WORDS = 50


@dataclass(frozen=True, slots=True)
class Burning:
    """Captions for an ffmpeg that runs inside `folder`: the filters that draw them, or none."""

    folder: Path | None = None

    @property
    def filters(self) -> tuple[str, ...]:
        # Relative names, since a path may have any character, and a filter gives some a meaning.
        return (f"ass=filename={SCRIPT}:fontsdir={FONTS}",) if self.folder else ()

    @property
    def environment(self) -> dict[str, str]:
        return {"FONTCONFIG_FILE": str(self.folder / FONTCONFIG)} if self.folder else {}


def captions_folder(part: Path) -> Path:
    """Where the files for the captions of the clip `part` are, while it is encoded."""
    return part.with_name(part.name + ".captions")


@contextlib.contextmanager
def prepared(
    spec: RenderSpec, size: tuple[int, int], part: Path, faces: Sequence[FaceBox] = ()
) -> Iterator[Burning]:
    """The captions of a clip of `size` (width, height), as long as the block lasts.

    The times of `faces` count from the start of the range, before anything is left out of it.
    """
    if spec.captions is None:
        yield Burning()
        return
    folder = captions_folder(part.absolute())
    shutil.rmtree(folder, ignore_errors=True)  # of a child that was killed
    try:
        yield _prepared(spec, spec.captions, size, folder, faces)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepared(
    spec: RenderSpec,
    captions: Captions,
    size: tuple[int, int],
    folder: Path,
    faces: Sequence[FaceBox],
) -> Burning:
    if not spec.kept:
        return prepare(captions, spec.start, spec.end, size, folder, faces=faces)
    moved = replace(captions, transcript=tightening.retimed(captions.transcript, spec.kept))
    seen = [found for face in faces for found in _kept_parts(face, spec)]
    return prepare(moved, 0.0, tightening.seconds(spec.kept), size, folder, faces=seen)


def _kept_parts(face: FaceBox, spec: RenderSpec) -> Iterator[FaceBox]:
    """The face with its times in the shortened clip, once for each range that has some of it."""
    offset = 0.0
    for first, last in spec.kept:
        begin, end = max(first, face.start + spec.start), min(last, face.end + spec.start)
        if begin < end:
            yield replace(face, start=offset + begin - first, end=offset + end - first)
        offset += last - first


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
    faces: Sequence[FaceBox] = (),
) -> Burning:
    """Write what draws the words of the source's [start, end) into pictures of `size` (width, height).

    `folder` is created. Raises MediaError(BAD_CAPTIONS).
    """
    require_drawable(captions.transcript, start, end)
    frame = ass.Frame(*size)
    columns = frame.columns(captions.size, COLUMNS)
    cues = cues_of(captions.transcript, start, end, columns=columns)
    document = ass.document(captions, cues, frame, faces=faces)
    (folder / FONTS).mkdir(parents=True)
    for number, path in enumerate(sorted(document.fonts)):
        (folder / FONTS / f"{number}{path.suffix}").symlink_to(path)
    (folder / FONTCONFIG).write_text(NO_SYSTEM_FONTS)
    (folder / SCRIPT).write_text(document.content, encoding="utf-8")
    return Burning(folder)

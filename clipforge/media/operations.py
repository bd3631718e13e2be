"""The operations of this package: probe, analyse, choose, place, curves, render, pictures. Each runs in a child process.

All of them block, for up to `limits.wall_seconds`. Each raises `MediaError` for a fault of
the video or of the work, and `OSError` for a fault of the call: no such file, no such
folder, no permission.

`on_progress(stage, fraction)` is called about four times a second at most, with a
fraction in 0..1 that never falls within a stage. `should_stop()` is asked at least
twice a second; once it returns true the work is killed and `MediaError(CANCELLED)`
raised. Both are called in the calling thread, and may raise to end the work.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import stat
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipforge.media import sandbox
from clipforge.media.captions.burning import captions_folder
from clipforge.media.contracts import (
    PICTURES,
    Analysis,
    Choice,
    Chosen,
    Curves,
    ErrorCode,
    Limits,
    MediaError,
    Rendered,
    RenderSpec,
    ScoredMoment,
    Snap,
    SourceInfo,
    WarningCode,
)
from clipforge.media.words.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clipforge.media.reframing.models import FaceModel
    from clipforge.media.sandbox import OnProgress, ShouldStop
    from clipforge.media.speech.models import SpeechModel

DEFAULT_LIMITS = Limits()
# Choosing from four hours takes a second; a request waits for it.
CHOOSING_LIMITS = Limits(wall_seconds=20, cpu_seconds=15, memory_bytes=1 << 30)
IMAGE_LIMITS = Limits(wall_seconds=15, cpu_seconds=10, memory_bytes=1 << 30, output_bytes=16 << 20)
PROBE_SECONDS = 60  # wall and CPU; a probe that takes longer is stuck
PART_PREFIX, PART_SUFFIX = ".render-", ".part"


def probe(
    path: Path, *, audio_track: int | None = None, limits: Limits = DEFAULT_LIMITS
) -> SourceInfo:
    """The properties of a video file; raises `MediaError` for one that is refused.

    Takes well under a second.
    """
    _require_file(path)
    limits = replace(
        limits,
        wall_seconds=min(limits.wall_seconds, PROBE_SECONDS),
        cpu_seconds=min(limits.cpu_seconds, PROBE_SECONDS),
    )
    arguments = {"path": str(path.absolute()), "audio_track": audio_track}
    result = sandbox.run("probe", arguments, limits=limits, reads=[path])
    with _malformed_result_as_crash():
        return _source(result)


def analyse(
    path: Path,
    *,
    speech_model: SpeechModel | None = None,
    wishes: Choice = Choice(),  # noqa: B008 - frozen
    audio_track: int | None = None,
    pictures: Path | None = None,
    face_model: FaceModel | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Analysis:
    """Probe and decode a whole file, write down what is spoken, and choose its moments.

    Without `speech_model` there is no transcript. `pictures` is an empty folder that poster and strip are
    written to, where they can be made; the poster has a face if `face_model` finds one.
    """
    _require_file(path)
    result = sandbox.run(
        "analyse",
        {
            "path": str(path.absolute()),
            "speech_model": asdict(speech_model) if speech_model else None,
            "wishes": asdict(wishes),
            "audio_track": audio_track,
            "pictures": str(pictures.absolute()) if pictures else None,
            "face_model": asdict(face_model) if face_model else None,
        },
        limits=limits,
        reads=[path, *_files_of(speech_model, face_model)],
        writes=[pictures] if pictures else [],
        on_progress=on_progress,
        should_stop=should_stop,
    )
    with _malformed_result_as_crash():
        return _analysis(result)


def choose(features: bytes, transcript: Transcript | None, wishes: Choice) -> Chosen:
    """Choose moments from kept features and words again. Decodes nothing; takes half a second.

    In a child all the same: it keeps numpy out of a process that serves requests, and what a hostile
    file left in the features away from it.
    """
    return _chosen("choose", features, transcript, wishes=asdict(wishes))


def place(
    features: bytes, transcript: Transcript | None, *, start: float, end: float, snap: Snap
) -> Chosen:
    """One moment from `start` to `end`, its edges moved to the nearest of `snap`, and rated."""
    return _chosen("place", features, transcript, start=start, end=end, snap=snap)


def curves(features: bytes, transcript: Transcript | None) -> Curves:
    """The score and the sub-scores over the length of a source, from kept features and words."""
    result = _from_what_is_kept("curves", features, transcript)
    with _malformed_result_as_crash():
        values = {
            str(name): [float(value) for value in series]
            for name, series in result["values"].items()
        }
        if not all(values.values()) or not all(
            0 <= value <= 100 for series in values.values() for value in series
        ):
            raise ValueError("not scores")
        return Curves(
            step=float(result["step"]),
            window=float(result["window"]),
            scorer_version=str(result["scorer_version"]),
            values=values,
        )


def render(
    source: Path,
    target: Path,
    spec: RenderSpec,
    *,
    face_model: FaceModel | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Rendered:
    """Render a part of `source` to `target`, replacing an earlier file.

    `target` appears whole, verified and on disk, or not at all. It is written beside
    itself first, as `.render-*.part`; such a file older than the longest render was
    left by a worker that was killed, and may be deleted. Without `face_model` the picture follows
    movement, not faces.
    """
    _require_file(source)
    part = _create_part(target)
    try:
        result = sandbox.run(
            "render",
            {
                "source": str(source.absolute()),
                "part": str(part),
                "spec": spec.as_json(),
                "face_model": asdict(face_model) if face_model else None,
            },
            limits=limits,
            reads=[
                source,
                *_files_of(None, face_model),
                *([spec.watermark.path] if spec.watermark else []),
            ],
            # Where the clip is made: what is drawn and heard in it lies beside it meanwhile.
            writes=[part.parent],
            on_progress=on_progress,
            should_stop=should_stop,
        )
        with _malformed_result_as_crash():
            rendered = Rendered(**{**result, "warnings": _warnings(result)})
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(captions_folder(part), ignore_errors=True)  # of a child that was killed
    _sync_folder(part.parent)
    return rendered


def redraw(image: Path, target: Path) -> tuple[int, int]:
    """Write a customer's image as a PNG for clips; its width and height. Takes a fifth of a second.

    Raises MediaError for what is no PNG or WebP, or too large.
    """
    result = sandbox.run(
        "redraw",
        {"image": str(image.absolute()), "target": str(target.absolute())},
        limits=IMAGE_LIMITS,
        reads=[image],
        writes=[target.absolute().parent],
    )
    with _malformed_result_as_crash():
        width, height = result["size"]
        return int(width), int(height)


def _chosen(
    operation: str, features: bytes, transcript: Transcript | None, **arguments: Any
) -> Chosen:
    result = _from_what_is_kept(operation, features, transcript, **arguments)
    with _malformed_result_as_crash():
        return Chosen(**{**result, "moments": _moments(result)})


def _from_what_is_kept(
    operation: str, features: bytes, transcript: Transcript | None, **arguments: Any
) -> dict[str, Any]:
    spoken = transcript.as_json() if transcript else None
    kept = {"features": base64.b64encode(features).decode(), "transcript": spoken}
    return sandbox.run(operation, {**kept, **arguments}, limits=CHOOSING_LIMITS)


def portray(
    source: Path,
    folder: Path,
    *,
    start: float,
    end: float,
    face_model: FaceModel | None = None,
    limits: Limits = CHOOSING_LIMITS,
) -> list[str]:
    """Write posters of [start, end) of a source into an empty folder; the names of the files.

    None where the clock of the source starts again. Takes half a second.
    """
    _require_file(source)
    result = sandbox.run(
        "portray",
        {
            "source": str(source.absolute()),
            "folder": str(folder.absolute()),
            "start": start,
            "end": end,
            "face_model": asdict(face_model) if face_model else None,
        },
        limits=limits,
        reads=[source, *_files_of(None, face_model)],
        writes=[folder],
    )
    with _malformed_result_as_crash():
        return _pictures(result["names"])


def illustrate(
    clip: Path,
    folder: Path,
    *,
    face_model: FaceModel | None = None,
    limits: Limits = DEFAULT_LIMITS,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> list[str]:
    """Write poster and strip of a finished clip into an empty folder; the names of the files."""
    _require_file(clip)
    result = sandbox.run(
        "illustrate",
        {
            "clip": str(clip.absolute()),
            "folder": str(folder.absolute()),
            "face_model": asdict(face_model) if face_model else None,
        },
        limits=limits,
        reads=[clip, *_files_of(None, face_model)],
        writes=[folder],
        on_progress=on_progress,
        should_stop=should_stop,
    )
    with _malformed_result_as_crash():
        return _pictures(result["names"])


def _files_of(speech: SpeechModel | None, faces: FaceModel | None) -> list[str | Path]:
    """The files of the models; of one that links to files elsewhere, those too."""
    folder = [Path(speech.folder)] if speech else []
    linked = [each for part in folder for each in part.iterdir() if each.is_symlink()]
    return [*folder, *linked, *([faces.path] if faces else [])]


def _require_file(path: Path) -> None:
    """Raise MediaError for anything but a regular file, and OSError for an unreadable one.

    Reading a pipe would block.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise MediaError(ErrorCode.NOT_A_VIDEO, "This is not a file. Upload a video file.")
    path.open("rb").close()


def _create_part(target: Path) -> Path:
    """Create an empty file beside `target`.

    Its name is not derived from a name that may be too long.
    """
    part = target.absolute().with_name(f"{PART_PREFIX}{secrets.token_hex(8)}{PART_SUFFIX}")
    part.touch(exist_ok=False)
    return part


def _sync_folder(folder: Path) -> None:
    """Put the new name on disk, as the child has done with the content."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _malformed_result_as_crash() -> Iterator[None]:
    """Raise MediaError(DECODER_CRASHED) where the child's result does not have the expected fields."""
    try:
        yield
    except (TypeError, LookupError, ValueError) as error:
        raise sandbox.failure(ErrorCode.DECODER_CRASHED) from error


def _source(result: dict[str, Any]) -> SourceInfo:
    return SourceInfo(**{**result, "warnings": _warnings(result)})


def _warnings(result: dict[str, Any]) -> list[WarningCode]:
    return [WarningCode(code) for code in result["warnings"]]


def _analysis(result: dict[str, Any]) -> Analysis:
    transcript = result["transcript"]
    return Analysis(
        source=_source(result["source"]),
        warnings=_warnings(result),
        moments=_moments(result),
        scorer_version=result["scorer_version"],
        transcript=Transcript.from_json(transcript) if transcript else None,
        others=bool(result["others"]),
        features=str(result["features"]),
        pictures=_pictures(result["pictures"]),
    )


def _pictures(names: list[str]) -> list[str]:
    """The names of files that are to be kept; a path would lead out of the folder."""
    if not set(names) <= set(PICTURES):
        raise ValueError(f"not names of pictures: {names}")
    return names


def _moments(result: dict[str, Any]) -> list[ScoredMoment]:
    return [ScoredMoment(**moment) for moment in result["moments"]]

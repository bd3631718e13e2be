"""The child process of `clipforge.media.sandbox`: reads one request, writes events."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipforge.media import isolation, launcher, sandbox
from clipforge.media.contracts import (
    Choice,
    ErrorCode,
    Limits,
    MediaError,
    RenderSpec,
)

if TYPE_CHECKING:
    from clipforge.media.kept import Kept
    from clipforge.media.reframing.models import FaceModel
    from clipforge.media.words.transcript import Transcript

PROGRESS_SECONDS = 0.25

Arguments = dict[str, Any]
Result = dict[str, Any]
Operation = Callable[[Arguments, Limits, sandbox.OnProgress], Result]


def encode(**event: Any) -> bytes:
    return json.dumps(event).encode() + b"\n"


def encode_error(error: MediaError) -> bytes:
    return encode(error=[error.code, error.message])


# Encoded in advance: when memory has run out, nothing can be allocated any more.
OUT_OF_MEMORY = encode_error(sandbox.failure(ErrorCode.OUT_OF_MEMORY))


class Events:
    """Writes events to the parent. Drops progress that comes too often or does not rise."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._stage = ""
        self._fraction = 0.0
        self._due = 0.0

    def write(self, event: bytes) -> None:
        while event:
            event = event[os.write(self._fd, event) :]

    def progress(self, stage: str, fraction: float) -> None:
        fraction = min(max(fraction, 0.0), 1.0)
        if stage != self._stage:
            self._stage, self._fraction, self._due = stage, 0.0, 0.0
        elif fraction <= self._fraction:
            return
        now = time.monotonic()
        if now < self._due and fraction < 1:
            return
        self._fraction = fraction
        self._due = now + PROGRESS_SECONDS
        self.write(encode(progress=[stage, self._fraction]))


# Each operation imports what it needs: a probe does not wait for numpy.


def probe(arguments: Arguments, limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import probing

    return asdict(probing.probe(Path(arguments["path"]), limits, arguments["audio_track"]))


def analyse(arguments: Arguments, limits: Limits, on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import analysis
    from clipforge.media.overview import Wanted
    from clipforge.media.speech.models import SpeechModel

    wanted = arguments["speech_model"]
    folder = arguments["pictures"]
    found = analysis.analyse(
        Path(arguments["path"]),
        limits,
        on_progress,
        SpeechModel(**wanted) if wanted else None,
        wishes_of(arguments["wishes"]),
        arguments["audio_track"],
        Wanted(Path(folder), _face_model(arguments)) if folder else None,
    )
    transcript = found.transcript.as_json() if found.transcript else None
    return asdict(replace(found, transcript=None)) | {"transcript": transcript}


def choose(arguments: Arguments, _limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import choosing

    return asdict(choosing.choose(*_what_is_kept(arguments), wishes_of(arguments["wishes"])))


def place(arguments: Arguments, _limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import choosing

    start, end, snap = (arguments[name] for name in ("start", "end", "snap"))
    return asdict(choosing.place(*_what_is_kept(arguments), start, end, snap))


def curves(arguments: Arguments, _limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import plotting

    return asdict(plotting.curves(*_what_is_kept(arguments)))


def _what_is_kept(arguments: Arguments) -> tuple[Kept, Transcript | None]:
    from clipforge.media import kept
    from clipforge.media.words.transcript import Transcript

    spoken = arguments["transcript"]
    features = base64.b64decode(arguments["features"], validate=True)
    return kept.unpack(features), Transcript.from_json(spoken) if spoken else None


def wishes_of(wishes: dict[str, Any]) -> Choice:
    """The wishes as JSON left them: its lists are tuples here."""
    lists = {name: tuple(value) for name, value in wishes.items() if isinstance(value, list)}
    taken = tuple((start, end) for start, end in wishes.get("taken", ()))
    return Choice(**{**wishes, **lists, "taken": taken})


def render(arguments: Arguments, limits: Limits, on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import rendering

    return asdict(
        rendering.render(
            Path(arguments["source"]),
            Path(arguments["part"]),
            RenderSpec.from_json(arguments["spec"]),
            limits,
            on_progress,
            _face_model(arguments),
        )
    )


def illustrate(arguments: Arguments, limits: Limits, on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import illustrating

    clip, folder = Path(arguments["clip"]), Path(arguments["folder"])
    names = illustrating.illustrate(clip, folder, limits, on_progress, _face_model(arguments))
    return {"names": names}


def portray(arguments: Arguments, limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import portraying

    source, folder = Path(arguments["source"]), Path(arguments["folder"])
    stretch = arguments["start"], arguments["end"]
    names = portraying.portray(source, folder, *stretch, limits, _face_model(arguments))
    return {"names": names}


def _face_model(arguments: Arguments) -> FaceModel | None:
    from clipforge.media.reframing.models import FaceModel

    model = arguments["face_model"]
    return FaceModel(**model) if model else None


def redraw(arguments: Arguments, limits: Limits, _on_progress: sandbox.OnProgress) -> Result:
    from clipforge.media import stamping

    image, target = Path(arguments["image"]), Path(arguments["target"])
    return {"size": stamping.redraw(image, target, limits)}


OPERATIONS: dict[str, Operation] = {
    "probe": probe,
    "analyse": analyse,
    "choose": choose,
    "place": place,
    "render": render,
    "illustrate": illustrate,
    "portray": portray,
    "redraw": redraw,
    "curves": curves,
}
# These work in this process. The others start ffmpeg, which may start no further process.
IN_PROCESS = {"probe", "choose", "place", "curves"}


def claim_stdout() -> int:
    """Move stdout, the pipe to the parent, out of reach of libraries that print.

    Returns its descriptor.
    """
    events = os.dup(1)
    os.dup2(2, 1)
    return events


def main() -> None:
    launcher.die_with_parent(int(sys.argv[1]))
    parent = Events(claim_stdout())
    request = json.load(sys.stdin)
    limits = Limits(**request["limits"])
    sandbox.confine(limits)
    if request["arguments"].get("speech_model"):
        isolation.open_ahead()
    if request["arguments"].get("face_model"):
        import onnxruntime  # noqa: F401 - looks for graphics cards while it may: else it complains
    isolation.confine(request["reads"], request["writes"])
    operation = OPERATIONS[request["operation"]]
    if request["operation"] in IN_PROCESS:
        launcher.forbid_new_processes()
    try:
        result = operation(request["arguments"], limits, parent.progress)
        parent.write(encode(result=result))
    except MediaError as error:
        parent.write(encode_error(error))
    except MemoryError:
        parent.write(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()

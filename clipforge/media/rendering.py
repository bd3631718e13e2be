"""Rendering: encodes a stretch of a video as a clip. Runs in the child.

Unless another is asked for, the clip has the format that every phone plays: MP4, H.264 High, yuv420p,
AAC 48 kHz stereo, index in front. It is encoded anew: without that, a cut could only lie on a keyframe.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from clipforge.media import (
    decoding,
    encoding,
    ffmpeg,
    formats,
    marking,
    probing,
    soundtrack,
    stamping,
    tightening,
)
from clipforge.media.captions import burning
from clipforge.media.contracts import (
    Aspect,
    ErrorCode,
    Format,
    Layout,
    Limits,
    Mark,
    MediaError,
    Rendered,
    RenderSpec,
    SourceInfo,
)
from clipforge.media.damage import Complaints, warnings_of
from clipforge.media.encoding import THREADS, seconds_text
from clipforge.media.features import SoundExtractor
from clipforge.media.reframing import agreement, filters, framing, looking, visible

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from clipforge.media.reframing.framing import Framing
    from clipforge.media.reframing.models import FaceModel
    from clipforge.media.sandbox import OnProgress

WATERMARK_INPUT = 2  # after the source and the sound
STAGE, FRAMING = "render", "framing"
# Of the picture: a crop that leaves out less cannot be told from none.
NEARLY_SAME = 0.995
STANDARD_RATES = (
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
)
SHAPES = {
    Aspect.VERTICAL: Fraction(9, 16),
    Aspect.SQUARE: Fraction(1),
    Aspect.WIDE: Fraction(16, 9),
}
# Where the sound outlasts the pictures by a moment, the last picture stands still for
# at most this many seconds. A source that breaks off is short by more.
HOLD_SECONDS = 0.25
# Without an index (`ffmpeg.WITHOUT_INDEX`) a seek lands anywhere, and the pictures up to the next keyframe
# are lost. So decoding begins this many seconds early; keyframes are never so far apart.
LEAD_SECONDS = 15
# Only pictures that say that they are two half pictures; all others pass as they are, at no cost that
# could be measured (2.9 CPU-s with and without it for 10 s of 720p). Before anything scales the lines.
DEINTERLACE = "bwdif=mode=send_frame:deint=interlaced"
# HDR is graded around this brightness for a white page, a face at 26 %. ITU-R BT.2408-7, section 2.
WHITE_NITS = 203
# Up to here (of white) brightness is kept; brighter pixels share the rest. White comes out as 244 of
# 255. The curve before this (hable) darkened everything: white came out as 193, a light grey.
KNEE = 0.8


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """The exact properties of the clip to encode. Times are seconds of the source.

    Reading begins at `start`, and the first `lead` seconds of that are dropped.
    """

    container: str
    start: float
    lead: Fraction
    frames: int
    rate: Fraction
    width: int
    height: int
    shown: tuple[int, int]  # width and height of the source
    keeps_shape: bool
    has_audio: bool
    audio_track: int
    hdr_transfer: str | None
    format: Format
    kept: tuple[tuple[int, int], ...]  # frames that are in the clip; none: all of them

    @property
    def duration(self) -> Fraction:
        """Seconds of the source, a whole number of frames."""
        return self.frames / self.rate

    @property
    def clip_frames(self) -> int:
        return sum(after - first for first, after in self.kept) if self.kept else self.frames

    @property
    def clip_duration(self) -> Fraction:
        """Seconds that the clip lasts."""
        return self.clip_frames / self.rate

    @property
    def reading(self) -> str:
        """The seconds of the source to read, as an argument of ffmpeg."""
        return seconds_text(self.lead + self.duration)


def render(
    source: Path,
    part: Path,
    spec: RenderSpec,
    limits: Limits,
    on_progress: OnProgress,
    face_model: FaceModel | None = None,
) -> Rendered:
    """Render to `part`, verify it, and put its content on disk. Does not rename it.

    Without `face_model` no faces are looked for. Reports the stages FRAMING, where the clip has another
    shape than the source, and STAGE.
    """
    examined = probing.examine(source, limits, spec.audio_track)
    plan = plan_render(examined, spec, limits)
    complaints = Complaints()
    shown = frame(source, plan, spec.layout, face_model, limits, on_progress)
    on_progress(STAGE, 0.0)
    with (
        soundtrack.made(stretch(source, plan, limits), part.parent, limits) as sound,
        burning.prepared(
            spec, (plan.width, plan.height), part, shown.faces if shown else ()
        ) as captions,
        filters.moving(shown, plan.rate, plan.lead, part.parent) as moves,
    ):
        cut = tightening.picture_filters(plan.kept, plan.rate)
        test = marking.filters((plan.width, plan.height)) if spec.is_test else ()
        above = (*captions.filters, *test)
        mark = stamping.placed(spec)
        if mark:
            size = (plan.width, plan.height)
            below = picture_filter(plan, shown, moves.url, cut)
            drawn = stamping.graph(mark, WATERMARK_INPUT, size, below, above)
        else:
            drawn = picture_filter(plan, shown, moves.url, (*cut, *above))
        encoding.encode(
            arguments(source, part, plan, sound.url, limits, drawn, mark),
            limits,
            lambda seconds: on_progress(STAGE, seconds / float(plan.clip_duration)),
            pass_fds=(*sound.pass_fds, *moves.pass_fds),
            folder=captions.folder,
            environment=captions.environment,
            # Where reading begins between keyframes, they complain of whole files too.
            on_error=None if plan.lead else complaints.feed,
        )
    found = _verify(part, plan, limits)
    on_progress(STAGE, 1.0)
    return Rendered(
        duration=found.duration,
        width=found.width,
        height=found.height,
        size=found.size,
        sha256=_digest_on_disk(part),
        layout=shown.layout if shown else None,
        warnings=warnings_of(examined.source, complaints),
    )


def frame(
    source: Path,
    plan: RenderPlan,
    layout: Layout,
    face_model: FaceModel | None,
    limits: Limits,
    on_progress: OnProgress,
) -> Framing | None:
    """The part of its source that the clip shows; None: all of it.

    The pictures are looked at only where that matters.
    """
    if plan.keeps_shape:
        return None
    source_shape, shape = plan.shown[0] / plan.shown[1], plan.width / plan.height
    if layout is Layout.FIT:
        return framing.Framing(layout)
    if layout is not Layout.SPLIT and min(framing.extents(source_shape, shape)) > NEARLY_SAME:
        return framing.centred(source_shape, shape)
    on_progress(FRAMING, 0.0)
    seen = looking.look(
        _view(source, plan, limits),
        looking.detector(face_model),
        lambda share: on_progress(FRAMING, share),
    )
    if not seen.pictures:
        return framing.centred(source_shape, shape)
    rate = float(plan.rate)
    found = framing.frame(
        seen, rate, source_shape, shape, layout, lambda: _speech(source, plan, limits)
    )
    return replace(found, faces=visible.faces(seen, found, rate, source_shape, shape))


def _speech(source: Path, plan: RenderPlan, limits: Limits) -> NDArray[np.float64] | None:
    """The speech of a clip, by its energy; None without sound."""
    if not plan.has_audio:
        return None
    extractor = SoundExtractor()
    sound = stretch(source, plan, limits)
    heard = soundtrack.heard(sound, float(plan.duration), decoding.SAMPLE_RATE)
    decoding.stream(sound.arguments, [decoding.Output(extractor.feed, heard)])
    return agreement.energy(extractor.finish())


def _view(source: Path, plan: RenderPlan, limits: Limits) -> looking.View:
    arguments = _source_input(source, plan, limits)
    at = arguments.index("-i")
    clock = (f"trim=start={seconds_text(plan.lead)}", f"setpts=PTS-{seconds_text(plan.lead)}/TB")
    return looking.View(
        # Blocks that were not smoothed are good enough to look at.
        arguments=[*arguments[:at], "-skip_loop_filter", "all", *arguments[at:]],
        clock=clock if plan.lead else (),
        size=plan.shown,
        rate=plan.rate,
        pictures=plan.frames,
    )


def plan_render(examined: probing.ExaminedSource, spec: RenderSpec, limits: Limits) -> RenderPlan:
    """The plan of a clip. Raises MediaError for a range or a size that is not possible."""
    source = examined.source
    end = _end_within(source, spec)
    rate = output_rate(source.fps, spec.fps)
    width, height = output_size(source, spec)
    if min(width, height) < probing.MIN_SIDE or width * height > limits.max_pixels:
        raise MediaError(
            ErrorCode.BAD_DIMENSIONS,
            f"A clip of {width}x{height} cannot be made. Choose another resolution.",
        )
    lead = _lead(examined, spec.start, rate)
    return RenderPlan(
        container=examined.source.container,
        start=spec.start - float(lead),
        lead=lead,
        frames=round((end - spec.start) * rate),
        rate=rate,
        width=width,
        height=height,
        shown=(source.width, source.height),
        keeps_shape=spec.aspect is Aspect.SOURCE,
        has_audio=source.has_audio,
        audio_track=source.audio_track,
        hdr_transfer=examined.hdr_transfer,
        format=spec.format,
        kept=_kept_frames(spec, rate),
    )


def _kept_frames(spec: RenderSpec, rate: Fraction) -> tuple[tuple[int, int], ...]:
    kept = tightening.in_frames(spec.kept, spec.start, rate)
    if spec.kept and not kept:
        raise MediaError(ErrorCode.BAD_RANGE, "Nothing of this range is kept. Choose another.")
    return tuple(kept)


def _end_within(source: SourceInfo, spec: RenderSpec) -> float:
    """The end of the range, pulled in by at most one frame."""
    latest = source.duration + 1 / source.fps
    fits = 0 <= spec.start < spec.end <= latest
    end = min(spec.end, source.duration)
    if not fits or end - spec.start < probing.MIN_DURATION:
        raise MediaError(
            ErrorCode.BAD_RANGE,
            f"The range {spec.start:.2f}-{spec.end:.2f} s does not fit. Choose at least "
            f"{probing.MIN_DURATION} s between 0 and {source.duration:.2f} s.",
        )
    return end


def _lead(examined: probing.ExaminedSource, start: float, rate: Fraction) -> Fraction:
    """A whole number of frames, so that dropping it leaves the frames where they are.

    Where the clock starts again, everything from the start of the file on.
    """
    if examined.source.container not in ffmpeg.WITHOUT_INDEX:
        return Fraction(0)
    lead = min(start, LEAD_SECONDS) if examined.can_seek else start
    return math.floor(lead * rate) / rate


def standard_rate(fps: float) -> Fraction:
    """The standard frame rate nearest to `fps`; slow sources are doubled until they are near one.

    Averages lie a little beside the truth (29.9978), and phones record at any rate.
    """
    wanted = fps * math.ceil(23.5 / fps)
    return min(STANDARD_RATES, key=lambda rate: abs(float(rate) - wanted))


def output_rate(fps: float, at_most: int | None) -> Fraction:
    """The rate of a clip: the source's, or the lower one that was asked for."""
    rate = standard_rate(fps)
    return rate if at_most is None else min(rate, Fraction(at_most))


def output_size(source: SourceInfo, spec: RenderSpec) -> tuple[int, int]:
    """Width and height in even pixels, as yuv420p needs them."""
    shape = SHAPES.get(spec.aspect)
    if shape is None:
        if spec.resolution >= min(source.width, source.height):
            return source.width // 2 * 2, source.height // 2 * 2
        shape = Fraction(source.width, source.height)
    short = spec.resolution // 2 * 2
    long = round(short * max(shape, 1 / shape) / 2) * 2
    return (short, long) if shape < 1 else (long, short)


def arguments(
    source: Path,
    part: Path,
    plan: RenderPlan,
    sound: str,
    limits: Limits,
    drawn: str,
    mark: Mark | None = None,
) -> list[str]:
    """The whole command line after the name of the program.

    `sound` is the finished sound of the clip, `drawn` are the filters that make its pictures: with a
    `mark`, a graph that has that as an input.
    """
    pictures = (
        ("-filter_complex", drawn, "-map", "[out]") if mark else ("-map", "0:V:0", "-vf", drawn)
    )
    return [
        *("-v", "error", "-filter_threads", THREADS, "-filter_complex_threads", THREADS),
        *("-progress", "pipe:1", "-stats_period", "0.25"),
        *_source_input(source, plan, limits),
        *("-f", "mp4", "-i", sound),
        *(stamping.input_arguments(mark) if mark else ()),
        *("-map", "1:a:0", *formats.sound(plan.format)),
        *(*pictures, "-frames:v", str(plan.clip_frames)),
        *formats.pictures(plan.format, plan.rate, plan.width * plan.height),
        *("-t", seconds_text(plan.clip_duration)),
        *("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"),
        *(*formats.container(plan.format), ffmpeg.url(part)),
        *(ffmpeg.same_clock(plan.container, f"0:a:{plan.audio_track}") if plan.has_audio else ()),
    ]


def stretch(source: Path, plan: RenderPlan, limits: Limits) -> soundtrack.Stretch:
    """The sound that belongs to a plan."""
    return soundtrack.Stretch(
        arguments=_source_input(source, plan, limits),
        container=plan.container,
        track=plan.audio_track if plan.has_audio else None,
        lead=plan.lead,
        duration=plan.clip_duration,
        cut=(
            tightening.sound_filters(plan.kept, plan.rate, float(plan.duration))
            if plan.kept
            else ""
        ),
    )


def _source_input(source: Path, plan: RenderPlan, limits: Limits) -> list[str]:
    """Seek before `-i`: ffmpeg goes to the keyframe and drops what lies before the start."""
    seek = ("-ss", seconds_text(plan.start), "-t", plan.reading)
    return ffmpeg.safe_input(source, limits=limits, options=("-threads", THREADS, *seek))


def picture_filter(
    plan: RenderPlan,
    shown: Framing | None = None,
    moves: str = "",
    drawing: tuple[str, ...] = (),
) -> str:
    """Deinterlace, crop, scale, 8 bit, constant rate. ffmpeg has turned the picture upright.

    `shown` is the part of the source that is shown (None: all), `moves` names the file of the commands
    that move it, `drawing` are filters that draw into the finished pictures.
    """
    size = (plan.width, plan.height)
    steps = [DEINTERLACE]
    steps += filters.steps(shown, plan.shown, size, moves) if shown else [filters.scaled(size)]
    if plan.hdr_transfer:
        steps.append(tone_map(plan.hdr_transfer))
    steps.append("format=yuv420p")
    steps.append(f"tpad=stop_mode=clone:stop_duration={HOLD_SECONDS}")
    steps.append(f"fps=fps={plan.rate}:start_time=0:round=near")
    if plan.lead:
        steps.append(f"trim=start_frame={round(plan.lead * plan.rate)},setpts=PTS-STARTPTS")
    return ",".join((*steps, *drawing))


def tone_map(transfer: str) -> str:
    """The filter from HDR to ordinary colours. Without it, pictures would look washed out."""
    return (
        f"zscale=tin={transfer}:pin=bt2020:min=bt2020nc:rin=tv:t=linear:npl={WHITE_NITS},"
        f"format=gbrpf32le,zscale=p=bt709,tonemap=mobius:param={KNEE}:desat=0,"
        "zscale=t=bt709:m=bt709:r=tv"
    )


def _verify(part: Path, plan: RenderPlan, limits: Limits) -> SourceInfo:
    """The properties of the written file. Raises MediaError if it is not as planned.

    The exit status of ffmpeg does not tell whether the file is complete.
    """
    try:
        found = probing.probe(part, limits)
    except MediaError as error:
        raise encoding.broken_off() from error
    off = abs(found.duration - float(plan.clip_duration))
    if off > 1 / plan.rate:
        raise encoding.broken_off()
    if (found.width, found.height) != (plan.width, plan.height) or not found.has_audio:
        raise MediaError(
            ErrorCode.VERIFY_FAILED, "The clip did not come out as asked for. Try again."
        )
    return found


def _digest_on_disk(part: Path) -> str:
    """SHA-256 in hex, after the content has reached the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Kinds of input that come from cameras, recorders and archives: each comes out as a player shows it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clipforge.media import Aspect, Limits, RenderSpec, decoding, operations
from clipforge.media.features import SoundExtractor
from clipforge.media.tests.samples import (
    AAC,
    H264,
    counted,
    loudness,
    make_counter,
    make_video,
    run_ffmpeg,
)

SILENT, LOUD, LOW = "anullsrc=r=48000", "sine=f=1000:b=4", "sine=f=200:b=4"
MARKED, UNMARKED = "default", "0"


def two_tracks(path: Path, first: tuple[str, str], second: tuple[str, str]) -> Path:
    """A film of two sound tracks, each given as its sound and its disposition."""
    sounds = [f"{sound}:d=4" for sound, _ in (first, second)]
    inputs = [argument for sound in sounds for argument in ("-f", "lavfi", "-i", sound)]
    marks = [
        argument
        for number, (_, mark) in enumerate((first, second))
        for argument in (f"-disposition:a:{number}", mark)
    ]
    picture = ("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4")
    tracks = ("-map", "0:v", "-map", "1:a", "-map", "2:a")
    run_ffmpeg("-v", "error", *picture, *inputs, *tracks, *H264, *AAC, *marks, path)
    return path


def clip_of(source: Path, *, start: float = 0, end: float = 2) -> Path:
    target = source.with_name("clip.mp4")
    operations.render(source, target, RenderSpec(start, end, Aspect.SOURCE, 360))
    return target


class TestTheSoundTrackThatIsHeard:
    @pytest.mark.parametrize(
        ("name", "first", "second", "chosen"),
        [
            ("v.mp4", (SILENT, UNMARKED), (LOUD, MARKED), 1),
            ("v.mkv", (SILENT, MARKED), (LOUD, MARKED), 1),  # marked unless told otherwise
            ("v.mkv", (SILENT, UNMARKED), (LOUD, UNMARKED), 1),
            ("v.mkv", (SILENT, MARKED), (LOUD, UNMARKED), 1),
            ("v.mkv", (LOUD, UNMARKED), (LOW, MARKED), 1),
            ("v.mkv", (LOUD, UNMARKED), (LOW, UNMARKED), 0),
            ("v.mkv", (LOUD, MARKED), (SILENT, UNMARKED), 0),
            ("v.mkv", (SILENT, UNMARKED), (SILENT, MARKED), 1),
            ("v.mkv", (SILENT, UNMARKED), (SILENT, UNMARKED), 0),
        ],
    )
    def test_is_the_default_or_else_one_that_is_not_silent(
        self, tmp_path, name, first, second, chosen
    ):
        found = operations.probe(two_tracks(tmp_path / name, first, second))
        assert (found.audio_track, found.has_audio) == (chosen, True)

    def test_is_in_the_clip(self, tmp_path):
        source = two_tracks(tmp_path / "v.mp4", (SILENT, UNMARKED), (LOUD, MARKED))
        assert loudness(clip_of(source)) > -20

    def test_is_the_one_that_is_analysed(self, tmp_path):
        source = two_tracks(tmp_path / "v.mkv", (SILENT, MARKED), (LOUD, MARKED))
        heard = bytearray()

        class Ears(SoundExtractor):
            def feed(self, data: bytes) -> None:
                heard.extend(data)

        class Blind:
            def feed(self, data: bytes) -> None: ...

        decoding.decode(
            source,
            operations.probe(source),
            limits=Limits(),
            audio=Ears(),
            video=Blind(),
            on_progress=lambda _share: None,
        )
        assert np.abs(np.frombuffer(bytes(heard), np.int16)).max() > 1_000

    def test_is_one_that_can_be_decoded(self, tmp_path):
        first = make_video(tmp_path / "a.mkv", options=(*H264, "-c:a", "adpcm_ms"))
        source = tmp_path / "v.mkv"
        tracks = ("-map", "0:v", "-map", "0:a", "-map", "1:a", "-c:v", "copy", "-c:a:0", "copy")
        sound = ("-f", "lavfi", "-i", f"{LOUD}:d=3")
        run_ffmpeg("-i", first, *sound, *tracks, "-c:a:1", "aac", source)
        found = operations.probe(source)
        assert (found.audio_track, found.audio_codec) == (1, "aac")

    def test_is_found_where_it_begins_late(self, tmp_path):
        late = "aevalsrc=exprs='if(gt(t,3),sin(2000*PI*t),0)'"
        source = two_tracks(tmp_path / "v.mkv", (SILENT, MARKED), (late, MARKED))
        assert operations.probe(source).audio_track == 1


@pytest.mark.parametrize("container", ["mpegts", "vob"])
class TestRecordingsThatWereJoined:
    """The clock starts again in the middle: 2 s and 3 s are 5 s, and every picture is where it was."""

    FRAMES = (50, 75)

    @pytest.fixture
    def joined(self, tmp_path: Path, container: str) -> Path:
        options = ("-c:v", "mpeg2video", "-q:v", "2", "-bf", "0", "-c:a", "mp2", "-f", container)
        parts = [
            make_counter(tmp_path / str(part), seconds=frames / 25, rate="25", options=options)
            for part, frames in enumerate(self.FRAMES)
        ]
        whole = tmp_path / "joined"
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        return whole

    def test_all_of_it_is_there(self, joined):
        assert operations.probe(joined).duration == pytest.approx(5.0, abs=0.1)

    def test_a_clip_across_the_joint(self, joined):
        clip = clip_of(joined, start=1.0, end=3.0)
        assert counted(clip) == [*range(25, 50), *range(25)]

    def test_a_clip_behind_the_joint(self, joined):
        assert counted(clip_of(joined, start=3.0, end=4.0)) == list(range(25, 50))


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("v.ts", ("-c:v", "mpeg2video", "-c:a", "mp2")),
            ("v.mpg", ("-c:v", "mpeg1video", "-c:a", "mp2")),
            ("v.vob", ("-c:v", "mpeg2video", "-c:a", "ac3", "-f", "vob")),
            ("v.avi", ("-c:v", "mjpeg", "-c:a", "pcm_u8")),
            ("v.mkv", (*H264, "-c:a", "dca", "-strict", "-2", "-ar", "48000")),
            ("v.3gp", ("-c:v", "h263", "-s", "352x288", *AAC)),
            ("v.mov", ("-c:v", "dnxhd", "-profile:v", "dnxhr_hq", "-pix_fmt", "yuv422p", *AAC)),
            ("v.wmv", ("-c:v", "wmv2", "-c:a", "wmav2")),
            ("old.wmv", ("-c:v", "msmpeg4", "-c:a", "wmav1")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_of_cameras_and_archives_can_be_clipped(self, tmp_path, name, options):
        source = make_video(tmp_path / name, size="480x270", options=options)
        found = operations.probe(source)
        assert found.duration == pytest.approx(3.0, abs=0.15)
        assert found.has_audio
        clip = clip_of(source, start=0.5, end=2.5)
        assert operations.probe(clip).duration == pytest.approx(2.0, abs=0.01)
        assert loudness(clip) > -30


class TestInterlacedPictures:
    STRIPES = "geq=lum='if(lt(mod(X-T*400,160),80),235,16)':cb=128:cr=128"

    def test_are_no_combs_in_the_clip(self, tmp_path):
        halves = f"{self.STRIPES},tinterlace=interleave_top,setfield=tff"
        interlaced = make_video(
            tmp_path / "interlaced.mp4",
            rate="50",
            size="640x360",
            picture="color",
            picture_filter=halves,
            options=(*H264, "-flags", "+ildct+ilme", *AAC),
        )
        assert combing(interlaced) > 20
        assert combing(clip_of(interlaced)) < 2

    def test_others_are_left_as_they_are(self, tmp_path):
        source = make_counter(tmp_path / "v.mp4", seconds=3, rate="25", options=(*H264, *AAC))
        assert counted(clip_of(source)) == list(range(50))


def combing(path: Path) -> float:
    """How much each line differs from the two beside it, where those are alike. 0 to 255."""
    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)
        ]
    middle = np.stack(frames[5:-5])
    above, line, below = middle[:, :-2], middle[:, 1:-1], middle[:, 2:]
    return float(np.minimum(abs(line - above), abs(line - below)).mean())


class TestHighDynamicRange:
    # 10-bit codes of black and of a white page (203 cd/m2): ITU-R BT.2100 and BT.2408.
    @pytest.mark.parametrize(
        ("transfer", "white"), [("smpte2084", 573), ("arib-std-b67", 721)], ids=["PQ", "HLG"]
    )
    def test_white_stays_white_and_black_black(self, tmp_path, transfer, white):
        half = f"geq=lum='if(lt(X,W/2),64,{white})':cb=512:cr=512"
        colours = f"color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
        flags = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
        source = make_video(
            tmp_path / "hdr.mp4",
            seconds=1,
            size="640x360",
            picture="color",
            picture_filter=f"format=yuv420p10le,{half},setparams={colours}",
            options=(
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-x265-params",
                f"log-level=none:{flags}",
                *AAC,
            ),
        )
        with av.open(str(clip_of(source, end=1))) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="gray")
        assert frame[:, :300].max() <= 2
        assert frame[:, 340:].min() >= 240

"""Rendering real files: clips exact to the frame, and refusals."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest

from clipforge.media import (
    Aspect,
    ErrorCode,
    Limits,
    MediaError,
    RenderSpec,
    SourceInfo,
    operations,
    probing,
    rendering,
    soundtrack,
)
from clipforge.media.tests.samples import (
    AAC,
    H264,
    counted,
    loudness,
    make_counter,
    make_video,
    run_ffmpeg,
)

FRAME = 1 / 30
LIMITS = Limits()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("rendering") / "video.mp4", seconds=4)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Where the clip goes: a folder with nothing else in it."""
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder / "clip.mp4"


def spec(start=0.5, end=1.5, aspect=Aspect.VERTICAL, resolution=90) -> RenderSpec:
    return RenderSpec(start=start, end=end, aspect=aspect, resolution=resolution)


def source_info(**changes) -> SourceInfo:
    facts = {
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "duration": 10.0,
        "size": 1,
        "width": 1920,
        "height": 1080,
        "fps": 30.0,
        "video_codec": "h264",
        "audio_codec": "aac",
    }
    return SourceInfo(**{**facts, **changes})


def make_plan(wanted: RenderSpec, *, hdr_transfer=None, **changes) -> rendering.RenderPlan:
    examined = probing.ExaminedSource(source_info(**changes), hdr_transfer)
    return rendering.plan_render(examined, wanted, LIMITS)


def refusal(source: Path, clip: Path, wanted: RenderSpec, limits: Limits = LIMITS) -> ErrorCode:
    with pytest.raises(MediaError) as caught:
        operations.render(source, clip, wanted, limits=limits)
    assert list(clip.parent.iterdir()) == []
    assert caught.value.message.endswith(".")
    return caught.value.code


class TestPlan:
    @pytest.mark.parametrize(
        ("fps", "rate"),
        [
            (29.9978, "30"),
            (29.97, "30000/1001"),
            (23.976, "24000/1001"),
            (25.0, "25"),
            (59.94, "60000/1001"),
            (240.0, "60"),
            (15.0, "30"),
            (12.5, "25"),
            (10.0, "30"),
        ],
    )
    def test_the_rate_is_a_standard_one(self, fps, rate):
        assert rendering.standard_rate(fps) == Fraction(rate)

    @pytest.mark.parametrize(
        ("aspect", "resolution", "source", "size"),
        [
            (Aspect.VERTICAL, 720, (640, 360), (720, 1280)),
            (Aspect.SQUARE, 720, (640, 360), (720, 720)),
            (Aspect.WIDE, 720, (640, 360), (1280, 720)),
            (Aspect.WIDE, 480, (640, 360), (854, 480)),
            (Aspect.SOURCE, 720, (1920, 1080), (1280, 720)),
            (Aspect.SOURCE, 720, (1080, 1920), (720, 1280)),
            (Aspect.SOURCE, 720, (640, 360), (640, 360)),
            (Aspect.SOURCE, 720, (363, 362), (362, 362)),
            (Aspect.SOURCE, 240, (641, 481), (320, 240)),
        ],
    )
    def test_the_size_is_even_and_a_source_is_never_enlarged(
        self, aspect, resolution, source, size
    ):
        found = source_info(width=source[0], height=source[1])
        assert rendering.output_size(found, spec(0, 1, aspect, resolution)) == size

    def test_the_end_may_lie_one_frame_behind_the_source(self):
        assert make_plan(spec(8, 10 + FRAME)).frames == 60

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            (-0.1, 2),
            (3, 3),
            (3, 2),
            (3, 3.4),
            (8, 10.1),
            (11, 13),
            (0, float("nan")),
            (float("nan"), 2),
            (0, float("inf")),
        ],
    )
    def test_any_other_range_is_refused(self, start, end):
        with pytest.raises(MediaError) as caught:
            make_plan(spec(start, end))
        assert caught.value.code is ErrorCode.BAD_RANGE

    @pytest.mark.parametrize("resolution", [0, -720, 8, 100_000])
    def test_a_senseless_resolution_is_refused(self, resolution):
        with pytest.raises(MediaError) as caught:
            make_plan(spec(resolution=resolution))
        assert caught.value.code is ErrorCode.BAD_DIMENSIONS

    def test_a_transport_stream_is_read_from_earlier_by_whole_frames(self):
        plan = make_plan(spec(40, 42), duration=60.0, container="mpegts", fps=29.97)
        assert plan.lead * plan.rate == 449
        assert plan.start + float(plan.lead) == pytest.approx(40)


class TestCommandLine:
    def arguments(self, wanted: RenderSpec, **changes) -> list[str]:
        plan = make_plan(wanted, **changes)
        return rendering.arguments(
            Path("/in/a.mp4"),
            Path("/out/b.part"),
            plan,
            "file:/in/sound",
            LIMITS,
            rendering.picture_filter(plan),
        )

    def test_the_source_is_opened_only_behind_the_lists_of_what_is_safe(self):
        arguments = self.arguments(spec())
        (at,) = (i for i, argument in enumerate(arguments) if "/in/a.mp4" in argument)
        assert arguments[at - 1 : at + 1] == ["-i", "file:/in/a.mp4"]
        for option in ("-protocol_whitelist", "-format_whitelist", "-codec_whitelist"):
            assert arguments.index(option) < at

    def test_it_seeks_before_it_opens(self):
        arguments = self.arguments(spec(3.5, 6.5))
        at = arguments.index("-i")
        assert arguments.index("-ss") < at
        assert arguments[arguments.index("-ss") + 1] == "3.500000"
        assert arguments[arguments.index("-t") + 1] == "3.000000"
        assert arguments[arguments.index("-frames:v") + 1] == "90"

    def test_silence_stands_in_for_missing_sound(self):
        plan = make_plan(spec(), audio_codec=None)
        stretch = rendering.stretch(Path("/in/a.mp4"), plan, LIMITS)
        arguments = soundtrack.silence(stretch, soundtrack.SoundFile(7))
        assert "anullsrc=r=48000:cl=stereo" in arguments
        assert "file:/in/a.mp4" not in arguments
        assert arguments[-1] == "file:/proc/self/fd/7"

    def test_the_shape_of_the_source_is_not_cropped(self):
        assert "crop" not in rendering.picture_filter(make_plan(spec(aspect=Aspect.SOURCE)))

    def test_only_hdr_is_tone_mapped(self):
        assert "tonemap" not in rendering.picture_filter(make_plan(spec()))
        mapped = rendering.picture_filter(make_plan(spec(), hdr_transfer="arib-std-b67"))
        assert "tin=arib-std-b67" in mapped


class TestWhatComesOut:
    @pytest.mark.parametrize(
        ("aspect", "size"),
        [
            (Aspect.VERTICAL, (90, 160)),
            (Aspect.SQUARE, (90, 90)),
            (Aspect.WIDE, (160, 90)),
            (Aspect.SOURCE, (160, 90)),
        ],
    )
    def test_each_shape_has_its_size(self, video, clip, aspect, size):
        made = operations.render(video, clip, spec(aspect=aspect))
        assert (made.width, made.height) == size
        found = operations.probe(clip)
        assert (found.width, found.height) == size

    def test_it_plays_everywhere(self, video, clip):
        operations.render(video, clip, spec())
        with av.open(str(clip)) as container:
            (picture,), (sound,) = container.streams.video, container.streams.audio
            assert (picture.codec_context.name, picture.profile) == ("h264", "High")
            assert picture.codec_context.pix_fmt == "yuv420p"
            assert picture.average_rate == 30
            assert picture.frames == 30
            assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 48000, 2)
        content = clip.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")

    def test_the_result_describes_the_file(self, video, clip):
        made = operations.render(video, clip, spec())
        assert made.size == clip.stat().st_size
        assert made.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
        assert made.duration == pytest.approx(1.0, abs=FRAME)
        assert list(clip.parent.iterdir()) == [clip]

    def test_what_was_there_is_replaced(self, video, clip):
        clip.write_bytes(b"old")
        assert operations.render(video, clip, spec()).size == clip.stat().st_size

    def test_sound_and_pictures_last_equally_long(self, video, clip):
        operations.render(video, clip, spec(0.3, 2.8))
        with av.open(str(clip)) as container:
            lengths = [float((s.duration or 0) * (s.time_base or 0)) for s in container.streams]
        assert lengths == pytest.approx([2.5, 2.5], abs=FRAME)

    def test_it_tells_nothing_about_the_source(self, video, clip, tmp_path):
        tagged = tmp_path / "tagged.mp4"
        chapters = tmp_path / "chapters.txt"
        chapters.write_text(
            ";FFMETADATA1\ntitle=Our secret\nlocation=+52.2+021.0/\n"
            "[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=2\ntitle=Part one\n"
        )
        run_ffmpeg("-i", video, "-i", chapters, "-map_metadata", "1", "-c", "copy", tagged)
        operations.render(tagged, clip, spec())
        content = clip.read_bytes()
        assert b"Our secret" in tagged.read_bytes()
        assert not any(word in content for word in (b"secret", b"+52.2", b"Part one"))

    @pytest.mark.parametrize(
        "name", [b"-y.mp4", b"%03d.mp4", b"two\nlines", b"\xff'[a]", b"n" * 255]
    )
    def test_names_are_only_names(self, video, clip, name):
        target = Path(os.fsdecode(os.fsencode(clip.parent) + b"/" + name))
        operations.render(video, target, spec())
        assert list(clip.parent.iterdir()) == [target]

    def test_a_folder_that_is_not_there_is_the_callers_mistake(self, video, tmp_path):
        with pytest.raises(FileNotFoundError):
            operations.render(video, tmp_path / "missing" / "clip.mp4", spec())


class TestFrames:
    @pytest.mark.parametrize(
        ("name", "rate", "options"),
        [
            ("v.mp4", "30", ("-c:v", "libx264", "-bf", "3", "-g", "70", *AAC)),
            ("v.mkv", "30000/1001", (*H264, "-g", "70", *AAC)),
            ("v.webm", "24", ("-c:v", "libvpx", "-deadline", "realtime", "-g", "70")),
            ("v.ts", "30", (*H264, "-g", "70", "-an")),
        ],
    )
    def test_a_clip_has_exactly_the_frames_asked_for(self, tmp_path, clip, name, rate, options):
        source = make_counter(tmp_path / name, seconds=8, rate=rate, options=options)
        first, count = 101, 50  # in the middle of a group of pictures
        start = float(first / Fraction(rate))
        end = float((first + count) / Fraction(rate))
        operations.render(source, clip, spec(start, end, Aspect.SOURCE))
        assert counted(clip) == list(range(first, first + count))

    def test_a_slow_source_is_shown_at_a_standard_rate_with_each_frame_twice(self, tmp_path, clip):
        source = make_counter(tmp_path / "v.mp4", seconds=3, rate="15", options=(*H264, *AAC))
        operations.render(source, clip, spec(1, 2, Aspect.SOURCE))
        assert counted(clip) == [15 + n // 2 for n in range(30)]


class TestSources:
    def test_without_sound_it_gets_a_silent_track(self, tmp_path, clip):
        source = make_video(tmp_path / "v.mp4", sound=None, options=H264)
        operations.render(source, clip, spec())
        assert operations.probe(clip).audio_codec == "aac"
        assert loudness(clip) <= -70

    @pytest.mark.parametrize("seconds", [1, 5])
    def test_a_silent_track_stays_silent(self, tmp_path, clip, seconds):
        source = make_video(tmp_path / "v.mp4", seconds=seconds, sound="anullsrc")
        operations.render(source, clip, spec(0, seconds))
        assert loudness(clip) <= -70

    @pytest.mark.parametrize(("volume", "seconds"), [("-35dB", 12), ("-3dB", 12), ("-20dB", 2)])
    def test_loudness_is_that_of_the_platforms(self, tmp_path, clip, volume, seconds):
        noise = f"anoisesrc=c=pink:r=48000:seed=1,volume={volume}"
        source = tmp_path / "v.mp4"
        picture = ("-f", "lavfi", "-i", f"testsrc2=s=160x90:d={seconds}")
        run_ffmpeg(*picture, "-f", "lavfi", "-i", noise, "-shortest", *H264, *AAC, source)
        operations.render(source, clip, spec(0, seconds))
        assert loudness(clip) == pytest.approx(-14, abs=0.5)

    def test_surround_sound_becomes_stereo(self, tmp_path, clip):
        options = (*H264, "-c:a", "aac", "-ac", "6")
        operations.render(make_video(tmp_path / "v.mp4", options=options), clip, spec())
        with av.open(str(clip)) as container:
            assert container.streams.audio[0].channels == 2

    def test_sound_that_begins_late_stays_late(self, tmp_path, clip):
        source = tmp_path / "v.mkv"
        tone = ("-itsoffset", "1", "-f", "lavfi", "-i", "sine=d=2")
        run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:d=3", *tone, *H264, *AAC, source)
        operations.render(source, clip, spec(0, 3))
        said = run_ffmpeg(
            "-i", clip, "-vn", "-af", "silencedetect=n=-50dB:d=0.5", "-f", "null", "-"
        )
        end_of_silence = float(said.split("silence_end: ")[1].split()[0])
        assert end_of_silence == pytest.approx(1.0, abs=0.1)

    def test_a_turned_source_is_cropped_as_it_is_seen(self, tmp_path, clip):
        # Lying: left half black, right half white. Upright: one above the other.
        source, turned = tmp_path / "v.mp4", tmp_path / "turned.mp4"
        halves = "geq=lum='if(lt(X,W/2),16,235)':cb=128:cr=128"
        make_video(source, size="320x180", picture="color", picture_filter=halves)
        run_ffmpeg("-display_rotation", "90", "-i", source, "-c", "copy", turned)
        operations.render(turned, clip, spec(aspect=Aspect.VERTICAL))
        with av.open(str(clip)) as container:
            gray = next(container.decode(video=0)).reformat(format="gray").to_ndarray()
        assert gray.shape == (160, 90)
        assert abs(int(gray[40, 45]) - int(gray[120, 45])) > 180
        assert abs(int(gray[40, 10]) - int(gray[40, 80])) < 10

    def test_pixels_that_are_not_square_keep_the_picture_in_shape(self, tmp_path, clip):
        # 240x180 stored, shown as 320x180: the crop to 1:1 takes the middle 135 columns.
        bars = "geq=lum='if(between(X,53,186),235,16)':cb=128:cr=128,setsar=4/3"
        source = make_video(
            tmp_path / "v.mp4", size="240x180", picture="color", picture_filter=bars
        )
        operations.render(source, clip, spec(aspect=Aspect.SQUARE))
        with av.open(str(clip)) as container:
            gray = next(container.decode(video=0)).reformat(format="gray").to_ndarray()
        assert gray[45, 2:-2].min() > 200

    @pytest.mark.parametrize("size", ["321x181", "182x319"])
    @pytest.mark.parametrize("aspect", list(Aspect))
    def test_odd_sizes(self, tmp_path, clip, size, aspect):
        options = (*H264, "-pix_fmt", "yuv444p", *AAC)
        source = make_video(tmp_path / "v.mp4", size=size, options=options)
        made = operations.render(source, clip, spec(aspect=aspect))
        assert (made.width % 2, made.height % 2) == (0, 0)

    def test_hdr_becomes_ordinary_8_bit_video(self, tmp_path, clip):
        colours = "transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"
        hdr = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le")
        options = (*hdr, "-x265-params", f"log-level=none:{colours}", *AAC)
        source = make_video(tmp_path / "v.mp4", options=options)
        operations.render(source, clip, spec())
        with av.open(str(clip)) as container:
            context = container.streams.video[0].codec_context
            assert context.pix_fmt == "yuv420p"
            assert (context.color_trc, context.color_primaries, context.colorspace) == (1, 1, 1)


class TestRefusals:
    def test_a_range_past_the_end(self, video, clip):
        assert refusal(video, clip, spec(3, 5)) is ErrorCode.BAD_RANGE

    def test_a_source_that_is_no_video(self, tmp_path, clip):
        source = tmp_path / "v.mp4"
        source.write_text("no video " * 1000)
        assert refusal(source, clip, spec()) is ErrorCode.NOT_A_VIDEO

    @pytest.mark.parametrize(("start", "end"), [(1, 3.5), (3, 4)], ids=["across", "behind"])
    def test_a_source_that_breaks_off(self, tmp_path, clip, start, end):
        whole = make_video(
            tmp_path / "w.mp4", seconds=4, options=(*H264, *AAC, "-movflags", "+faststart")
        )
        source = tmp_path / "v.mp4"
        content = whole.read_bytes()
        source.write_bytes(content[: len(content) // 2])
        assert refusal(source, clip, spec(start, end)) is ErrorCode.VERIFY_FAILED

    def test_the_part_before_the_break_can_still_be_rendered(self, tmp_path, clip):
        options = (*H264, "-g", "15", *AAC, "-movflags", "+faststart")
        whole = make_video(tmp_path / "w.mp4", seconds=4, options=options)
        source = tmp_path / "v.mp4"
        content = whole.read_bytes()
        source.write_bytes(content[: len(content) // 2])
        assert operations.render(source, clip, spec(0.2, 1.2)).duration == pytest.approx(
            1, abs=FRAME
        )

    def test_a_full_disk(self, video):
        with pytest.raises(MediaError) as caught:
            rendering.render(video, Path("/dev/full"), spec(), LIMITS, lambda _stage, _share: None)
        assert caught.value.code is ErrorCode.STORAGE_FULL

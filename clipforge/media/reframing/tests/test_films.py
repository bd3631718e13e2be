"""Films with faces at known places, rendered: where the crop is, and whether the faces are inside."""

from __future__ import annotations

import wave
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from clipforge.media import Aspect, Layout, RenderSpec, operations, probing, rendering
from clipforge.media.reframing.faces import FaceDetector
from clipforge.media.reframing.tests.people import (
    LIMITS,
    MODEL,
    RATE,
    WIDTH,
    Person,
    centred_for,
    framed,
    inside,
    make_film,
    make_screen,
    still,
)
from clipforge.media.speech.tests import speakers
from clipforge.media.tests.samples import footage, run_ffmpeg

if TYPE_CHECKING:
    from pathlib import Path


WALKING = Person(lambda time: (20 + 50 * time, 80), 160)


class TestFacesInFrame:
    def test_a_speaker_in_the_left_third(self, tmp_path):
        people = [still(20, 60, 200)]
        film = make_film(tmp_path / "v.mp4", [(6, people)])
        found = framed(film)
        assert inside(centred_for(found), people) == 0
        assert inside(found, people) == 1

    def test_two_people_side_by_side(self, tmp_path):
        people = [still(40, 80, 180), still(420, 80, 180, mirrored=True)]
        film = make_film(tmp_path / "v.mp4", [(6, people)])
        found = framed(film)
        assert found.layout is Layout.SPLIT
        assert inside(found, people) == 1
        assert (
            inside(framed(film, layout=Layout.CROP), people[:1])
            + inside(framed(film, layout=Layout.CROP), people[1:])
            == 1
        )

    def test_two_people_close_together_are_shown_in_one_crop(self, tmp_path):
        people = [still(30, 100, 90), still(130, 110, 90, mirrored=True)]
        film = make_film(tmp_path / "v.mp4", [(6, people)])
        found = framed(film)
        assert found.layout is Layout.CROP
        assert inside(found, people) == 1

    def test_a_portrait_in_16_by_9(self, tmp_path):
        people = [still(40, 120, 280)]
        film = make_film(tmp_path / "v.mp4", [(6, people)], size=(360, 640))
        centre = framed(film, Aspect.WIDE, Layout.CROP, model=None)
        assert inside(centre, people, size=(360, 640)) == 0
        assert inside(framed(film, Aspect.WIDE), people, size=(360, 640)) == 1

    def test_a_face_larger_than_the_crop_is_not_cut(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(4, [still(-20, 100, 480)])], size=(360, 640))
        assert framed(film, Aspect.WIDE).layout is Layout.FIT

    def test_somebody_who_walks_through_the_picture(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(8, [WALKING])])
        assert inside(framed(film, layout=Layout.CROP, model=None), [WALKING]) < 0.7
        assert inside(framed(film), [WALKING]) >= 0.98

    def test_after_a_cut_the_crop_is_at_once_where_the_next_face_is(self, tmp_path):
        left, right = still(20, 60, 180), still(430, 60, 180)
        film = make_film(tmp_path / "v.mp4", [(3, [left]), (3.4, [right]), (2.8, [left])])
        clip = tmp_path / "c.mp4"
        spec = RenderSpec(0, 9.2, Aspect.VERTICAL, 360)
        operations.render(film, clip, spec, face_model=MODEL)
        detector = FaceDetector(MODEL)
        for number, picture in enumerate(pictures(clip, (192, 352))):
            if number % 10 == 0 or number in {74, 75, 76, 159, 160, 161}:
                (face,) = detector.find(picture)
                assert face.left > 0.02, number
                assert face.right < 0.98, number

    def test_a_range_that_begins_within_the_film(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(8, [WALKING])])
        clip = tmp_path / "c.mp4"
        operations.render(film, clip, RenderSpec(3, 6, Aspect.VERTICAL, 360), face_model=MODEL)
        detector = FaceDetector(MODEL)
        for picture in list(pictures(clip, (192, 352)))[::5]:
            (face,) = detector.find(picture)
            assert 0.02 < face.left < face.right < 0.98

    def test_a_transport_stream_is_followed_on_the_same_clock(self, tmp_path):
        film = make_film(
            tmp_path / "v.ts", [(20, [still(20, 60, 180)]), (4, [still(430, 60, 180)])]
        )
        clip = tmp_path / "c.mp4"
        operations.render(film, clip, RenderSpec(18, 22, Aspect.VERTICAL, 360), face_model=MODEL)
        detector = FaceDetector(MODEL)
        for number, picture in enumerate(pictures(clip, (192, 352))):
            if number % 10 == 0 or 48 <= number <= 53:
                (face,) = detector.find(picture)
                assert 0.02 < face.left < face.right < 0.98, number


class TestMovement:
    def test_it_does_not_tremble_at_rest(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(6, [still(60, 60, 200)])])
        (crop,) = framed(film).crops
        assert np.ptp(crop.x) == 0
        assert np.ptp(crop.y) == 0

    def test_it_gains_and_loses_speed_gently(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(8, [WALKING])])
        (crop,) = framed(film).crops
        assert np.abs(np.diff(crop.x, 2)).max() * WIDTH < 1.5  # pixels a picture

    def test_without_faces_the_crop_is_where_something_moves(self, tmp_path):
        ball = Person(lambda time: (500 + 30 * np.sin(5 * time), 150 + 60 * np.cos(5 * time)), 60)
        film = make_film(tmp_path / "v.mp4", [(6, [ball])])
        (crop,) = framed(film, model=None).crops
        assert (crop.x * WIDTH <= 460).all()
        assert ((crop.x + crop.width) * WIDTH >= 590).all()

    def test_where_nothing_moves_the_crop_is_where_there_is_something_to_see(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(2, [still(440, 80, 160)])])
        (crop,) = framed(film, model=None).crops
        assert np.ptp(crop.x) == np.ptp(crop.y) == 0
        assert crop.x[0] * WIDTH <= 450
        assert (crop.x[0] + crop.width) * WIDTH >= 590

    def test_where_nothing_moves_it_is_the_middle(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(4, [])])
        (crop,) = framed(film).crops
        assert crop.x == pytest.approx((1 - crop.width) / 2)

    def test_of_two_people_the_one_who_speaks_is_followed(self, tmp_path):
        quiet, speaking = still(30, 80, 180), replace(still(430, 80, 180), speaks=True)
        film = make_film(tmp_path / "v.mp4", [(6, [quiet, speaking])])
        found = framed(film, layout=Layout.CROP)
        assert inside(found, [speaking]) == 1

    def test_one_who_speaks_is_followed_beside_a_larger_one_who_nods(self, tmp_path):
        """All of a head moves that nods: what tells is a mouth that moves more than its brow."""
        nodding = Person(lambda time: (20, 70 + 6 * np.sin(6 * time)), 200)
        speaking = replace(still(440, 90, 160), speaks=True)
        film = make_film(tmp_path / "v.mp4", [(6, [nodding, speaking])])
        assert inside(framed(film, layout=Layout.CROP), [speaking]) == 1
        assert inside(framed(film), [nodding, speaking]) == 1  # both, one above the other


class TestSound:
    """Two of the same size: one chews all along with a wide mouth, one speaks two seconds out of four."""

    CHEWS = replace(still(30, 80, 170), speaks=True, opening=0.25)
    SPEAKS = replace(
        still(440, 80, 170), speaks=True, opening=0.12, when=lambda time: time % 4 >= 2
    )

    @pytest.fixture(scope="class")
    @staticmethod
    def voice(tmp_path_factory) -> Path:
        """Two seconds of silence and two of a man who reads, three times."""
        path: Path = tmp_path_factory.mktemp("voice") / "voice.wav"
        read = speakers.sound_of(speakers.recording())
        said = (read[second * 32_000 : (second + 2) * 32_000] for second in (1, 5, 9))
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(b"".join(speakers.silence(2) + each for each in said))
        return path

    def test_one_whose_mouth_moves_as_speech_sounds_is_followed_beside_one_who_chews(
        self, tmp_path, voice
    ):
        film = make_film(tmp_path / "v.mp4", [(12, [self.CHEWS, self.SPEAKS])], sound=voice)
        assert inside(framed(film, layout=Layout.CROP), [self.SPEAKS]) == 1

    def test_where_nobody_speaks_the_mouth_alone_tells(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(12, [self.CHEWS, self.SPEAKS])])
        assert inside(framed(film, layout=Layout.CROP), [self.CHEWS]) == 1

    def test_a_voice_of_none_of_them_tells_nothing(self, tmp_path, voice):
        steady = replace(self.SPEAKS, when=lambda _time: True)
        film = make_film(tmp_path / "v.mp4", [(12, [self.CHEWS, steady])], sound=voice)
        assert inside(framed(film, layout=Layout.CROP), [self.CHEWS]) == 1

    @pytest.mark.parametrize("name", ["v.mp4", "v.ts"])
    def test_it_is_the_sound_of_the_clip_and_not_of_the_film(self, tmp_path, voice, name):
        late = tmp_path / "late.wav"
        run_ffmpeg("-i", voice, "-af", "adelay=3000", late)
        shots: list[tuple[float, list[Person]]] = [(3, []), (12, [self.CHEWS, self.SPEAKS])]
        film = make_film(tmp_path / name, shots, sound=late)
        spec = RenderSpec(3, 15, Aspect.VERTICAL, 180)
        plan = rendering.plan_render(probing.examine(film, LIMITS), spec, LIMITS)
        found = rendering.frame(film, plan, Layout.CROP, MODEL, LIMITS, lambda _stage, _share: None)
        assert found is not None
        assert inside(found, [self.SPEAKS]) == 1


class TestLayouts:
    def test_a_recorded_screen_is_shown_whole(self, tmp_path):
        film = make_screen(tmp_path / "v.mp4", seconds=4)
        assert framed(film).layout is Layout.FIT

    def test_a_presenter_in_its_corner_changes_nothing(self, tmp_path):
        film = make_screen(tmp_path / "v.mp4", seconds=4, people=[still(560, 280, 80)])
        assert framed(film).layout is Layout.FIT

    def test_an_animated_film_is_no_screen(self):
        assert framed(footage("bbb480.mp4")).layout is Layout.CROP

    def test_a_picture_of_the_same_shape_is_not_looked_at(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(1, [still(20, 60, 200)])])
        (crop,) = framed(film, Aspect.WIDE).crops
        assert (crop.width, crop.height, len(crop.x)) == (1, 1, 1)

    @pytest.mark.parametrize("layout", list(Layout))
    @pytest.mark.parametrize("aspect", [Aspect.VERTICAL, Aspect.SQUARE, Aspect.WIDE, Aspect.SOURCE])
    def test_each_layout_makes_each_shape(self, tmp_path, layout, aspect):
        people = [still(20, 40, 100), still(300, 40, 100)]
        film = make_film(tmp_path / "v.mp4", [(1, people)], size=(426, 240))
        clip = tmp_path / "c.mp4"
        spec = RenderSpec(0, 1, aspect, 98, layout=layout)
        made = operations.render(film, clip, spec, face_model=MODEL)
        assert (made.width, made.height) == rendering.output_size(operations.probe(film), spec)
        assert made.layout == (None if aspect is Aspect.SOURCE else made.layout)
        if layout is not Layout.AUTO and aspect is not Aspect.SOURCE:
            assert made.layout == layout

    def test_the_whole_picture_is_in_the_middle_of_itself_blurred(self, tmp_path):
        film = make_screen(tmp_path / "v.mp4", seconds=1)
        clip = tmp_path / "c.mp4"
        operations.render(film, clip, RenderSpec(0, 1, Aspect.VERTICAL, 180, layout=Layout.FIT))
        picture = next(pictures(clip, (180, 320))).astype(int)
        sharp = np.abs(np.diff(picture[:, :, 1], axis=1)).max(axis=1)
        assert (sharp[115:205] > 60).any()
        assert sharp[:105].max() < 30
        assert sharp[215:].max() < 30


class TestHostile:
    def test_two_hundred_faces(self, tmp_path):
        crowd = [still(x * 64, y * 72, 60) for y in range(10) for x in range(20)]
        film = make_film(tmp_path / "v.mp4", [(1, crowd)], size=(1280, 720))
        clip = tmp_path / "c.mp4"
        spec = RenderSpec(0, 1, Aspect.VERTICAL, 180)
        assert operations.render(film, clip, spec, face_model=MODEL).width == 180

    def test_it_fits_into_a_gigabyte_with_the_model(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(2, [WALKING])])
        limits = replace(LIMITS, memory_bytes=1 << 30)
        spec = RenderSpec(0, 2, Aspect.VERTICAL, 180)
        made = operations.render(film, tmp_path / "c.mp4", spec, face_model=MODEL, limits=limits)
        assert made.layout == Layout.CROP

    def test_a_film_that_breaks_off_is_looked_at_as_far_as_it_goes(self, tmp_path):
        film = make_film(
            tmp_path / "v.mkv", [(6, [still(20, 60, 200)])], options=("-c:v", "mjpeg", "-an")
        )
        content = film.read_bytes()
        film.write_bytes(content[: len(content) // 2])
        examined = probing.examine(film, LIMITS)
        plan = rendering.plan_render(examined, RenderSpec(0, 5, Aspect.VERTICAL, 180), LIMITS)
        found = rendering.frame(film, plan, Layout.AUTO, MODEL, LIMITS, lambda _stage, _share: None)
        assert found is not None
        assert found.crops[0].x[0] * WIDTH < 60

    def test_progress_rises_to_the_end_of_each_stage(self, tmp_path):
        film = make_film(tmp_path / "v.mp4", [(2, [WALKING])])
        noted: list[tuple[str, float]] = []
        spec = RenderSpec(0, 2, Aspect.VERTICAL, 180)
        operations.render(
            film, tmp_path / "c.mp4", spec, on_progress=lambda *event: noted.append(event)
        )
        stages = [stage for stage, _ in noted]
        assert stages == sorted(stages)  # framing, then render
        assert noted[-1] == ("render", 1.0)
        assert ("framing", 1.0) in noted


def pictures(path: Path, size: tuple[int, int]):
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()


def test_a_move_is_drawn_to_the_picture(tmp_path):
    """A white bar that jumps at a cut: the crop that follows it jumps in the same picture."""
    film = make_film(tmp_path / "v.mp4", [(2, [still(20, 60, 180)]), (2, [still(430, 60, 180)])])
    found = framed(film)
    jump = np.flatnonzero(np.diff(found.crops[0].x))
    assert list(jump) == [2 * RATE - 1]
    assert Fraction(RATE) == 25

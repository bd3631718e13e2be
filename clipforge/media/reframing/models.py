"""Where the face model is: a file, or an installed package that carries one.

The package's code is never imported: its files are looked up in the list that was written when it was
installed. The model must be CenterFace (ONNX): its shapes and the meaning of its outputs are known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SUFFIX = ".onnx"


class FaceModelMissing(Exception):
    """There is no such file or package, or no model in it. The message says which."""


@dataclass(frozen=True, slots=True)
class FaceModel:
    """A model on this machine."""

    path: str
    name: str


def find(value: str) -> FaceModel:
    """The model that a setting names: an absolute path of a file, or the name of a package.

    Raises FaceModelMissing.
    """
    if not value.startswith("/"):
        return _in_package(value)
    if not Path(value).is_file():
        raise FaceModelMissing(f"there is no file {value}")
    return FaceModel(value, Path(value).stem)


def _in_package(name: str) -> FaceModel:
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise FaceModelMissing(f"the package {name} is not installed") from None
    for file in package.files or ():
        if file.suffix == SUFFIX:
            path = Path(str(package.locate_file(file))).absolute()
            return FaceModel(find(str(path)).path, f"{name} {package.version}")
    raise FaceModelMissing(f"the package {name} carries no {SUFFIX} file")

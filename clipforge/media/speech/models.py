"""Where a speech model is: a folder, or an installed package that carries one.

The package's code is never imported: its files are looked up in the list that was written when it
was installed. So any package with a Whisper model in the format of CTranslate2 will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

# What faster-whisper reads. Without a tokenizer beside the model it would try to download one.
FILES: Final = ("model.bin", "config.json", "tokenizer.json")


class ModelMissing(Exception):
    """There is no such folder or package, or no model in it. The message says which."""


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A model on this machine. `name` is kept with each transcript.

    `language` is that of the source where somebody said so, as an ISO 639-1 code; else it is guessed.
    """

    folder: str
    name: str
    language: str | None = None


def find(value: str) -> SpeechModel:
    """The model that a setting names: an absolute path of a folder, or the name of a package.

    Raises ModelMissing.
    """
    if not value.startswith("/"):
        return _in_package(value)
    folder = Path(value)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ModelMissing(f"the folder {value} has no {', '.join(missing)}")
    return SpeechModel(value, folder.name)


def _in_package(name: str) -> SpeechModel:
    try:
        package = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        raise ModelMissing(f"the package {name} is not installed") from None
    for file in package.files or ():
        if file.name == FILES[0]:
            folder = Path(str(package.locate_file(file))).parent
            return SpeechModel(find(str(folder.absolute())).folder, f"{name} {package.version}")
    raise ModelMissing(f"the package {name} carries no {FILES[0]}")

"""The sound of a source on disk, while it is being analysed.

Sound is decoded once, for the features and for the words. An hour of it is 115 MB, too much for
memory; the file has no name, and is gone when the process ends, however that happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from clipforge.media import isolation
from clipforge.media.decoding import SAMPLE_BYTES, SAMPLE_RATE

if TYPE_CHECKING:
    from clipforge.media.decoding import Sink
    from clipforge.media.features import Floats


class Spool:
    """Takes raw 16 kHz 16-bit mono, hands it on to `sink`, and keeps it. Close it after use."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._file = isolation.temporary_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def feed(self, data: bytes) -> None:
        self._file.write(data)
        self._sink.feed(data)

    def read(self, start: float, end: float) -> Floats:
        """The samples from `start` to `end` (seconds), as -1..1; fewer where the sound ends."""
        first = round(start * SAMPLE_RATE)
        self._file.seek(first * SAMPLE_BYTES)
        data = self._file.read((round(end * SAMPLE_RATE) - first) * SAMPLE_BYTES)
        whole = len(data) // SAMPLE_BYTES
        return np.frombuffer(data, "<i2", whole).astype(np.float32) / np.float32(32768)

"""Shots so short that nothing of them was looked at."""

from __future__ import annotations

import numpy as np

from clipforge.media import Layout
from clipforge.media.reframing import framing
from clipforge.media.reframing.looking import GRAY_HEIGHT, GRAY_WIDTH, Sample, Seen


def test_a_shot_between_two_samples_is_framed_as_those_beside_it_are():
    columns, rows = np.zeros(GRAY_WIDTH, np.float32), np.zeros(GRAY_HEIGHT, np.float32)
    still = Sample((), columns, rows, screen=False, detailed_columns=columns, detailed_rows=rows)
    # Looked at from 0 s on, twice a second; the second shot is from 0.6 to 0.8 s.
    seen = Seen([still] * 4, cuts=[18, 24], pictures=60)
    found = framing.frame(seen, 30.0, 16 / 9, 9 / 16, Layout.CROP)
    (crop,) = found.crops
    assert len(crop.x) == 60
    assert np.ptp(crop.x) == 0

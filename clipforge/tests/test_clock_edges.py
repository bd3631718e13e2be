"""When a relocated data directory of the embedded servers is forgotten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import time_machine

from clipforge.embedded import programs

NOW = 2_000_000_000


@pytest.mark.parametrize(("older", "is_kept"), [(-1, True), (0, True), (1, False)])
def test_a_lost_data_directory_is_kept_for_a_week(
    older: int, is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(programs, "RELOCATED", tmp_path)
    home = tmp_path / "token"
    home.mkdir()
    (home / "origin").write_text(f"{tmp_path / 'gone'}\nkept")
    (home / "lost").touch()
    lost_at = NOW - programs.FORGOTTEN_SECONDS - older
    os.utime(home / "lost", (lost_at, lost_at))
    with time_machine.travel(NOW, tick=False):
        programs.prune_relocated()
    assert home.exists() is is_kept

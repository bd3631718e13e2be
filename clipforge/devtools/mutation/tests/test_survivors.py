"""A share of all mutants is tried, the same every time; the whole is a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipforge.devtools.mutation.explained import unexplained
from clipforge.devtools.mutation.scope import GROUPS, ROOT
from clipforge.devtools.mutation.session import recorded

SHARE = "0.05"


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("group", GROUPS)
def test_what_survives_is_explained(group: str, tmp_path: Path):
    command = [sys.executable, "-m", "clipforge.devtools.mutation", group]
    options = ["--share", SHARE, "--seed", "1", "--minutes", "10", "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    results = recorded(tmp_path / f"{group}.jsonl")
    assert results, done.stdout[-2000:] + done.stderr[-2000:]
    assert [
        f"{each.outcome}: {each.path}:{each.line} `{each.before}` → `{each.after}`"
        for each in unexplained(results)
    ] == []

"""The page of the edges of clocks names what there is; and the edge of the embedded servers."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest
import time_machine

from clipforge.embedded import programs

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "clipforge/docs/clock_edges.md"
OURS = ("billing", "clipforge", "credits", "exports", "projects")
NOT_THE_PRODUCT = {"tests", "migrations", "devtools"}
NOW = 2_000_000_000


def reads_a_clock(node: ast.AST) -> bool:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id in {"now", "elapsed"}:
            return True
        if isinstance(each, ast.Call):
            name = getattr(each.func, "attr", getattr(each.func, "id", ""))
            if name in {"now", "Now", "monotonic", "clock", "_clock", "time"}:
                return True
    return False


def compares_with_a_clock(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        ordered = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
        return any(isinstance(each, ordered) for each in node.ops) and reads_a_clock(node)
    if isinstance(node, ast.keyword) and node.arg:
        lookup = node.arg.rpartition("__")[2]
        return lookup in {"lt", "lte", "gt", "gte"} and reads_a_clock(node.value)
    return False


def test_every_file_that_compares_with_a_clock_is_on_the_page():
    found = set()
    for path in [path for app in OURS for path in (ROOT / app).rglob("*.py")]:
        if not NOT_THE_PRODUCT & set(path.parts) and any(
            map(compares_with_a_clock, ast.walk(ast.parse(path.read_text())))
        ):
            found.add(str(path.relative_to(ROOT)))
    listed = PAGE.read_text().partition("\n## Where the comparisons are\n")[2]
    assert sorted(re.findall(r"`([\w/]+\.py)`", listed)) == sorted(found)


def test_every_test_on_the_page_exists():
    missing = []
    for row in PAGE.read_text().splitlines():
        path = re.search(r"`([\w/]+/tests/[\w/]+\.py)`", row)
        if path is None:
            continue
        source = (ROOT / path[1]).read_text()
        names = re.findall(r"`(test_\w+)`", row)
        assert names, row
        missing += [name for name in names if f"\ndef {name}(" not in source]
    assert missing == []


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

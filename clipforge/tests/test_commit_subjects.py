"""The subject of a commit names its subsystem first and has at most 72 characters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / ".ci/subjects"
LONG = "jobs: " + "x" * 66  # 72 characters


def check(folder: Path, *arguments: str, since: str = "") -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "SUBJECTS_SINCE": since, "LANG": "C.UTF-8"}
    done = subprocess.run(
        [str(SCRIPT), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def message_is_accepted(folder: Path, text: str) -> bool:
    (folder / "message").write_text(text)
    return check(folder, "message")[0] == 0


@pytest.mark.parametrize(
    "subject",
    [
        "jobs: register a kind once",
        "billing, credits: say it in €",
        LONG,
        "Merge branch 'h-jobs'",
        'Revert "Something of old"',
    ],
)
def test_a_subject_with_its_subsystem_is_accepted(tmp_path: Path, subject: str):
    assert message_is_accepted(tmp_path, f"# a comment\n{subject}\n\nThe reason, {'long ' * 30}\n")


@pytest.mark.parametrize("subject", [f"{LONG}x", "Register a kind once", "jobs:", "", "Jobs: do"])
def test_a_subject_without_subsystem_or_too_long_is_refused(tmp_path: Path, subject: str):
    assert not message_is_accepted(tmp_path, f"{subject}\n\njobs: in the body\n")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments],  # noqa: S607 - whichever git made this checkout
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "commit", "-q", "--allow-empty", "--no-verify", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def test_commits_are_judged_since_the_rule_began(tmp_path: Path):
    git(tmp_path, "init", "-q")
    commit(tmp_path, "An old subject without a subsystem")
    since = commit(tmp_path, "Another")
    commit(tmp_path, "jobs: register a kind once")
    assert check(tmp_path, since=since) == (0, "")
    commit(tmp_path, "A new one without")
    code, printed = check(tmp_path, since=since)
    assert (code, "A new one without" in printed, "old subject" in printed) == (1, True, False)


@pytest.mark.parametrize("how", ["no repository", "another history", "a shallow clone"])
def test_nothing_is_judged_where_the_beginning_is_unknown(tmp_path: Path, how: str):
    since = "0" * 39 + "1"
    folder = tmp_path
    if how != "no repository":
        git(tmp_path, "init", "-q")
        since = commit(tmp_path, "The first") if how == "a shallow clone" else since
        commit(tmp_path, "Without a subsystem")
    if how == "a shallow clone":
        folder = tmp_path / "clone"
        git(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path}", str(folder))
    code, printed = check(folder, since=since)
    assert (code, "are not checked" in printed) == (0, True)

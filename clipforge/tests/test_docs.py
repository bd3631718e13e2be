"""README.md tells the truth: every command, variable and package is in it, and nothing else."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
OURS = ("clipforge", "projects", "credits", "exports", "billing")


def section(title: str) -> str:
    start = README.index(f"\n## {title}\n")
    end = README.find("\n## ", start + 1)
    return README[start : end if end != -1 else None]


def first_column(text: str) -> set[str]:
    """Every `code` in the first column of the tables of a section."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row)}


def test_every_command_is_in_the_operations_table():
    ours = {name for name, app in get_commands().items() if app.startswith(OURS)}
    documented = {entry.split()[0] for entry in first_column(section("Operations"))}
    assert documented == ours


def test_every_command_says_what_it_does():
    for name, app in get_commands().items():
        if app.startswith(OURS):
            command = importlib.import_module(f"{app}.management.commands.{name}").Command
            assert len(command.help) > 30, name


def test_every_variable_is_in_the_configuration_table():
    sources = [
        "clipforge/settings.py",
        "clipforge/deploy/gunicorn.conf.py",
        "clipforge/media/ffmpeg.py",
    ]
    text = "".join((ROOT / source).read_text() for source in sources)
    read = set(re.findall(r'(?:env\w*|secret|environ\.get)\(\s*"([A-Z_]+)"', text))
    assert len(read) > 20
    assert first_column(section("Configuration")) - {".clipforge/media", ".clipforge"} == read


def test_every_package_has_a_reason():
    pinned = re.findall(r"^([\w.\[\]-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    table = section("Dependencies")
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")][2:]
    named = {name.strip() for row in rows for name in row.split(",")}
    assert named == set(pinned)


def test_the_compose_file_asks_only_for_what_the_example_names():
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()
    assert asked <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


@pytest.mark.parametrize("link", re.findall(r"\]\(#([\w-]+)\)", README))
def test_links_inside_the_readme_lead_somewhere(link: str):
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    assert link in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}


def test_files_that_are_named_exist():
    names = set(re.findall(r"`((?:clipforge|projects|credits|exports)/[\w./-]+)`", README))
    assert len(names) > 8
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


def test_nothing_names_a_path_outside_the_project():
    tracked = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - whichever git made this checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    words = ["/" + "root/.pyenv", "DES" + "IGN", "research" + " notes"]
    # From the root only: a folder of the project is called so too.
    forbidden = re.compile("|".join([r"(?<![\w.])/" + "work/", *map(re.escape, words)]))
    offenders = [
        path
        for path in tracked
        if (ROOT / path).is_file() and forbidden.search((ROOT / path).read_text(errors="replace"))
    ]
    assert offenders == []


def test_the_readme_opens_with_the_two_commands():
    commands = re.findall(r"<!-- (\w+) command -->\n```\n(.+)\n```", README)
    setup = (
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/python"
    )
    assert commands == [
        ("demo", f"{setup} manage.py demo"),
        ("test", f"{setup} -m pytest -n 2 --dist loadfile"),
    ]


def test_every_test_that_the_security_table_names_exists():
    text = (ROOT / "clipforge/docs/security.md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ ", line)]
    assert len(rows) == 10
    for row in rows:
        named = re.findall(r"`([\w./]+\.py|\.ci/run)`", row.split("|")[4])
        assert named, row
        assert [name for name in named if not (ROOT / name).exists()] == []

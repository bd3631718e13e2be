"""README.md and the pages under clipforge/docs tell the truth.

Every command, option, variable and package is described, and nothing that does not exist. What the
pages print as a command is run in test_docs_run.py.
"""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin import site
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.utils.text import capfirst

from clipforge.orgs.models import TierLimits
from clipforge.staff.roles import ROLES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "clipforge/docs"
README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
OURS = ("clipforge", "projects", "credits", "exports", "billing")
# Comment above it, language, content.
FENCE = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
# Options that every command of Django has.
COMMON = {action.dest for action in BaseCommand().create_parser("", "")._actions}


def page(name: str) -> str:
    return (DOCS / name).read_text()


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rows(text: str) -> list[list[str]]:
    """The cells of each table row of a text, without headings."""
    lines = text.splitlines()
    found = []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not after.startswith("|---") and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def first_column(text: str) -> set[str]:
    """Every `code` in the first column of the tables of a text."""
    return {code for row in rows(text) for code in codes(row[0])}


def our_commands() -> dict[str, str]:
    return {name: app for name, app in get_commands().items() if app.startswith(OURS)}


# --- the README ----------------------------------------------------------------------


def test_the_readme_is_short():
    assert len(README.read_text().split()) <= 1300


def test_the_readme_opens_with_the_two_commands():
    commands = re.findall(r"<!-- (\w+) command -->\n```\n(.+)\n```", README.read_text())
    setup = (
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/python"
    )
    assert commands == [
        ("demo", f"{setup} manage.py demo"),
        ("test", f"{setup} -m pytest -n 2 --dist loadfile"),
    ]


def test_every_package_has_a_reason():
    pinned = re.findall(r"^([\w.\[\]-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    table = README.read_text().partition("\n## Dependencies\n")[2]
    named = [name.strip() for row in rows(table) for name in row[0].split(",")]
    assert sorted(named) == sorted(pinned)
    assert [row for row in rows(table) if len(row) != 2 or not row[1]] == []


# --- commands ------------------------------------------------------------------------


def test_every_command_is_in_the_operations_page():
    documented = {entry.split()[0] for entry in first_column(page("operations.md"))}
    assert documented == set(our_commands())


def test_every_option_of_a_command_is_in_the_operations_page():
    """In brackets where it may be left out, without where it may not.

    `--json` is described once for all, and what all commands share that leave an audit entry.
    """
    documented: dict[str, tuple[set[str], set[str]]] = {}
    for entry in first_column(page("operations.md")):
        optional, required = documented.setdefault(entry.split()[0], (set(), set()))
        optional |= {each for part in re.findall(r"\[[^]]*\]", entry) for each in _options(part)}
        required |= _options(re.sub(r"\[[^]]*\]", "", entry))
    sharing: dict[str, set[str]] = {"operator": set(), "dry_run": set()}
    for name, app in our_commands().items():
        actions = [
            action
            for action in load_command_class(app, name).create_parser("", name)._actions
            if action.option_strings and action.dest not in {*COMMON, "json"}
        ]
        dests = {action.dest for action in actions}
        for dest in sharing.keys() & dests:
            sharing[dest].add(name)
        shared = {"dry_run", "operator"} | ({"reason"} if "operator" in dests else set())
        actions = [each for each in actions if each.required or each.dest not in shared]
        optional = {action.option_strings[-1] for action in actions if not action.required}
        required = {action.option_strings[-1] for action in actions if action.required}
        assert documented[name] == (optional, required), name
    for dest, names in sharing.items():
        marker = f"<!-- commands with --{dest.replace('_', '-')} -->\n"
        told = page("operations.md").partition(marker)[2].partition(" take ")[0]
        assert {code.split()[0] for code in codes(told)} == names


def _options(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", text))


def test_every_command_says_what_it_does():
    for name, app in our_commands().items():
        assert len(load_command_class(app, name).help) > 30, name


def _printed_commands(text: str) -> list[str]:
    """The text after each `manage.py` on a page, in a fence or in a sentence."""
    fences = "".join(content for _, language, content in FENCE.findall(text) if language != "text")
    in_fences = re.findall(r"manage\.py +(.*)", fences)
    in_sentences = [code.partition("manage.py ")[2] for code in codes(text) if "manage.py " in code]
    return [*in_fences, *in_sentences]


def test_every_printed_command_is_accepted_by_its_parser(capsys):
    parsed = 0
    for path in PAGES:
        for line in _printed_commands(path.read_text()):
            name, *arguments = shlex.split(line, comments=True)
            parser = load_command_class(get_commands()[name], name).create_parser("", name)
            try:
                parser.parse_args(arguments)
            except SystemExit:
                pytest.fail(f"{label(path)}: manage.py {line}: {capsys.readouterr().err}")
            parsed += 1
    assert parsed > 20


def test_every_module_that_is_named_exists():
    named = {
        name
        for path in PAGES
        for code in [*codes(path.read_text()), *re.findall(r"-m (\S+)", path.read_text())]
        for name in re.findall(r"^(?:python -m )?(clipforge(?:\.\w+)+)(?= |$)", code)
    }
    assert len(named) > 10
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_fence_says_how_it_was_tested(path: Path):
    """A drawing is `text`. Commands are run by a test, or the page says why not."""
    text = path.read_text()
    fences = FENCE.findall(text)
    assert len(fences) * 2 == text.count("```")
    for marker, language, content in fences:
        if language == "text":
            assert not marker, content
        else:
            allowed = r"run|not run: .{20,}|demo command|test command|five calls|run by the tests of the SDK"
            assert re.fullmatch(allowed, marker), (marker, content)


# --- configuration -------------------------------------------------------------------


def variables_that_are_read() -> set[str]:
    sources = [
        "clipforge/settings.py",
        "clipforge/deploy/gunicorn.conf.py",
        "clipforge/media/ffmpeg.py",
    ]
    text = "".join((ROOT / source).read_text() for source in sources)
    return set(re.findall(r'(?:env\w*|secret|environ\.get)\(\s*"([A-Z_]+)"', text))


def test_every_variable_is_in_the_configuration_page():
    read = variables_that_are_read()
    assert len(read) > 20
    assert first_column(page("configuration.md")) == read


def test_every_variable_that_a_page_names_is_read():
    named = {
        (label(path), code)
        for path in PAGES
        for code in codes(path.read_text())
        if re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", code)
    }
    # Read by others than the service: a library, the SDKs of the customers, and Docker.
    libraries = {"IGNORE_EXCEPTIONS", "CLIPFORGE_API_KEY", "CLIPFORGE_URL", "TLS_FOLDER"}
    libraries |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    libraries |= {"BACKUP_FOLDER", "DATABASE_POOLER_URL", "POOL_SIZE"}
    assert len(named) > 30
    unknown = {each for each in named if each[1] not in {*variables_that_are_read(), *libraries}}
    assert unknown == set()


def test_the_compose_file_asks_only_for_what_the_example_names():
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / ".env.example").read_text()
    assert asked <= set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


# --- links and names -----------------------------------------------------------------


def links(path: Path) -> list[tuple[str, str]]:
    """(file, anchor) of every link of a page that stays in the project."""
    found = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", path.read_text())
    return [(file, anchor) for file, anchor in found if not file.startswith("https:")]


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_links_lead_somewhere(path: Path):
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.is_file(), file
        assert not anchor or anchor in anchors(target), (file, anchor)


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = {README}, [README]
    while waiting:
        path = waiting.pop()
        for file, _ in links(path):
            target = (path.parent / file).resolve()
            if target not in reached and target.suffix == ".md":
                reached.add(target)
                waiting.append(target)
    everything = {path for path in DOCS.rglob("*") if path.is_file()}
    assert everything - reached == set()


def test_files_that_are_named_exist():
    roots = "clipforge|projects|credits|exports|billing|locustfiles"
    names = {
        (label(path), name)
        for path in PAGES
        for code in codes(path.read_text())
        for name in re.findall(
            rf"^((?:{roots})/[\w./-]*|\.\w[\w.-]*/?\w*|[\w-]+\.(?:txt|yml))$", code
        )
        if not name.startswith(".clipforge")
    }
    assert len(names) > 30
    assert [each for each in sorted(names) if not (ROOT / each[1]).exists()] == []


def test_nothing_names_a_path_outside_the_project():
    tracked = subprocess.run(
        ["git", "ls-files"],  # noqa: S607 - whichever git made this checkout
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    machine = ["/" + "work/", "/" + "root/.pyenv"]  # but not a folder of ours: staff/work/
    forbidden = re.compile(
        "|".join([*(rf"(?<!\w){each}" for each in machine), "DES" + "IGN", "research" + " notes"])
    )
    offenders = [
        path
        for path in tracked
        if (ROOT / path).is_file() and forbidden.search((ROOT / path).read_text(errors="replace"))
    ]
    assert offenders == []


# --- single pages --------------------------------------------------------------------


@pytest.mark.django_db
def test_the_limits_of_the_api_page_are_those_of_the_tiers():
    table = page("api.md").partition("| a minute |")[2].partition("\n\n")[0]
    heading, _, *lines = table.splitlines()
    tiers = [cell.strip() for cell in heading.strip("|").split("|")]
    shown = {
        tier: tuple(int(line.strip("|").split("|")[column].strip()) for line in lines)
        for column, tier in enumerate(tiers, start=1)
    }
    fields = [
        *("requests_per_minute", "uploads_per_minute", "exports_per_minute"),
        *("concurrent_jobs", "queued_jobs"),
    ]
    assert shown == {row[0]: row[1:] for row in TierLimits.objects.values_list("tier", *fields)}


def test_the_groups_of_the_staff_page_are_those_of_the_site():
    table = page("staff.md").partition("| group | may |")[2]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:] if "|" in line] == [
        *ROLES
    ]


def test_what_the_staff_page_names_is_on_a_page_of_the_site():
    """*Users → Add* is made by Django of our names; all other words are in our templates or code."""
    sources = "".join(
        path.read_text()
        for app in (
            "clipforge/staff",
            "clipforge/orgs",
            "clipforge/jobs",
            "credits",
            "billing",
            "projects",
            "exports",
        )
        for path in sorted((ROOT / app).rglob("*"))
        if path.suffix in {".html", ".py"} and "tests" not in path.parts
    )
    named = {
        part
        for each in re.findall(r"(?<![\w*])\*([A-Z][^*\n]*)\*", page("staff.md"))
        for part in each.split(" → ")
    }
    assert len(named) > 15
    of_django = {"Add"} | {capfirst(model._meta.verbose_name_plural) for model in site._registry}
    assert {
        each for each in named - of_django if not re.search(rf'[>"]{each}[<" ]', sources)
    } == set()


def test_the_layers_of_the_architecture_page_are_those_that_are_held():
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    held = contracts["importlinter:contract:apps"]["layers"].strip().splitlines()
    table = page("architecture.md").partition("<!-- layers -->")[2].partition("\n\n")[0]
    shown = [codes(row[0]) for row in rows(table)]
    assert shown == [line.strip().split(" | ") for line in held]


def test_every_test_that_the_security_page_names_exists():
    cells = [row for row in rows(page("security.md")) if len(row) > 2]
    assert len([row for row in cells if re.match(r"\d+ ", row[0])]) == 10
    assert len(cells) > 20
    for row in cells:
        named = re.findall(r"`([\w./]+\.py|\.ci/run)`", row[-1])
        assert named, row
        assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", DECISIONS, ids=label)
def test_a_decision_says_what_was_rejected_and_what_was_measured(path: Path):
    text = path.read_text()
    number = int(path.name[:2])
    assert re.match(rf"# {number}\. \S", text)
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Rejected", "Measured"]
    rejected = text.partition("## Rejected\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^- \*\*", rejected, re.MULTILINE)) >= 3
    assert re.search(r"\d", text.partition("## Measured\n")[2])


def test_the_index_of_decisions_has_each_with_its_title():
    index = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", page("decisions/README.md"), re.M)
    titles = [path.read_text().splitlines()[0].removeprefix("# ") for path in DECISIONS]
    assert [f"{number}. {title}" for number, title, _ in index] == titles
    assert [file for _, _, file in index] == [path.name for path in DECISIONS]
    assert [int(number) for number, _, _ in index] == list(range(1, len(DECISIONS) + 1))


def test_the_changelog_has_the_newest_first_and_names_the_version_of_the_api():
    text = page("CHANGELOG.md")
    first, *releases = re.findall(r"^## \[(.+)\]$", text, re.MULTILINE)
    assert first == "Unreleased"
    assert releases == sorted(releases, reverse=True)
    assert all(re.fullmatch(r"\d{4}\.\d\d\.\d\d", release) for release in releases)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
    assert f"a version of its own, {settings.SPECTACULAR_SETTINGS['VERSION']}," in " ".join(
        text.split()
    )

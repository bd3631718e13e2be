"""Rules and dashboard: every metric that they name is exported, and every link leads into the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from clipforge.common import telemetry
from clipforge.staff.watching import figures
from credits.models import LedgerCheck

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "clipforge/deploy/monitoring"
PROMTOOL = shutil.which("promtool")


def expressions() -> list[str]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


@pytest.mark.django_db
def test_every_metric_that_is_named_is_exported_and_nearly_every_one_is_shown():
    LedgerCheck.objects.create(seconds=1, breaches=0, actor="test")
    recorded = telemetry.Recorder(registry := CollectorRegistry())
    recorded.request("GET", "projects", 200, 0.1)
    recorded.job("project", "READY", 1)
    recorded.counted({"cache|a|hit": 1, "requests|PRO|passed": 1, "sql|3": 1})
    recorded.redis_failed()
    exported = {family.name for family in [*registry.collect(), *figures.read()]}
    named = {
        re.sub(r"_(total|count|sum|bucket)$", "", name)
        for expression in expressions()
        for name in re.findall(r"\bclipforge_\w+", expression)
    }
    assert named - exported == set()
    assert exported - named == set()


def test_every_rule_links_to_a_heading_of_the_runbook_and_every_heading_has_its_rule():
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    links = [rule["annotations"]["runbook_url"] for rule in rules]
    page, headings = "clipforge/docs/runbook.md", set()
    for link in links:
        assert link.startswith(page)
        if anchor := link.partition("#")[2]:
            headings.add(anchor)
    assert headings == set(re.findall(r"^## (\S+)$", (ROOT / page).read_text(), re.MULTILINE))


def test_each_heading_of_the_runbook_has_three_commands():
    text = (ROOT / "clipforge/docs/runbook.md").read_text()
    for part in text.split("\n## ")[1:]:
        fence = part.partition("```bash\n")[2].partition("\n```")[0]
        assert len(fence.splitlines()) == 3, part


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, which Debian's prometheus has")
@pytest.mark.parametrize(
    "command",
    [
        "check rules alerts.yml",
        "test rules alerts.test.yml",
        "check config prometheus.yml",
    ],
)
def test_promtool_accepts_rules_and_configuration(command: str):
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *command.split()], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

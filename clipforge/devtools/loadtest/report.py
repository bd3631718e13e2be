"""The report: one HTML file beside locust's own."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from clipforge.devtools.loadtest.targets import Target

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0 0 2rem; width: 100%; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; }
td.number { font-variant-numeric: tabular-nums; text-align: right; }
.passed { color: #07662b; } .failed { color: #b00020; font-weight: 600; }
iframe { border: 1px solid #ddd; height: 60rem; width: 100%; }
"""

Row = Iterable[Any]


def html(title: str, found: list[Target], result: dict[str, Any]) -> str:
    stages, machine = result["stages"], result["machine"]
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>{STYLE}</style><h1>{escape(title)}</h1>",
            _targets(found),
            "<h2>Endpoints, by stage</h2><p>Milliseconds. What was throttled has rows of its own.</p>",
            _table(
                ["users", "endpoint", "requests", "p50", "p95", "p99", "max"], _endpoints(stages)
            ),
            "<h2>Stages</h2>",
            _table(
                ["users", "seconds", "requests", "per second", "429", "failed"], _stages(stages)
            ),
            "<h2>Cache</h2>",
            _table(
                ["family", "hits", "misses", "errors", "refused", "hit rate", "to fill, ms"],
                [[name, *row.values()] for name, row in result["cache"].items()],
            ),
            "<h2>Pages</h2>",
            _table(["page", "seconds"], result["pages"].items()),
            "<h2>The machine</h2>",
            _table(["what", "measured"], machine.items()),
            "<h2>locust</h2>",
            '<p><a href="locust.html">On a page of its own</a></p>',
            '<iframe src="locust.html" title="locust"></iframe></html>',
        ]
    )


def _targets(found: list[Target]) -> str:
    lines = [
        f"<tr><td>{escape(each.what)}<td>{escape(each.required)}<td>{escape(each.measured)}"
        f'<td class="{_word(each)}">{_word(each)}'
        for each in found
    ]
    head = "<tr><th>target<th>required<th>measured<th>"
    return f"<table>{head}{''.join(lines)}</table>"


def _word(target: Target) -> str:
    return {True: "passed", False: "failed", None: "–"}[target.passed]


def _endpoints(stages: list[dict[str, Any]]) -> list[Row]:
    return [
        [stage["users"], name, *row.values()]
        for stage in stages
        for name, row in {"all": stage["all"], **stage["endpoints"]}.items()
    ]


def _stages(stages: list[dict[str, Any]]) -> list[Row]:
    columns = ("users", "seconds", "requests", "per_second", "throttled", "failed")
    return [[stage[column] for column in columns] for stage in stages]


def _table(head: list[str], rows: Iterable[Row]) -> str:
    lines = ["<tr>" + "".join(_cell(value) for value in row) for row in rows]
    return f"<table><tr><th>{'<th>'.join(head)}{''.join(lines)}</table>"


def _cell(value: Any) -> str:
    return (
        f'<td class="number">{value}'
        if isinstance(value, int | float)
        else f"<td>{escape(str(value))}"
    )

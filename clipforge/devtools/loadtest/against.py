"""The load test of this tree beside that of another revision: in turn, each with servers of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipforge import embedded
from clipforge.common.errors import BadRequest
from clipforge.devtools.loadtest import trees

NOW = "now"
COST = "web CPU, ms a request"
# Each side starts its own.
SERVERS = ("DATABASE_URL", "REDIS_URL")


def beside(revision: str, *, users: str, stage: str, rounds: int) -> dict[str, dict[str, Any]]:
    """The medians of either side, by `now` and the revision. Raises BadRequest for one that fails."""
    if not trees.is_revision(revision):
        raise BadRequest(f"{revision} is no revision of this tree.")
    with trees.tree_of(revision) as tree, tempfile.TemporaryDirectory(prefix="cf-") as folder:
        roots = {NOW: trees.ROOT, revision: tree}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in roots}
        try:
            for _ in range(rounds):
                for name, root in roots.items():
                    data = Path(folder, "now" if name == NOW else "then")
                    found[name].append(_run(root, data, users=users, stage=stage))
        finally:
            for data in Path(folder).iterdir():
                embedded.wait_stopped(data)
    return {name: medians(results) for name, results in found.items()}


def ratios(sides: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Of each figure that has one, now to then."""
    now, then = sides.values()
    return {name: round(now[name] / then[name], 2) for name in now if then[name]}


def _run(root: Path, data: Path, *, users: str, stage: str) -> dict[str, Any]:
    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "loadtest", "--users", users, "--stage", stage),
            *("--out", str(data / "loadtest"), "--json", "--keep-going"),
        ],
        cwd=root,
        env={
            **{name: value for name, value in os.environ.items() if name not in SERVERS},
            "CLIPFORGE_DATA": str(data),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BadRequest(f"{root} cannot be loaded: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def medians(results: list[dict[str, Any]]) -> dict[str, Any]:
    last = [result["stages"][-1] for result in results]
    return {
        COST: statistics.median(result["machine"][COST] for result in results),
        **{
            f"{name} ms": statistics.median(stage["all"][name] for stage in last)
            for name in ("p50", "p95", "p99")
        },
        "slowest endpoint's p95 ms": statistics.median(
            max(each["p95"] for each in stage["endpoints"].values()) for stage in last
        ),
        "failed": sum(stage["failed"] for result in results for stage in result["stages"]),
        "requests": sum(stage["requests"] for result in results for stage in result["stages"]),
    }

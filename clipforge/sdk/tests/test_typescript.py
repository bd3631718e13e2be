"""The TypeScript SDK: its own tests pass, and the package has what it needs and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from clipforge.devtools.testing import node

pytestmark = node.needs_packages_of(node.SDK)

# What must not compile: each line has a fault of its own.
FAULTS = """
import { Client } from "clipforge-sdk";
const client = new Client();
await client.createExport({ moment: "m", aspect: "4:3" });
await client.createExport({ moment: "m", captoins: "plain" });
await client.getProject();
(await client.getBalance()).spendable;
for (const each of client.listProjects()) each;
""".strip()


def test_its_tests_pass(tmp_path: Path):
    built = node.run("tsc", "--project", "tsconfig.test.json", folder=node.SDK)
    assert built.returncode == 0, built.stdout
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec", "build/test/"],  # noqa: S607 - of the system
        cwd=node.SDK,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.findall(r"pass (\d+)", done.stdout)[0]) >= 30


def test_the_package_is_strictly_typed_and_has_no_tests(tmp_path: Path):
    consumer = node.consumer_of_the_sdk(tmp_path)
    package = consumer / "node_modules/clipforge-sdk"
    files = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {"README.md", "dist/index.js", "dist/index.d.ts", "dist/node.js"} <= files
    assert [name for name in files if "test" in name or name.startswith("src")] == []
    (consumer / "faults.ts").write_text(FAULTS)
    checked = node.run("tsc", "--project", str(consumer), "--noEmit", folder=node.SDK)
    lines = {int(each) for each in re.findall(r"faults\.ts\((\d+),", checked.stdout)}
    assert lines == {3, 4, 5, 6, 7}, checked.stdout
    assert "node_modules" not in checked.stdout


def test_the_version_is_said_once():
    version = json.loads((node.SDK / "package.json").read_text())["version"]
    assert f'"{version}"' in (node.SDK / "src/version.ts").read_text()

"""The manifests for Kubernetes: valid by its schemas, bounded, probed, and with the commands that tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from clipforge.stack import web_command, worker_command

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
FILES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
RESOURCES: list[dict[str, Any]] = [
    resource for path in FILES for resource in yaml.safe_load_all(path.read_text())
]
NAMES = [f"{resource['kind']} {resource['metadata']['name']}" for resource in RESOURCES]


def of(kind: str, name: str) -> dict[str, Any]:
    return RESOURCES[NAMES.index(f"{kind} {name}")]


def pods() -> dict[str, dict[str, Any]]:
    found = {}
    for resource in RESOURCES:
        spec = resource.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[resource["metadata"]["name"]] = spec["template"]["spec"]
    return found


@pytest.mark.parametrize("version", ["1.31", "1.37"])
@pytest.mark.parametrize("number", range(len(RESOURCES)), ids=NAMES)
def test_each_resource_is_valid_and_says_nothing_that_is_not_known(number: int, version: str):
    kubernetes_validate.validate(RESOURCES[number], version, strict=True)


def test_the_kustomization_has_every_file_and_the_script_that_it_reads():
    assert sorted(KUSTOMIZATION["resources"]) == [f"kubernetes/{path.name}" for path in FILES]
    (script,) = KUSTOMIZATION["configMapGenerator"][0]["files"]
    assert (DEPLOY / script).is_file()


def test_every_pod_is_bounded_and_may_do_nothing_but_its_work():
    assert len(pods()) == 6
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_what_runs_on_is_probed_and_gets_the_time_that_it_takes_to_stop():
    for name in ("web", "worker", "watch", "pgbouncer"):
        (container,) = pods()[name]["containers"]
        assert "livenessProbe" in container, name
    assert pods()["web"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert pods()["web"]["containers"][0]["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert pods()["web"]["terminationGracePeriodSeconds"] == 60
    assert pods()["worker"]["terminationGracePeriodSeconds"] == 60
    for name in ("web", "worker", "pgbouncer"):
        assert of("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_the_containers_run_the_commands_that_the_tests_run():
    commands = {name: pod["containers"][0].get("command") for name, pod in pods().items()}
    assert commands["web"] == ["python", *web_command()[1:]]
    assert commands["worker"] == ["python", *worker_command(1)[1:]]


def test_workers_scale_by_the_age_of_the_queue_which_watch_exports():
    (metric,) = of("HorizontalPodAutoscaler", "worker")["spec"]["metrics"]
    name = metric["external"]["metric"]["name"]
    figures = Path(__file__).resolve().parents[1] / "staff/watching/figures.py"
    assert f'"{name}"' in figures.read_text()

"""The analysis of a project as a kind of job."""

from __future__ import annotations

from clipforge.jobs import kinds, registry
from clipforge.jobs.kinds import Fact, JobFiles, JobKind, Preparation, StaffView
from projects import analysing, failures, importing
from projects.events import source_expiring
from projects.models import Project, Upload
from projects.pricing import analysis_charge


def _is_needed(project: Project) -> bool:
    answers = source_expiring.send(sender=Project, project=project)
    return any(needed for _, needed in answers)


ANALYSIS = JobKind(
    model=Project,
    queue="analysis",
    task="projects.analyse",
    argument="project_id",
    maintenance="projects",
    run=analysing.run,
    price=lambda project: analysis_charge(project.duration),
    reason=lambda project: f"Analysis of {project.title}",
    preparation=Preparation(
        queue="imports",
        task="projects.import",
        is_due=importing.is_due,
        run=importing.run,
    ),
    errors=failures.failure_of,
    error_codes=failures.ERROR_CODES,
    files=JobFiles(
        area="projects",
        orphans_at=17,
        label="sources",
        key="source_key",
        is_needed=_is_needed,
    ),
    # Of one that was never imported, where it will be.
    input_key=lambda project: project.source_key or importing.key_to_be(project),
    input_lost=frozenset({failures.SOURCE_MISSING.code}),
    # What was not imported yet may be another file by the next time.
    is_lasting=lambda project: bool(project.source_key) and project.error_code in failures.LASTING,
    staff=StaffView(
        title="Analyses",
        facts={"title": Fact("title"), "length": Fact("duration", is_seconds=True)},
        event="Uploaded ‘{title}’, {length} long",
        columns={"Title": "{title}", "Length": "{length}"},
        search_field="title",
    ),
)


def register() -> None:
    registry.register(ANALYSIS)
    kinds.add_storing(Upload)

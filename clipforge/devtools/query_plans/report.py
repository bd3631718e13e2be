"""All pages, measured and judged."""

from __future__ import annotations

from dataclasses import dataclass

from clipforge.devtools.query_plans.budgets import Budget, faults
from clipforge.devtools.query_plans.explain import Cost, captured, cost_of
from clipforge.devtools.query_plans.subjects import Page

# What the product was promised to have, and the index that is it, or begins with it.
PROMISED = {
    "Project created_at": "projects_project_newest",
    "Project (org, status)": "projects_project_status_newest",
    "Project (org, created_at)": "projects_project_org_created",
    "Moment project": "projects_moment_project",
    "Moment (project, score)": "projects_moment_project_score",
    "CreditTransaction (org, created_at)": "credits_transaction_newest",
    "CreditTransaction (org, type)": "credits_transaction_amounts",
    "Export (project, status)": "exports_project_status_newest",
    "Export created_at": "exports_export_newest",
}


@dataclass(frozen=True)
class Finding:
    page: str
    place: str
    cost: Cost
    budget: Budget
    faults: list[str]


def measure(page: Page) -> Finding:
    """Run the page, and then each of its statements explained."""
    with captured() as statements:
        page.run()
    cost = cost_of(statements)
    return Finding(page.name, page.place, cost, page.budget, faults(cost, page.budget))


def unused(findings: list[Finding]) -> list[str]:
    """Of the promised indexes, those that no page used."""
    used = set().union(*(finding.cost.indexes for finding in findings))
    return [f"{what}: {name}" for what, name in PROMISED.items() if name not in used]

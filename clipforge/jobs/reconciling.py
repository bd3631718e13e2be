"""The eighth invariant of the ledger: a job says of its cost what its hold says."""

from __future__ import annotations

from django.db.models import F
from django.db.models.functions import Coalesce

from clipforge.jobs.kinds import all_kinds
from clipforge.orgs.models import Organization
from credits import invariants, reconciling
from credits.invariants import Breach


@reconciling.register_check
def charged_otherwise(org: Organization | None = None) -> list[Breach]:
    """Rows that say something else about what they cost than their hold. The eighth invariant."""
    found = []
    for kind in all_kinds():
        rows = kind.model._default_manager.annotate(captured=Coalesce("hold__captured", 0))
        if org is not None:
            rows = rows.filter(org=org)
        wrong = rows.exclude(charged=F("captured")).only("org_id", "charged")
        for row in wrong[: invariants.MOST_BREACHES]:
            says = f"{kind.name} {row.pk}: charged is {row.charged}"
            found.append(Breach(8, row.org_id, f"{says} but its hold captured {row.captured}"))
    return found

"""What is kept of moments: the pages of the list of each project, see `kept_pages`.

projects:moments:<project>:<organization>:pages
"""

from __future__ import annotations

import uuid

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.kept_pages import this_transaction
from projects.models import Project


def moments_family(project_id: uuid.UUID) -> str:
    """Of the pages of the moments of a project: their key is this and its organization."""
    return f"projects:moments:{project_id}"


def moments_changed(project: Project) -> None:
    """Forget the lists of its moments. Call in the transaction that changes them, or deletes the project."""
    key = f"{moments_family(project.pk)}:{project.org_id}"
    default_cache().invalidate(key, this_transaction() + 1)

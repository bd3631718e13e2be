"""The cache of moments: the pages of the list of each project, see `kept_pages`.

projects:moments:<project>:<organization>:pages
"""

from __future__ import annotations

import uuid

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.kept_pages import this_transaction
from clipforge.common.cache.versioned_cache import FLOOR_MS
from projects.models import Project

# They are changed by the customer alone, once they are chosen: asked for again and again, and the same. As
# long as a floor lives.
MOMENTS_SECONDS = FLOOR_MS / 1000
# Above the number of any transaction, and exact where numbers are floats: nothing is kept any more.
GONE = 2**53 - 1


def moments_family(project_id: uuid.UUID) -> str:
    """Of the pages of the moments of a project: their key is this and its organization."""
    return f"projects:moments:{project_id}"


def moments_changed(project: Project) -> None:
    """Forget the lists of its moments. Call in the transaction that changes them."""
    default_cache().invalidate(_key(project), this_transaction() + 1)


def moments_going(project: Project) -> None:
    """The same where the project goes, with all of them: call in the transaction that deletes it."""
    default_cache().invalidate(_key(project), GONE)


def _key(project: Project) -> str:
    return f"{moments_family(project.pk)}:{project.org_id}"

"""What the end of a job was: each way in which it can go wrong, settled."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from clipforge.common.errors import StorageFull
from clipforge.common.failure_excerpt import safe_traceback
from clipforge.jobs.failures import (
    DATABASE_FAULTS,
    HOLD_LAPSED,
    INTERNAL_ERROR,
    STORAGE_FULL,
    HoldLost,
)
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.lifecycle import ACTOR, Defer, fail, hand_back
from clipforge.jobs.models import Job
from clipforge.media import ErrorCode, MediaError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def settle_outcome(item: Job, watch: Heartbeat, *, defer: Defer) -> Iterator[None]:
    """Turn whatever goes wrong inside into the end that it deserves.

    Refused or impossible: FAILED with the code of the media code. This worker has to stop: handed
    back. A fault of ours: FAILED as `internal_error`. A fault of the database is raised: the lease
    lapses, and the sweeper gives the work to another worker.
    """
    try:
        yield
    except MediaError as error:
        if error.code is not ErrorCode.CANCELLED:
            notes = "\n".join(getattr(error, "__notes__", []))
            fail(item, error=(error.code.value, error.message), actor=ACTOR, detail=notes)
        elif not watch.lost:
            hand_back(item, defer=defer)
    except StorageFull:
        fail(item, error=STORAGE_FULL, actor=ACTOR)
    except HoldLost:
        fail(item, error=HOLD_LAPSED, actor=ACTOR)
    except DATABASE_FAULTS:
        raise
    except Exception as error:
        logger.exception("work failed", extra={"kind": item.REFERENCE_TYPE, "id": str(item.pk)})
        fail(item, error=INTERNAL_ERROR, actor=ACTOR, detail=safe_traceback(error))

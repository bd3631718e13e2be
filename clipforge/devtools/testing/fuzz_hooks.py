"""Loaded by schemathesis before it starts (SCHEMATHESIS_HOOKS).

CPython 3.11 counts how deep `ast.parse` is once for all threads: two at once, and one of them fails
with "AST constructor recursion depth mismatch". Hypothesis parses lambdas to name them, in every worker.
"""

from __future__ import annotations

import ast
import threading
import uuid
from typing import Any

import schemathesis
from schemathesis.generation.meta import TestPhase

# The bytes of a part of an upload, as the tus protocol names them.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

_one_at_a_time = threading.RLock()
_parse = ast.parse


def parse(*args: Any, **kwargs: Any) -> Any:
    with _one_at_a_time:
        return _parse(*args, **kwargs)


ast.parse = parse


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG001 - as it is called
    """Give what is made in a chain of calls a key of its own.

    A key that another chain has used with the same body is answered with what that one made, and may
    have deleted since: the next call of this chain would not find it.
    """
    known = case.meta
    is_link = known and known.phase.name is TestPhase.STATEFUL and known.generation.mode.is_positive
    if is_link and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex

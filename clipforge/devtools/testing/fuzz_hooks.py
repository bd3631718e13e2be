"""Loaded by schemathesis before it starts (SCHEMATHESIS_HOOKS).

CPython 3.11 counts how deep `ast.parse` is once for all threads: two at once, and one of them fails
with "AST constructor recursion depth mismatch". Hypothesis parses lambdas to name them, in every worker.
"""

from __future__ import annotations

import ast
import threading
from typing import Any

import schemathesis

# The bytes of a part of an upload, as the tus protocol names them.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")

_one_at_a_time = threading.RLock()
_parse = ast.parse


def parse(*args: Any, **kwargs: Any) -> Any:
    with _one_at_a_time:
        return _parse(*args, **kwargs)


ast.parse = parse

"""Answers whose body no thread waits to send: the application's side. The server's is `sending_worker`.

Imported before Django is set up.
"""

from __future__ import annotations

from typing import Any

# In the environment of a request whose answer may be handed over.
KEY = "clipforge.handover"


class Handover:
    """The wish of a view that the body of its answer be handed over to the server."""

    is_wanted = False


def handed_over(environ: dict[str, Any]) -> bool:
    """Hand the answer to this request over, if the server can: whether it will be."""
    found: Handover | None = environ.get(KEY)
    if found is not None:
        found.is_wanted = True
    return found is not None

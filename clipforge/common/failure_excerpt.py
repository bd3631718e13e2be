"""The end of what a failed program printed, in a form that may be kept: bounded, without secrets and places.

Programs print where files lie, addresses and whatever a stranger's file made them say. Staff need
the words; a database that is copied and read by many needs none of the rest.
"""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from django.conf import settings

from clipforge.common.secret_formats import redacted

# Characters. The end says why; what led to it is in the log of the worker.
MOST = 4000

_UNPRINTABLE = re.compile(
    r"[^\n\t\x20-\x7e\xa0-\U0010ffff]|[\ud800-\udfff\u2028-\u202e\u2066-\u2069]"
)
_ADDRESS = re.compile(r"\b[a-zA-Z][\w+.-]*://\S+")
# Absolute, up to the last part, which says what it was.
_FOLDERS = re.compile(r"(?<![\w.…)\]])/(?:[^\s/'\"<>:]+/)+")
_POINTER = re.compile(r" @ 0x[0-9a-f]+|\b0x[0-9a-f]{6,}")
# As long and as random as a secret. Ids have dashes.
_SECRET = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{32,}")


def failure_excerpt(text: str) -> str:
    """The end of it, without folders, addresses, pointers and secrets, and safe to store."""
    text = _UNPRINTABLE.sub("", text)
    for root in _roots():
        text = text.replace(root, "…")
    for pattern, instead in (
        (_ADDRESS, "[address]"),
        (_FOLDERS, "…/"),
        (_POINTER, ""),
        (_SECRET, "[secret]"),
    ):
        text = pattern.sub(instead, text)
    text = redacted(text, "[secret]").strip()
    return text if len(text) <= MOST else "…" + text[1 - MOST :]


def safe_traceback(error: BaseException) -> str:
    """The kind of the error, and the lines it came through. Not its message, which may say anything."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    lines = [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
    return "\n".join([*lines, type(error).__qualname__])


def _roots() -> list[str]:
    """Folders of this machine, which may have spaces in their names; the longest first."""
    roots = {str(settings.MEDIA_ROOT), str(settings.DATA_DIR), str(settings.BASE_DIR), sys.prefix}
    return sorted((root for root in roots if len(root) > 1), key=len, reverse=True)

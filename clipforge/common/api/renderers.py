"""JSON, written by orjson where that gives the bytes that DRF's own renderer gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

# Python writes 1e-05 and 1e-10 where orjson writes 0.00001 and 1e-10. In a text the same characters
# may mean nothing, which costs a second rendering.
SMALL = b"0.0000"
EXPONENT = re.compile(rb"\de-\d+(?:[,}\]]|\Z)")
# The ends of lines of JavaScript, as UTF-8. DRF escapes them.
LINE_ENDS = (b"\xe2\x80\xa8", b"\xe2\x80\xa9")

_default = JSONEncoder().default


class Renderer(JSONRenderer):
    """As DRF's. What orjson refuses or writes in another way (keys that are no text, numbers beyond 64
    bits, halves of surrogate pairs, very small floats) is rendered by DRF's.

    Not covered: floats of 10^16 and more, and those that are no numbers. No field here can hold one.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is not None and accepted_media_type in {None, self.media_type}:
            try:
                body = orjson.dumps(data, _default, orjson.OPT_PASSTHROUGH_DATETIME)
            except TypeError:  # orjson.JSONEncodeError is one
                pass
            else:
                is_small = SMALL in body or (b"e-" in body and EXPONENT.search(body))
                if not is_small and not any(end in body for end in LINE_ENDS):
                    return body
        rendered: bytes = super().render(data, accepted_media_type, renderer_context)
        return rendered

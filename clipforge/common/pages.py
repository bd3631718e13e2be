"""The part of the site that people read in a browser."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def is_page(request: HttpRequest) -> bool:
    """Whether the answer is a page for people, not a document for programs."""
    return request.path_info.startswith(settings.PAGES_PATH)

"""The parts of the site: pages that people read in a browser, and the API that programs use."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

# Pages about the API, at an address of it.
PAGES_OF_THE_API = ("/api/v1/docs", "/api/v1/schema")


def is_page(request: HttpRequest) -> bool:
    """Whether the answer is a page for people, not a document for programs."""
    return request.path_info.startswith(settings.PAGES_PATH)


def is_for_programs(path: str) -> bool:
    """Whether nothing at this path has to do with sessions, cookies or templates."""
    return path.startswith(("/api/v1/", "/health")) and not path.startswith(PAGES_OF_THE_API)

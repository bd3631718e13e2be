"""What the admin classes of several apps share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


class NotMadeByHand:
    """Rows that only a service makes and ends: nobody adds or deletes them, superusers included."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MovedByServices(NotMadeByHand):
    """Rows whose every change moves credits or work too: they can only be looked at."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

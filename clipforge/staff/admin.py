"""The pages whose objects are shown with what the apps above them know."""

from __future__ import annotations

from clipforge.staff import jobs, organizations

__all__ = ["jobs", "organizations"]

"""Tasks of the staff pages."""

from __future__ import annotations

from django.contrib.sessions.backends.db import SessionStore
from procrastinate.contrib.django import app

from clipforge.staff.approvals import services as approval_services
from clipforge.staff.watching.watcher import Watcher


@app.periodic(cron="11 * * * *")
@app.task(queue="maintenance", queueing_lock="staff.requests", name="staff.expire_requests")
def expire_requests(timestamp: int) -> None:
    approval_services.expire_requests()


@app.periodic(cron="23 4 * * *")
@app.task(queue="maintenance", queueing_lock="staff.sessions", name="staff.forget_sessions")
def forget_sessions(timestamp: int) -> None:
    """Delete sessions that have ended; the table would grow for ever."""
    SessionStore.clear_expired()


@app.periodic(cron="* * * * *")
@app.task(queue="maintenance", queueing_lock="staff.watch", name="staff.watch")
def watch(timestamp: int) -> None:
    """Tell people what needs one. The command `watch` does the same, also where no worker lives."""
    Watcher().look()

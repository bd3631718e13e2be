"""Tasks of the staff pages."""

from __future__ import annotations

from procrastinate.contrib.django import app

from clipforge.staff.approvals import services as approval_services


@app.periodic(cron="11 * * * *")
@app.task(queue="maintenance", queueing_lock="staff.requests", name="staff.expire_requests")
def expire_requests(timestamp: int) -> None:
    approval_services.expire_requests()

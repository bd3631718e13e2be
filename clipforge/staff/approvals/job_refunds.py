"""The page on which staff give back what a job was charged: what it would do, and then the doing."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse

from clipforge.audit.actor import Actor
from clipforge.common.errors import DomainError
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import all_kinds
from clipforge.jobs.models import Job
from clipforge.staff import formatting, tokens
from clipforge.staff.approvals import refunding
from clipforge.staff.forms import ReasonForm
from clipforge.staff.pages import needs, page
from credits.rules import funds_of


class JobRefundForm(ReasonForm):
    def __init__(self, data: QueryDict | None, *, left: int) -> None:
        super().__init__(data)
        self.fields["amount"] = forms.IntegerField(
            label="Credits",
            min_value=1,
            max_value=left,
            initial=left,
            help_text=f"{formatting.count(left, 'credit')} at most.",
        )
        self.order_fields(["amount", "reason"])


@needs("staff.grant_credits")
def refund_job(request: HttpRequest, pk: UUID) -> HttpResponse:
    job = _job(pk)
    back = reverse(f"admin:{job._meta.app_label}_{job._meta.model_name}_change", args=[job.pk])
    charge = refunding.charge_of(job)
    left = refunding.left_of(charge) if charge else 0
    form = JobRefundForm(request.POST or None, left=left)
    name, token = "refund-job", request.POST.get("token", "")
    if request.method == "POST" and form.is_valid():
        try:
            given = refunding.refund_job(
                job=job,
                amount=form.cleaned_data["amount"],
                token=tokens.read(token, request, name, job),
                reason=form.cleaned_data["reason"],
                actor=Actor.of_request(request),
            )
        except DomainError as error:
            form.add_error(None, error.message)
            token = tokens.make(request, name, job)
        else:
            messages.success(request, f"{formatting.count(given.amount, 'credit')} given back.")
            return redirect(back)
    return page(
        request,
        "staff/approvals/job_refund.html",
        title=f"Refund: {job}",
        job=job,
        org=job.org,
        back=back,
        charge=charge,
        left=left,
        form=form,
        token=token or tokens.make(request, name, job),
        available=funds_of(job.org_id).available,
    )


def _job(pk: UUID) -> Job:
    """The job of any kind with this id."""
    for kind in all_kinds():
        job: Job | None = (
            job_selectors.all_jobs(kind.model).select_related("org").filter(pk=pk).first()
        )
        if job is not None:
            return job
    raise Http404

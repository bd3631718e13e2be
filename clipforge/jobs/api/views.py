"""One job of an organization over HTTP: the base views of every kind."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.jobs import services as job_services
from clipforge.jobs.models import Job
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.views import OrgView


class JobView(OrgView):
    """One job; a kind says how it is found, and in which serializer it is shown."""

    pagination_class = None
    problems: dict[str, tuple[int, ...]] = {}

    def get_job(self) -> Job:
        """The job that the path names. Raises NotFound, also for another organization's."""
        raise NotImplementedError

    def data_of(self, job: Job) -> Any:
        return self.get_serializer_class()(job).data

    def shown(self, job: Job) -> Response:
        return Response(self.data_of(job))


class JobCancel(JobView):
    bodyless_methods = ("post",)
    problems = {"post": (409,)}

    def post(self, request: Request, **ids: Any) -> Response:
        return self.shown(job_services.cancel_job(job=self.get_job(), actor=self.principal.actor))


class JobRetry(JobView):
    bodyless_methods = ("post",)
    idempotent_methods = ("post",)
    costs = {"post": {"api": 2}}
    problems = {"post": (402,)}

    def post(self, request: Request, **ids: Any) -> HttpResponse:
        job = self.get_job()

        def retry() -> Answer:
            queued = job_services.retry_job(job=job, actor=self.principal.actor)
            return answer(status.HTTP_200_OK, self.data_of(queued))

        return respond_once(request, self.organization, retry)

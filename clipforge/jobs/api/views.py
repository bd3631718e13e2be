"""One job of an organization over HTTP: the base views of every kind."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.http import HttpResponse
from rest_framework import status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.conditional import etag_of, held_by, not_modified
from clipforge.jobs import caching
from clipforge.jobs import services as job_services
from clipforge.jobs.models import Job
from clipforge.jobs.selectors import seconds_until_news
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.views import OrgView

R = TypeVar("R", bound=HttpResponse)


class JobView(OrgView):
    """One job; a kind says how it is found, and in which serializer it is shown."""

    pagination_class = None
    problems: dict[str, tuple[int, ...]] = {}

    def get_job(self) -> Job:
        """The job that the path names. Raises NotFound, also for another organization's."""
        raise NotImplementedError

    def data_of(self, job: Job) -> Any:
        return self.get_serializer(job).data

    def shown(self, job: Job) -> Response:
        return Response(self.data_of(job))


class JobDetail(JobView):
    """One job as it is now. Polled: a client that has it already is told so without any SQL."""

    model: ClassVar[type[Job]]

    def prefetch_family(self) -> str:
        (pk,) = self.kwargs.values()
        return caching.stamp_family(self.model, pk)

    def polled(self, request: Request) -> HttpResponse:
        """The job with its ETag, or 304; `Retry-After` says when there may be news."""
        shown: list[HttpResponse] = []

        def load() -> tuple[Job, caching.Stamp]:
            job = self.get_job()
            shown.append(self._as_it_is(job))
            return job, caching.Stamp(shown[0]["ETag"], int(shown[0].get("Retry-After", "0")))

        if self.prefetched is not None or "If-None-Match" in request.headers:
            (pk,) = self.kwargs.values()
            found = self.prefetched
            stamp = caching.stamp_of(self.model, pk, self.organization.pk, load, found=found)
            if held := held_by(request, stamp.etag):
                return _with_hint(not_modified(None, held), stamp.retry_after)
        return shown[0] if shown else self._as_it_is(self.get_job())

    def _as_it_is(self, job: Job) -> HttpResponse:
        data = self.data_of(job)
        body = JSONRenderer().render(data)
        response = HttpResponse(body, content_type="application/json")
        response["ETag"] = etag_of(body)
        return _with_hint(response, seconds_until_news(job, data["queue_position"]))


def _with_hint(response: R, seconds: int | None) -> R:
    """`Retry-After`: when it is worth asking again."""
    if seconds:
        response["Retry-After"] = str(seconds)
    return response


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

"""One job of an organization over HTTP: the base views of every kind."""

from __future__ import annotations

import time
from typing import Any, ClassVar, TypeVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import expanding
from clipforge.common.api.conditional import etag_of, held_by, not_modified
from clipforge.common.api.schema import Codes, together
from clipforge.common.errors import Invalid
from clipforge.common.waiting import RETRY_SECONDS, wait_of
from clipforge.jobs import caching
from clipforge.jobs import services as job_services
from clipforge.jobs.api import refusals
from clipforge.jobs.api.serializers import TermsSerializer, terms_of
from clipforge.jobs.models import Job
from clipforge.jobs.selectors import seconds_until_news
from clipforge.orgs import caching as org_caching
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.lists import KeptList
from clipforge.orgs.api.request_path import admission_of
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


# The longest that a request may wait for news. Below the patience of proxies and clients. Seconds.
MAX_WAIT = 30
# What has no stamp, as a job that is queued, is looked at without news too: its place depends on others.
LOOK_SECONDS = 5
# A job is a kilobyte; one with much metadata is read anew. Bytes.
MOST_KEPT = 8192

WAIT = OpenApiParameter(
    "wait",
    {"type": "integer", "minimum": 1, "maximum": MAX_WAIT},
    description="With `If-None-Match`: answer once there is news, after so many seconds at the latest.",
)


class JobList(KeptList):
    """The jobs of one kind."""

    model: ClassVar[type[Job]]

    def pages_family(self) -> str:
        return caching.list_family(self.model)


class JobDetail(JobView):
    """One job as it is now. Polled: a client that has it already is told so without any SQL."""

    model: ClassVar[type[Job]]
    codes: ClassVar[dict[str, Codes]] = {"get": refusals.WAIT}
    query_parameters = {"get": frozenset({"wait"})}

    def prefetch_family(self) -> str:
        (pk,) = self.kwargs.values()
        return caching.stamp_family(self.model, pk)

    def seconds_kept(self, data: dict[str, Any], *, since: float) -> float:
        """For how long this is what the job shows, if nothing is announced, from `since` on: before it was read."""
        return caching.SECONDS

    def polled(self, request: Request) -> HttpResponse:
        """The job with its ETag, or 304; `Retry-After` says when there may be news.

        A client that has the job and is willing to wait for news is parked instead.
        """
        seconds = _seconds_to_wait(request)
        response, is_steady = self._stamped(request)
        if response.status_code != 304 and (held := held_by(request, response["ETag"])):
            response = not_modified(response, held)
        if seconds:
            self._wait(
                request, response, seconds, look_every=seconds if is_steady else LOOK_SECONDS
            )
        return response

    def _stamped(self, request: Request) -> tuple[HttpResponse, bool]:
        """304 or the job, as the stamp says, if there is one; else the job as it is read.

        Whether it is a 304 that stays one until the job has news is with it.
        """
        origin = f"{request.scheme}://{request.get_host()}"
        shown: list[HttpResponse] = []

        def load() -> caching.Shown:
            since, job = time.time(), self.get_job()
            data = self.data_of(job)
            shown.append(_shown(job, data))
            seconds = self.seconds_kept(data, since=since)
            return caching.Shown(job, _stamp_of(shown[0], origin), seconds)

        (pk,) = self.kwargs.values()
        found = self.prefetched
        stamp = caching.stamp_of(self.model, pk, self.organization.pk, load, found=found)
        if held := held_by(request, stamp.etag):
            return _with_hint(not_modified(None, held), stamp.retry_after), not stamp.moves
        if shown:
            return shown[0], False
        if stamp.body and stamp.origin == origin:
            return _with_hint(_answer(stamp.body.encode(), stamp.etag), stamp.retry_after), False
        return self._as_it_is(self.get_job(), {}), False

    def _wait(
        self, request: Request, response: HttpResponse, seconds: int, *, look_every: int
    ) -> None:
        """Park a 304 until there is news; where that cannot be, say when to ask again."""
        wait, admission = wait_of(request), admission_of(request)
        has_waited = wait is not None and wait.has_begun
        if response.status_code == 304 and wait and admission and admission.shared:
            wait.admission = wait.admission or admission
            (pk,) = self.kwargs.values()
            if wait.park(
                response,
                owner=self.organization.pk,
                channel=caching.channel_of(self.model, pk),
                # The key may end, and the organization be suspended.
                also=(
                    org_caching.channel_of(self.principal.api_key),
                    org_caching.channel_of(self.organization),
                ),
                seconds=seconds,
                look_every=look_every,
            ):
                return
        if has_waited:
            response.headers.pop("Retry-After", None)  # that was the pause
        elif response.status_code == 304:
            response.headers.setdefault("Retry-After", str(RETRY_SECONDS))

    def expanded(self, request: Request, names: list[str]) -> HttpResponse:
        """The job with lists that belong to it. What is in those is in no stamp: the body has the ETag."""
        job = self.get_job()
        return self._as_it_is(job, expanding.expanded(request, job, names))

    def _as_it_is(self, job: Job, lists: dict[str, Any]) -> HttpResponse:
        return _shown(job, {**self.data_of(job), **lists})


def _shown(job: Job, data: dict[str, Any]) -> HttpResponse:
    body = JSONRenderer().render(data)
    response = _answer(body, etag_of(body))
    return _with_hint(response, seconds_until_news(job, data["queue_position"]))


def _answer(body: bytes, etag: str) -> HttpResponse:
    response = HttpResponse(body, content_type="application/json")
    response["ETag"] = etag
    return response


def _stamp_of(response: HttpResponse, origin: str) -> caching.Stamp:
    etag, retry_after = response["ETag"], int(response.get("Retry-After", "0"))
    if len(response.content) > MOST_KEPT:
        return caching.Stamp(etag, retry_after)
    return caching.Stamp(etag, retry_after, origin, response.content.decode())


def _seconds_to_wait(request: Request) -> int:
    """0 for a request that does not wait. Raises Invalid."""
    text = request.GET.get("wait")
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MAX_WAIT):
        raise Invalid(f"wait must be a whole number of seconds from 1 to {MAX_WAIT}.")
    return int(text)


def _with_hint(response: R, seconds: int | None) -> R:
    """`Retry-After`: when it is worth asking again."""
    if seconds:
        response["Retry-After"] = str(seconds)
    return response


class JobCancel(JobView):
    bodyless_methods = ("post",)
    problems = {"post": (409,)}
    codes = {"post": refusals.WRONG_STATE}

    def post(self, request: Request, **ids: Any) -> Response:
        job = self.get_job()
        job.org = self.organization
        return self.shown(job_services.cancel_job(job=job, actor=self.principal.actor))


class JobRetry(JobView):
    idempotent_methods = ("post",)
    costs = {"post": {"api": 2}}
    problems = {"post": (402,)}
    codes = {"post": together(refusals.WRONG_STATE, refusals.STARTED)}

    def post(self, request: Request, **ids: Any) -> HttpResponse:
        job = self.get_job()
        form = TermsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        terms = terms_of(form.validated_data)

        def retry() -> Answer:
            queued = job_services.retry_job(job=job, actor=self.principal.actor, terms=terms)
            return answer(status.HTTP_200_OK, self.data_of(queued))

        return respond_once(request, self.organization, retry)

"""Uploads in parts over HTTP: JSON for whoever wants that, and the tus protocol at the same addresses."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.parsers import LimitedJSONParser
from clipforge.common.errors import TooLarge
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.views import OrgView
from projects import direct_uploads, uploads
from projects.api import refusals, tus
from projects.api.serializers import (
    UploadPartsSerializer,
    UploadRequestSerializer,
    UploadSerializer,
)
from projects.models import Upload


class UploadView(OrgView):
    """The base of both addresses: every answer says which protocol this is."""

    serializer_class: Any = UploadSerializer
    pagination_class = None
    cache_control = "no-store"

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().options(request, *args, **kwargs)
        for name, value in tus.abilities().items():
            response[name] = value
        return response

    def finalize_response(
        self, request: Request, response: Any, *args: object, **kwargs: object
    ) -> Any:
        final: HttpResponseBase = super().finalize_response(request, response, *args, **kwargs)
        tus.tell(final)
        return final


def _header(name: str, description: str, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, **options)


RESUMABLE = _header(
    "Tus-Resumable", "The version of the protocol.", required=True, enum=[tus.VERSION]
)


class UploadList(UploadView):
    idempotent_methods = ("post",)
    costs = {"post": {"api": 1, "uploads": 1}}
    problems = {"post": (413, 507)}
    codes = {"post": refusals.UPLOAD_BEGUN}

    def get_parsers(self) -> list[Any]:
        return [LimitedJSONParser()]

    @extend_schema(
        operation_id="create_upload",
        summary="Begin to send a file in parts",
        description="Answers how to send them, as `protocol`. `tus`: parts of up to `part_bytes` by PATCH (the "
        "tus protocol, 1.0.0), one after the other, from `offset` on, whatever interrupts them. `s3`: parts of "
        "`part_bytes`, in any order, by PUT to the addresses that `POST /uploads/{id}/parts` gives. No credits "
        "are reserved; the size counts as stored. `POST /projects` with `upload` makes a project of it. Clients "
        "of the tus protocol send `Upload-Length` and `Upload-Metadata` (`filename`, `sha256`) instead of a "
        "body, and `protocol` is `tus` for them.",
        request=UploadRequestSerializer,
        responses={201: UploadSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        wanted = self._wanted(request)
        form = UploadRequestSerializer(data=wanted)
        form.is_valid(raise_exception=True)

        def create() -> Answer:
            upload = uploads.create_upload(
                org=self.organization, is_tus=tus.speaks_tus(request), **form.validated_data
            )
            return answer(
                status.HTTP_201_CREATED,
                UploadSerializer(upload).data,
                location=reverse("upload", args=[upload.pk]),
            )

        content = str(sorted(wanted.items())).encode() if tus.speaks_tus(request) else None
        return respond_once(request, self.organization, create, content=content)

    def _wanted(self, request: Request) -> Any:
        if not tus.speaks_tus(request):
            return request.data
        tus.require_version(request)
        said = tus.metadata_in(request)
        wanted: dict[str, Any] = {
            "name": said.get("filename") or said.get("name") or "upload",
            "size": tus.number_in(request, "Upload-Length"),
        }
        return wanted | ({"sha256": said["sha256"]} if "sha256" in said else {})


class OneUpload(UploadView):
    def get_upload(self) -> Upload:
        return uploads.get_upload(self.organization, self.kwargs["upload_id"])


class UploadDetail(OneUpload):
    problems = {"patch": (409, 410, 411, 412, 413, 415, 423, 460, 507), "get": (410,)}
    codes = {"patch": refusals.PART, "get": refusals.UPLOAD_GONE}

    @extend_schema(
        operation_id="get_upload",
        summary="How much of an upload is here",
        description="`offset` is where the next part begins; HEAD says it as `Upload-Offset`.",
    )
    def get(self, request: Request, upload_id: uuid.UUID) -> Response:
        upload = self.get_upload()
        response = Response(UploadSerializer(upload).data)
        tus.tell(response, upload)
        return response

    @extend_schema(
        operation_id="append_upload",
        summary="Send the next part",
        description="The bytes from `Upload-Offset` on, up to `part_bytes` of them. What has come of a part "
        "that breaks off is kept, unless it has a checksum: ask where to go on.",
        request={tus.PART_TYPE: {"type": "string", "format": "binary"}},
        parameters=[
            RESUMABLE,
            _header(
                "Upload-Offset", "Where the part begins: at the end of the last one.", required=True
            ),
            _header(
                "Upload-Checksum",
                "`sha256` (or `sha1`, `md5`), a blank, and the digest of the part in Base64. A part with "
                "another one is 460 `checksum_mismatch`, and not kept.",
            ),
        ],
        responses={204: None},
    )
    def patch(self, request: Request, upload_id: uuid.UUID) -> Response:
        upload = self.get_upload()
        tus.require_version(request)
        tus.require_part(request)
        length = tus.number_in(request, "Content-Length", "0")
        if length > settings.UPLOAD_PART_BYTES:
            raise TooLarge(
                f"A part has up to {settings.UPLOAD_PART_BYTES} bytes. Set the chunk size of your client.",
                limit=settings.UPLOAD_PART_BYTES,
            )
        upload = uploads.append(
            upload,
            request._request,
            offset=tus.number_in(request, "Upload-Offset"),
            length=length,
            checksum=tus.checksum_in(request),
        )
        response = Response(status=status.HTTP_204_NO_CONTENT)
        tus.tell(response, upload)
        return response

    @extend_schema(
        operation_id="delete_upload",
        summary="Give up an upload",
        description="Its parts are removed, and count no more. Of one that became a project the project stays.",
        responses={204: None},
    )
    def delete(self, request: Request, upload_id: uuid.UUID) -> Response:
        uploads.end_upload(self.get_upload())
        return Response(status=status.HTTP_204_NO_CONTENT)


class UploadParts(OneUpload):
    serializer_class = UploadPartsSerializer
    bodyless_methods = ("post",)
    problems = {"post": (409, 410, 423)}
    codes = {"post": refusals.PARTS_ASKED}

    @extend_schema(
        operation_id="list_upload_parts",
        summary="Which parts are in the bucket, and where to send the others",
        description="Of an upload whose `protocol` is `s3`. Send each part that is `missing` to its address by "
        "PUT, in any order and side by side, and ask again, after an interruption too, until none is missing. "
        "A part that is sent twice counts once. What has come gives the upload another day.",
        request=None,
        responses=UploadPartsSerializer,
    )
    def post(self, request: Request, upload_id: uuid.UUID) -> Response:
        parts = direct_uploads.ask_for_parts(self.get_upload())
        return Response(
            {"received": parts.received, "missing": [each._asdict() for each in parts.missing]}
        )


class UploadComplete(OneUpload):
    bodyless_methods = ("post",)
    problems = {"post": (409, 410, 415)}
    codes = {"post": refusals.UPLOAD_COMPLETED}

    @extend_schema(
        operation_id="complete_upload",
        summary="Make one file of the parts in the bucket",
        description="Of an upload whose `protocol` is `s3`, once all parts are there. Repeating it changes nothing.",
        request=None,
    )
    def post(self, request: Request, upload_id: uuid.UUID) -> Response:
        return Response(UploadSerializer(direct_uploads.complete(self.get_upload())).data)

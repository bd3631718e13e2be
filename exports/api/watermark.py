"""The watermark of an organization over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.serializers import ModelSerializer
from clipforge.common.errors import NotFound, TooLarge
from clipforge.orgs.api.views import OrgView
from exports import selectors, watermarks
from exports.api import examples, refusals
from exports.models import Watermark

MAX_IMAGE_BYTES = 512 * 1024
REASON = "Asked for through the API"


class ImageParser(BaseParser):
    """The body as it is, bounded before any of it is read."""

    media_type = "image/png"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, bytes]:
        text = str((parser_context or {})["request"].META.get("CONTENT_LENGTH") or "")
        length = int(text) if text.isdecimal() else 0
        if length > MAX_IMAGE_BYTES:
            raise TooLarge(
                f"The image is larger than the {MAX_IMAGE_BYTES} bytes that are accepted.",
                limit=MAX_IMAGE_BYTES,
            )
        return {"image": stream.read(length)}


class WebPParser(ImageParser):
    media_type = "image/webp"


class WatermarkSerializer(ModelSerializer):
    example = examples.WATERMARK

    class Meta:
        model = Watermark
        fields = ["id", "width", "height", "size", "sha256", "created_at"]
        read_only_fields = fields


class WatermarkView(OrgView):
    serializer_class = WatermarkSerializer
    pagination_class = None
    costs = {"put": {"api": 2}}
    problems = {"get": (404,), "put": (507,), "delete": (404,)}
    codes = {"put": refusals.WATERMARK}

    def get_parsers(self) -> list[Any]:
        """Images are for PUT. The others have no body, and say so of any; the schema has no request."""
        is_put = self.request is not None and self.request.method == "PUT"
        return [ImageParser(), WebPParser()] if is_put else super().get_parsers()

    @extend_schema(
        operation_id="get_watermark",
        summary="The image that clips may carry",
        description="404 where there is none.",
    )
    def get(self, request: Request) -> Response:
        found = selectors.watermark(self.organization)
        if found is None:
            raise NotFound
        return Response(WatermarkSerializer(found).data)

    @extend_schema(
        operation_id="replace_watermark",
        summary="Set the image that clips may carry",
        description="The body is a PNG or WebP of up to 512 KiB and 8 to 2048 pixels a side. It is "
        "written anew, without anything but its picture, and at most 1024 pixels wide and high. Clips "
        "that ask for a `watermark` have it from now on. Free; tiers without watermarks are refused with "
        "403 `watermark_not_in_tier`.",
        request={"image/png": OpenApiTypes.BINARY, "image/webp": OpenApiTypes.BINARY},
        responses=WatermarkSerializer,
    )
    def put(self, request: Request) -> Response:
        made = watermarks.replace_watermark(
            org=self.organization,
            image=self._image(request),
            reason=REASON,
            actor=self.principal.cause,
        )
        return Response(WatermarkSerializer(made).data)

    def _image(self, request: Request) -> bytes:
        body = request.data  # empty where the body is: then nothing parsed it
        return bytes(body["image"]) if isinstance(body, dict) and "image" in body else b""

    @extend_schema(
        operation_id="delete_watermark",
        summary="Remove the image",
        description="Finished clips keep it. Those that wait for it fail, and cost nothing.",
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        watermarks.remove_watermark(
            org=self.organization, reason=REASON, actor=self.principal.cause
        )
        return Response(status=204)

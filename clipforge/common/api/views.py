"""The base of the views of the API: DRF's, with what each request would find out anew kept."""

from __future__ import annotations

import functools
import uuid
from typing import Any, ClassVar, TypeVar, cast

from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.pagination import KeysetPagination
from clipforge.common.prepared import Prepared

T = TypeVar("T")


class LeanView(GenericAPIView[Any]):
    """Authenticators, permissions, throttles and renderers have no state: one of each is enough."""

    def initialize_request(self, request: Any, *args: object, **kwargs: object) -> Request:
        return LeanRequest(
            request,
            parsers=self.get_parsers(),
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def get_authenticators(self) -> list[Any]:
        return _one_of_each(tuple(self.authentication_classes))

    def get_permissions(self) -> list[Any]:
        return _one_of_each(tuple(self.permission_classes))

    def get_throttles(self) -> list[Any]:
        return _one_of_each(tuple(self.throttle_classes))

    def get_renderers(self) -> list[Any]:
        return _one_of_each(tuple(self.renderer_classes))

    def get_content_negotiator(self) -> Any:
        return _one_of_each((self.content_negotiation_class,))[0]

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        """DRF's choice, made once for each value of the header `Accept`."""
        if request.META.get("QUERY_STRING") or self.format_kwarg:  # which may name a format
            return super().perform_content_negotiation(request, force)
        key = tuple(self.renderer_classes), request.META.get("HTTP_ACCEPT")
        chosen = _choices.get(key)
        if chosen is None:
            chosen = super().perform_content_negotiation(request, force)
            if not force and len(_choices) < MOST_CHOICES:
                _choices[key] = chosen
        return chosen

    @property
    def default_response_headers(self) -> dict[str, str]:
        if len(self.renderer_classes) == 1:
            return {"Allow": _allow(type(self))}
        return super().default_response_headers

    def finalize_response(
        self, request: Request, response: Any, *args: object, **kwargs: object
    ) -> Any:
        final: Any = super().finalize_response(request, response, *args, **kwargs)
        if type(final) is not Response:
            return final
        # The response that a template would be rendered into is made into one of bytes at once.
        return final.render()


class LeanList(ListModelMixin, LeanView):
    """A list whose first page, which front ends ask for all the time, is a query that is prepared."""

    # By the id of whom they belong to.
    first_rows: ClassVar[Prepared[Any]]

    def owner_id(self) -> uuid.UUID:
        """Whose rows are listed. Raises NotFound."""
        raise NotImplementedError

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if request.META.get("QUERY_STRING"):
            return super().list(request, *args, **kwargs)
        paginator = cast("KeysetPagination", self.paginator)
        page = paginator.first_page(self.first_rows.rows(self.owner_id()), request, self)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class LeanRequest(Request):
    """DRF's request, with what every request asks of it answered without detours."""

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self._user: Any  # set by DRF, once it is known
        self.META, self.method = request.META, request.method

    @property
    def user(self) -> Any:
        """As DRF's, which looks for a hidden AttributeError each time that it is asked."""
        return self._user if "_user" in self.__dict__ else _DRF_USER.fget(self)

    @user.setter
    def user(self, value: Any) -> None:
        _DRF_USER.fset(self, value)


_DRF_USER: Any = Request.user


# Values of `Accept` that are remembered. A client may send any; most send one of three.
MOST_CHOICES = 200
_choices: dict[tuple[Any, str | None], tuple[BaseRenderer, str]] = {}


@functools.cache
def _one_of_each(classes: tuple[type[T], ...]) -> list[T]:
    return [each() for each in classes]


@functools.cache
def _allow(view: type[LeanView]) -> str:
    """The methods of a view that is asked, which makes a HEAD of its GET."""
    handled = {method: "get" if method == "head" else method for method in view.http_method_names}
    return ", ".join(name.upper() for name, handler in handled.items() if hasattr(view, handler))

"""`POST /exports/batch`: many exports in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from clipforge.common.api.problems import document_of
from clipforge.common.api.schema import together
from clipforge.common.api.serializers import Serializer, strangers
from clipforge.common.api.unknown_fields import refuse_strangers
from clipforge.common.errors import DomainError
from clipforge.jobs.api import refusals as job_refusals
from clipforge.jobs.api.serializers import TermsSerializer, terms_of
from clipforge.orgs import stored
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.request_path import charge_besides
from clipforge.orgs.api.views import OrgView
from exports.api import refusals
from exports.api.serializers import (
    MOST_EXPORTS,
    ExportBatchResultSerializer,
    ExportBatchSerializer,
    ExportOrderSerializer,
    ExportSerializer,
    options_of,
)
from exports.batching import Order, order_all, order_each
from exports.models import Export
from exports.services import Options

PER_ITEM = "per_item"
# What became of an order.
Result = Export | DomainError | ValidationError


class EachAloneSerializer(TermsSerializer):
    """A batch whose orders are looked at one by one, so that a faulty one refuses no other."""

    mode = serializers.CharField()
    exports = serializers.ListField(
        child=serializers.JSONField(), min_length=1, max_length=MOST_EXPORTS
    )


class ExportBatch(OrgView):
    serializer_class = ExportBatchResultSerializer
    pagination_class = None
    idempotent_methods = ("post",)
    costs = {"post": {"api": 2}}
    problems = {"post": (402, 404, 507)}
    codes = {"post": together(refusals.ORDER, job_refusals.STARTED)}

    @extend_schema(
        operation_id="create_export_batch",
        summary="Order up to 100 exports at once",
        description="With `all_or_nothing` all are ordered, or none: a refusal points at each that "
        "cannot be. With `per_item` the answer says what became of each. Both are one transaction, and one "
        "`Idempotency-Key` covers it. `max_credits` and `quote_id` are for all together. Each export "
        "counts in the limit `exports`.",
        request=ExportBatchSerializer,
        responses={200: ExportBatchResultSerializer},
        examples=[
            OpenApiExample(
                "Two moments, or neither",
                {
                    "mode": "all_or_nothing",
                    "exports": [
                        {"moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b", "aspect": "9:16"},
                        {"moment": "01a20e35-6c1d-7b4f-8a5e-1d2b7d1f5f3c", "aspect": "1:1"},
                    ],
                    "max_credits": 4,
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> HttpResponse:
        each_alone = isinstance(request.data, Mapping) and request.data.get("mode") == PER_ITEM
        form: Serializer = ExportBatchSerializer(data=request.data)
        if each_alone:
            refuse_strangers(strangers(form, request.data))
            form = EachAloneSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        data = form.validated_data
        charge_besides(request, {"exports": len(data["exports"])})
        order = self._order_each if each_alone else self._order_all
        # Before the transaction, in which nothing is cached.
        self.stored_now = stored.stored_bytes(self.organization.pk)
        return respond_once(request, self.organization, lambda: _answer(order(data)))

    def _order_all(self, data: dict[str, Any]) -> Sequence[Result]:
        return order_all(
            org=self.organization,
            orders=[_order(each) for each in data["exports"]],
            terms=terms_of(data),
            stored_now=self.stored_now,
            actor=self.principal.actor,
        )

    def _order_each(self, data: dict[str, Any]) -> Sequence[Result]:
        forms = [ExportOrderSerializer(data=each) for each in data["exports"]]
        sound = [form.is_valid() for form in forms]
        ordered = iter(
            order_each(
                org=self.organization,
                orders=[
                    _order(form.validated_data)
                    for form, is_sound in zip(forms, sound, strict=True)
                    if is_sound
                ],
                terms=terms_of(data),
                stored_now=self.stored_now,
                actor=self.principal.actor,
            )
        )
        return [
            next(ordered) if is_sound else ValidationError(form.errors)
            for form, is_sound in zip(forms, sound, strict=True)
        ]


def _order(data: dict[str, Any]) -> Order:
    return Order(
        moment_id=data.get("moment"),
        project_id=data.get("project"),
        start=data.get("start", 0),
        end=data.get("end", 0),
        options=Options(**options_of(data)),
    )


def _answer(results: Sequence[Result]) -> Answer:
    shown = [_shown(index, result) for index, result in enumerate(results)]
    made = [each["export"] for each in shown if each["export"]]
    document = {
        "results": shown,
        "created": len(made),
        "refused": len(shown) - len(made),
        "credits": sum(export["credits"]["reserved"] for export in made),
    }
    return answer(status.HTTP_200_OK, document)


def _shown(index: int, result: Result) -> dict[str, Any]:
    if isinstance(result, Export):
        export = ExportSerializer(result).data
        return {"index": index, "status": 201, "export": export, "problem": None}
    problem = document_of(result)
    at = f"/exports/{index}"
    whole = {"pointer": "", "code": problem["code"], "detail": problem["detail"]}
    problem["errors"] = [
        {**each, "pointer": at + each["pointer"]} for each in problem.get("errors", [whole])
    ]
    return {"index": index, "status": problem["status"], "export": None, "problem": problem}

"""The readable and the writable fields of every serializer.

Written by hand: a field that is added to a serializer has to be added here too, after asking
whether a customer should see it, or set it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import CharField, TextField
from django.urls import get_resolver
from rest_framework.fields import FloatField, ListField
from rest_framework.serializers import BaseSerializer

from clipforge.common.api.serializers import Decimals, MaybeText, Strict
from clipforge.devtools.testing.factories import make_project

OURS = [
    config.name
    for config in apps.get_app_configs()
    if config.name.startswith(("clipforge", "projects", "credits", "exports", "billing"))
]

WORK = "id status stage progress queue_position expected_start_at error credits attempts"
TIMES = "created_at updated_at queued_at started_at finished_at"
WISHES = "count min_seconds max_seconds range keywords kinds language"
TRACE = "reason reference_type reference_id unit_price price_version inputs"

ORDER = "moment project start end aspect resolution layout fps format captions caption_style tighten watermark"
TERMS = "max_credits quote_id"
ENDPOINT = (
    "id url description event_types api_version is_enabled disabled_at disabled_because failing_since"
    " former_secret_until created_at updated_at"
)
DELIVERY = (
    "id endpoint event event_type object_id sequence status tries next_try_at answer_status error"
    " created_at delivered_at"
)

KEY = (
    "id name prefix mode scopes allowed_addresses monthly_credit_cap credits_used created_at created_by"
    " last_used_at expires_at revoked_at replaces"
)
KEY_LIMITS = "scopes allowed_addresses monthly_credit_cap"
KEY_REQUEST = "name mode scopes allowed_addresses monthly_credit_cap expires_at"

# Read, then written. Fields inside a field are those of its own serializer.
FIELDS: dict[str, tuple[str, str]] = {
    "ProjectSerializer": (
        f"{WORK} {TIMES} title external_id metadata source_name size duration expires_at width height has_audio"
        " audio_track warnings",
        "title",
    ),
    "ProjectUpdateSerializer": ("title external_id metadata", "title external_id metadata"),
    "ProjectUploadSerializer": (
        f"file title external_id metadata audio_track {WISHES} {TERMS}",
        f"file title external_id metadata audio_track {WISHES} {TERMS}",
    ),
    "SourceSerializer": (
        f"title external_id metadata audio_track {WISHES}",
        f"title external_id metadata audio_track {WISHES}",
    ),
    "ProjectOrderSerializer": (
        f"source_url upload title external_id metadata audio_track {WISHES} {TERMS}",
        f"source_url upload title external_id metadata audio_track {WISHES} {TERMS}",
    ),
    "UploadSerializer": (
        "id name size sha256 offset protocol url part_bytes project created_at expires_at",
        "",
    ),
    "MissingPartSerializer": ("number offset size url", "number offset size url"),
    "UploadPartsSerializer": ("received missing", "received missing"),
    "UploadRequestSerializer": ("name size sha256", "name size sha256"),
    "WishesSerializer": (WISHES, WISHES),
    "MomentSerializer": (
        "id project start end duration title hook kind score subscores reason scorer_version origin"
        " pinned rating",
        "",
    ),
    "WarningSerializer": ("code message", "code message"),
    "CorrectionsSerializer": ("words", "words"),
    "CorrectionSerializer": ("index text", "index text"),
    "EdgesSerializer": ("start end snap title", "start end snap title"),
    "MomentUpdateSerializer": (
        "start end snap title pinned rating",
        "start end snap title pinned rating",
    ),
    "ExportSerializer": (
        f"{WORK} {TIMES} project moment start end aspect resolution layout fps format captions caption_style tighten watermark"
        " size duration width height"
        " sha256 warnings expires_at pinned renewable_until download_url download_expires_at duplicate_of",
        "",
    ),
    "CaptionStyleSerializer": (
        "position size color highlight",
        "position size color highlight",
    ),
    "WatermarkStyleSerializer": ("position opacity size", "position opacity size"),
    "WatermarkSerializer": ("id width height size sha256 created_at", ""),
    "RangeSerializer": ("moment project start end", "moment project start end"),
    "ExportUpdateSerializer": ("pinned", "pinned"),
    "ExportOrderSerializer": (ORDER, ORDER),
    "ExportCreateSerializer": (f"{ORDER} {TERMS}", f"{ORDER} {TERMS}"),
    "ExportBatchSerializer": (f"mode exports {TERMS}", f"mode exports {TERMS}"),
    "EachAloneSerializer": (f"mode exports {TERMS}", f"mode exports {TERMS}"),
    "TermsSerializer": (TERMS, TERMS),
    "QuoteRequestSerializer": (
        "analysis_seconds export_seconds resolution exports",
        "analysis_seconds export_seconds resolution exports",
    ),
    "QuotedExportSerializer": ("seconds resolution", "seconds resolution"),
    "TransactionSerializer": (f"id type amount balance_after hold_id {TRACE} created_at", ""),
    "HoldSerializer": (
        f"id status amount captured {TRACE} created_at expires_at resolved_at",
        "",
    ),
    "OrganizationSerializer": ("id name slug tier created_at", ""),
    "TierLimitsSerializer": (
        "requests_per_minute uploads_per_minute exports_per_minute concurrent_jobs queued_jobs"
        " max_source_seconds max_resolution watermark retention_days storage_bytes monthly_credits",
        "",
    ),
    "OriginsSerializer": ("origins", "origins"),
    "TokenRequestSerializer": ("scope minutes", "scope minutes"),
    "CheckoutRequestSerializer": ("price currency", "price currency"),
    "PaymentSerializer": (
        "id status method price amount currency credits reversed_amount reference created_at paid_at",
        "",
    ),
    "SubscriptionSerializer": (
        "id status method plan tier period_start period_end cancel_at_period_end",
        "",
    ),
    "EndpointSerializer": (ENDPOINT, ""),
    "EndpointWithSecretSerializer": (f"{ENDPOINT} secret", ""),
    "EndpointCreateSerializer": (
        "url description event_types api_version",
        "url description event_types api_version",
    ),
    "EndpointUpdateSerializer": (
        "url description event_types api_version is_enabled",
        "url description event_types api_version is_enabled",
    ),
    "ReplaySerializer": ("created_after created_before", "created_after created_before"),
    "DeliverySerializer": (DELIVERY, ""),
    "DeliveryDetailSerializer": (f"{DELIVERY} body attempts", ""),
    "AttemptSerializer": ("url sent_at seconds answer_status error answer", ""),
    "APIKeySerializer": ("id name prefix scopes created_at last_used_at expires_at", ""),
    "KeySerializer": (KEY, ""),
    "NewKeySerializer": (f"{KEY} key", ""),
    "KeyRequestSerializer": (KEY_REQUEST, KEY_REQUEST),
    "KeysSerializer": ("keys", "keys"),
    "KeyLimitsSerializer": (KEY_LIMITS, KEY_LIMITS),
    "KeyRevocationSerializer": ("descendants", "descendants"),
    "KeyRotationSerializer": ("overlap_hours", "overlap_hours"),
}

# Read only from bodies: numbers go in as they come.
REQUESTS = {
    "RangeSerializer",
    "ExportOrderSerializer",
    "ExportCreateSerializer",
    "QuotedExportSerializer",
    "QuoteRequestSerializer",
    "ProjectUploadSerializer",
    "ProjectOrderSerializer",
    "SourceSerializer",
    "WishesSerializer",
    "EdgesSerializer",
    "MomentUpdateSerializer",
}

# These are only ever given out, never filled from a request: what they could take does not matter.
ANSWERS: dict[str, str] = {
    "TokenSerializer": "token scope expires_at",
    "ChosenSerializer": "results",
    "TranscriptSerializer": "language model start end corrected_at sentences",
    "SentenceSerializer": "start end text words",
    "CurvesSerializer": "scorer_version duration step window curves",
    "CurveSerializer": "name values",
    "QuoteOfTranscriptSerializer": "start end text",
    "FoundTranscriptSerializer": "project title language quotes",
    "FoundTranscriptsSerializer": "results more",
    "WordSerializer": "index text start end confidence",
    "BalanceSerializer": "available held posted debt",
    "LowBalanceSerializer": "available held posted debt",
    "ReplayedSerializer": "events",
    "StatementSerializer": "month opening rows closing",
    "UsageSerializer": "from to group_by rows charges spent refunded credits",
    "UsageRowSerializer": "group charges spent refunded credits",
    "PlanSerializer": "code name tier credits_per_month amount currency",
    "PackSerializer": "code name credits validity_days amount currency",
    "PricingSerializer": "version plans packs",
    "CheckoutSerializer": "payment url",
    "PortalSerializer": "url",
    "CurrentSubscriptionSerializer": "subscription",
    "QuoteSerializer": "id credits lines expires_at price_version available affordable",
    "QuoteLineSerializer": "kind seconds minutes resolution credits",
    "ExportBatchResultSerializer": "results created refused credits",
    "ExportResultSerializer": "index status export problem",
    "MeSerializer": "organization limits stored_bytes api_key",
    "FailureSerializer": "code message",
    "CreditsSerializer": "reserved charged",
    "ProblemSerializer": "type title status code detail request_id errors needed max_credits available limit"
    " quota running window received existing scope cap resets_at",
    "FieldErrorSerializer": "pointer code detail",
}


def our_modules() -> Iterator[ModuleType]:
    """Every module of every API that we serve."""
    assert get_resolver().url_patterns  # imports them
    names = (name for name in OURS if find_spec(f"{name}.api"))
    for package in (import_module(f"{name}.api") for name in names):
        for found in pkgutil.iter_modules(package.__path__):
            yield import_module(f"{package.__name__}.{found.name}")


# Bases, which have no fields of their own.
BASES = {"ModelSerializer", "Serializer", "JobSerializer"}


def serializers() -> dict[str, Any]:
    return {
        name: member
        for module in our_modules()
        for name, member in vars(module).items()
        if isinstance(member, type)
        and issubclass(member, BaseSerializer)
        and member.__module__ == module.__name__
        and name not in BASES
    }


def test_every_serializer_is_in_a_table():
    assert set(serializers()) == set(FIELDS) | set(ANSWERS)


def test_every_serializer_refuses_members_that_it_does_not_know():
    loose = [name for name, kind in serializers().items() if not issubclass(kind, Strict)]
    assert loose == []


def test_every_number_of_seconds_has_three_decimals_and_an_absent_text_is_null():
    kinds = {
        f"{name}.{field}": type(each)
        for name, kind in serializers().items()
        for field, each in kind().fields.items()
        if isinstance(each, FloatField) and not each.write_only and name not in REQUESTS
    }
    assert {each for each, kind in kinds.items() if kind is not Decimals} == {
        "MomentSerializer.score"
    }
    assert Decimals().to_representation(15.350000000000009) == 15.35
    for name, kind in serializers().items():
        meta: Any = getattr(kind, "Meta", None)
        for field in getattr(meta, "read_only_fields", ()):
            try:
                column = meta.model._meta.get_field(field)
            except FieldDoesNotExist:
                continue
            shown = kind().fields[field]
            if isinstance(
                shown, ListField
            ):  # of the words of the text: an empty one is an empty list
                continue
            if isinstance(column, CharField | TextField) and column.blank:
                assert isinstance(shown, MaybeText), f"{name}.{field}"
    assert MaybeText().to_representation("") is None


@pytest.mark.parametrize("name", FIELDS)
def test_its_fields_are_those_that_are_written_here(name):
    readable, writable = FIELDS[name]
    fields = serializers()[name]().fields
    assert {each for each in fields if not fields[each].write_only} == set(readable.split())
    assert {each for each in fields if not fields[each].read_only} == set(writable.split())


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_the_members_that_are_written_here(name):
    assert set(serializers()[name]().fields) == set(ANSWERS[name].split())


@pytest.mark.django_db
def test_a_member_that_cannot_be_written_is_refused_and_changes_nothing(api, organization):
    project = make_project(organization)
    read_only = set(FIELDS["ProjectSerializer"][0].split()) - {"title", "external_id", "metadata"}
    columns = {field.attname for field in project._meta.concrete_fields} - {
        "title",
        "external_id",
        "metadata",
    }
    url = f"/api/v1/projects/{project.pk}"
    before = api.get(url).json()
    for name in sorted(read_only | columns):
        response = api.patch(url, {"title": "Mine", name: 7})
        assert (response.status_code, response.json()["code"]) == (422, "unknown_field")
    project.refresh_from_db()
    assert api.get(url).json() == before

"""Two organizations side by side, and every kind of caller of the API of one of them."""

from __future__ import annotations

import datetime
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.transaction import atomic
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from billing.models import Payment
from billing.services import record_payment
from clipforge.devtools.testing.factories import (
    REASON,
    TESTER,
    make_api_key,
    make_client,
    make_endpoint,
    make_export,
    make_moment,
    make_organization,
    make_project,
    make_transcript,
    make_upload,
)
from clipforge.events import outbox
from clipforge.orgs import stored
from clipforge.orgs.models import APIKey, Organization, Tier
from clipforge.orgs.services import revoke_api_key

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")

# Fields that say whose a thing is.
NAMES = ("title", "reason", "source_name", "reference")

_addresses = itertools.count(1)


class Route(NamedTuple):
    name: str
    pattern: str  # with its converters: "/api/v1/projects/<uuid:project_id>"
    view: Any


def routes() -> list[Route]:
    """Every address that the service answers at."""
    return list(_routes(get_resolver().url_patterns, "/"))


def _routes(patterns: list[Any], before: str) -> Iterator[Route]:
    for pattern in patterns:
        here = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, here)
        else:
            view = getattr(pattern.callback, "view_class", pattern.callback)
            yield Route(pattern.name or "", here, view)


@dataclass(frozen=True)
class World:
    """One organization with something of everything, in the states in which it can be acted on."""

    org: Organization
    objects: dict[str, Any]

    def ids(self) -> set[str]:
        """All by which it and its things can be told."""
        words = {str(self.org.pk), self.org.name, self.org.slug}
        for row in self.objects.values():
            named = {str(getattr(row, field, "")) for field in NAMES}
            words |= {str(row.pk)} | {name for name in named if self.org.name in name}
        return words | {key.prefix for key in APIKey.objects.filter(organization=self.org)}


def make_world(name: str, *, is_active: bool = True) -> World:
    """An organization with credits to spend and no limit that a test could meet."""
    org = make_organization(name=name, tier=Tier.ENTERPRISE, credits_=1000, is_active=is_active)
    Organization.objects.filter(pk=org.pk).update(rate_limit_override=1_000_000)
    org.refresh_from_db()
    ready = make_project(org, title=f"{name} ready", external_id="theirs")
    exported = make_export(ready)
    endpoint = make_endpoint(org, f"https://{org.slug}.example/hook")
    with atomic():
        delivery = outbox.record_for(endpoint, "endpoint.test")
        other_delivery = outbox.record_for(endpoint, "endpoint.test")
    world = World(
        org,
        {
            "project": ready,
            "upload": make_upload(org, name=f"{name} sent.mp4"),
            "running project": make_project(org, title=f"{name} running", status="ANALYZING"),
            "failed project": make_project(org, title=f"{name} failed", status="FAILED"),
            "moment": make_moment(ready, reason=f"{name} speaks", kind="talk", rating="up"),
            "other moment": make_moment(ready, score=60.0, reason=f"{name} speaks again"),
            "transcript": make_transcript(ready, f"{name} speaks."),
            "export": exported,
            "queued export": make_export(ready, status="QUEUED"),
            "failed export": make_export(ready, status="FAILED"),
            "hold": exported.hold,
            "payment": _make_payment(org, name, 1),
            "other payment": _make_payment(org, name, 2),
            "endpoint": endpoint,
            "other endpoint": make_endpoint(org, f"https://{org.slug}.example/other"),
            "delivery": delivery,
            "other delivery": other_delivery,
            "event": delivery.event,
            "key": make_api_key(org, name=f"{name} key").api_key,
        },
    )
    # Otherwise the first request of anybody would count it: in a test they share one transaction.
    stored.settle(org.pk)
    return world


def _make_payment(org: Organization, name: str, number: int) -> Payment:
    return record_payment(
        org=org,
        code="pack-100",
        reference=f"{name} transfer {number}",
        paid_on=timezone.now().date(),
        reason="for a test",
        actor=TESTER,
    )


# --- callers --------------------------------------------------------------------------


def callers(owner: World) -> dict[str, APIClient]:
    """Clients whose key is none, or was one of the owner's."""
    revoked = make_api_key(owner.org)
    revoke_api_key(api_key=revoked.api_key, reason=REASON, actor=TESTER)
    expired = make_api_key(owner.org)
    APIKey.objects.filter(pk=expired.api_key.pk).update(
        expires_at=timezone.now() - datetime.timedelta(seconds=1)
    )
    return {
        "anonymous": APIClient(),
        "revoked": client_with(revoked.secret),
        "expired": client_with(expired.secret),
        "truncated": client_with(make_api_key(owner.org).secret[:-1]),
    }


def client_with(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def client_of(world: World) -> APIClient:
    return make_client(world.org)


# --- what they ask --------------------------------------------------------------------


def ask(client: APIClient, method: str, path: str, body: Any = None) -> Any:
    """Send it, each time from another address: no limit by address may refuse it.

    A `bytes` body is uploaded as a video, anything else goes as JSON.
    """
    if isinstance(body, bytes):
        form = {"file": SimpleUploadedFile("talk.mp4", body), "title": "Uploaded"}
        content, content_type = encode_multipart(BOUNDARY, form), MULTIPART_CONTENT
    else:
        content, content_type = json.dumps(body or {}).encode(), "application/json"
    sent: Any = content if method in {"POST", "PUT", "PATCH", "DELETE"} else b""
    number = next(_addresses)
    return client.generic(
        method,
        path,
        sent,
        content_type=content_type,
        HTTP_ACCEPT="*/*",
        REMOTE_ADDR=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    )


def said(response: Any) -> str:
    """Everything that an answer says: status, headers and body.

    But for the request's own id, and what is left of the caller's own limits.
    """
    own = {"X-Request-ID", "RateLimit"}
    headers = sorted(f"{k}: {v}" for k, v in response.headers.items() if k not in own)
    text = "\n".join([str(response.status_code), *headers, body_text(response)])
    return text.replace(response.headers["X-Request-ID"], "<request id>")


def body_text(response: Any) -> str:
    """The body alone: headers may repeat the address that was asked for."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    return body.decode(errors="replace")

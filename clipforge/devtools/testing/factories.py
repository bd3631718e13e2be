"""Typed makers of rows. Everything has a sensible default; a test names only the fields that matter to it."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import itertools
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils import timezone
from django.utils.text import slugify
from rest_framework.test import APIClient

from clipforge.audit.actor import Actor
from clipforge.media.words.transcript import Sentence, Transcript, Word
from clipforge.orgs import keys
from clipforge.orgs import services as org_services
from clipforge.orgs.models import APIKey, Organization, Tier, TierLimits, User

if TYPE_CHECKING:
    from pathlib import Path

    from clipforge.events.models import Endpoint
    from clipforge.jobs.models import Job
    from credits.pricing import Charge
    from exports.models import Export
    from projects.models import Moment, Project, ProjectTranscript, Upload

J = TypeVar("J", bound="Job")

# The cause and the reason of what a test does through a service.
TESTER = Actor.of_system("test")
REASON = "asked for in writing"

_numbers = itertools.count(1)


def make_user(**overrides: Any) -> User:
    email = overrides.pop("email", f"user{next(_numbers)}@example.com")
    return User.objects.create(**{"email": email, "username": email, **overrides})


def make_organization(
    *, name: str = "", tier: str = Tier.PRO, credits_: int = 0, is_active: bool = True
) -> Organization:
    """An organization, with `credits_` credits granted to it.

    As its service makes one, but without a row in the audit: a test finds there only what it did.
    """
    name = name or f"Organization {next(_numbers)}"
    organization = Organization.objects.create(name=name, slug=slugify(name), tier=tier)
    if not is_active:
        Organization.objects.filter(pk=organization.pk).update(is_active=False)
        organization.is_active = False
    if credits_:
        make_grant(organization, credits_)
    return organization


def make_tier_limits(**overrides: Any) -> None:
    """The tiers as the migration makes them; a transactional test before may have emptied the table.

    `overrides` hold for every tier.
    """
    first = importlib.import_module("clipforge.orgs.migrations.0002_tier_limits").LIMITS
    scoped = importlib.import_module(
        "clipforge.orgs.migrations.0003_cached_rows_and_scoped_limits"
    ).SCOPED
    highest = importlib.import_module("clipforge.orgs.migrations.0011_resolution").HIGHEST
    with_watermark = importlib.import_module("clipforge.orgs.migrations.0018_watermark").TIERS
    depths = importlib.import_module("clipforge.orgs.migrations.0013_queued_jobs").DEPTHS
    stored = importlib.import_module("clipforge.orgs.migrations.0017_storage_usage").MOST
    for tier, (requests, jobs, source, retention, monthly) in first.items():
        uploads, exports = scoped[tier]
        TierLimits.objects.get_or_create(
            tier=tier,
            defaults={
                "requests_per_minute": requests,
                "uploads_per_minute": uploads,
                "exports_per_minute": exports,
                "concurrent_jobs": jobs,
                "queued_jobs": depths[tier],
                "max_source_seconds": source,
                "max_resolution": highest.get(tier, 1080),
                "watermark": tier in with_watermark,
                "retention_days": retention,
                "storage_bytes": stored[tier],
                "monthly_credits": monthly,
            },
        )
    if overrides:
        TierLimits.objects.update(**overrides)


def make_grant(org: Organization, amount: int, **overrides: Any) -> Any:
    from credits import services as credit_services
    from credits.models import GrantKind

    return credit_services.grant(
        **{
            "org": org,
            "amount": amount,
            "kind": GrantKind.PROMO,
            "reason": "for a test",
            "actor": TESTER,
            "audit": False,
            "idempotency_key": f"test:{next(_numbers)}",
            **overrides,
        }
    )


def make_transactions(
    org: Organization, *transactions: tuple[datetime.datetime, str, int], **overrides: Any
) -> None:
    """Rows of the ledger at times of the past: when, type and amount. The books agree with them.

    `overrides` are of every row.
    """
    from django.db.models import F

    from credits.models import CreditAccount, CreditGrant, CreditTransaction, GrantKind

    account, _ = CreditAccount.objects.get_or_create(org=org)
    account.refresh_from_db()
    posted, version, rows = account.posted, account.version, []
    for at, type_, amount in transactions:
        posted, version = posted + amount, version + 1
        rows.append(
            CreditTransaction(
                **{
                    "org": org,
                    "type": type_,
                    "amount": amount,
                    "balance_after": posted,
                    "org_seq": version,
                    "actor": "test",
                    "reason": "for a test",
                    "idempotency_key": f"test:{next(_numbers)}",
                    "created_at": at,
                    **overrides,
                }
            )
        )
    CreditTransaction.objects.bulk_create(rows)
    CreditAccount.objects.filter(org=org).update(posted=posted, version=version)
    # What a lot was made of stands, so it is made large enough for whatever comes.
    CreditGrant.objects.get_or_create(
        org=org,
        kind=GrantKind.ADJUST,
        defaults={"priority": 1, "amount": 10**9, "remaining": 0},
    )
    CreditGrant.objects.for_org(org).filter(kind=GrantKind.ADJUST).update(
        remaining=F("remaining") + posted - account.posted
    )


def make_api_key(organization: Organization, **overrides: Any) -> org_services.NewKey:
    """A key, as `create_api_key` of orgs makes one, but without a row in the audit."""
    public_id, secret = keys.generate()
    api_key = APIKey.objects.create(
        **{
            "organization": organization,
            "name": "test",
            "prefix": public_id,
            "digest": keys.digest(secret),
            **overrides,
        }
    )
    return org_services.NewKey(api_key, secret)


def make_client(organization: Organization, **overrides: Any) -> APIClient:
    """A client of the API with a fresh key, last used just now (so that using it writes nothing)."""
    new = make_api_key(organization, **overrides)
    new.api_key.last_used_at = timezone.now()
    new.api_key.save(update_fields=["last_used_at"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {new.secret}")
    return client


def make_endpoint(
    org: Organization, url: str = "https://example.com/hook", **overrides: Any
) -> Endpoint:
    """A webhook endpoint, as its service makes one, but without a row in the audit."""
    from clipforge.events import signing
    from clipforge.events.models import Endpoint

    return Endpoint.objects.create(
        **{"org": org, "url": url, "salt": signing.new_salt(), **overrides}
    )


# --- projects, moments and exports -----------------------------------------------------
#
# Each is brought to its status by the code that does it in service, so that its hold, fence and
# attempts are what they would be. Its price is granted first: an open or captured hold leaves
# what is available as it was; one that was given back leaves the price on the balance.


def make_project(
    org: Organization | None = None,
    *,
    status: str = "READY",
    source: Path | None = None,
    **overrides: Any,
) -> Project:
    """A project of a minute (1 credit) in any status; `source` is copied to its place."""
    from clipforge.common.models import uuid7
    from projects.models import Project
    from projects.pricing import analysis_charge

    org = org or make_organization()
    pk = overrides.pop("id", uuid7())
    project = Project(
        **{
            "id": pk,
            "org": org,
            "title": f"Talk {next(_numbers)}",
            "source_name": "talk.mp4",
            "source_key": f"{org.pk}/projects/{pk}/source",
            "sha256": "0" * 64,
            "size": 1000,
            "duration": 60.0,
            "width": 640,
            "height": 360,
            "has_audio": True,
            **overrides,
        }
    )
    if source is not None:
        _store(project.source_key, source.read_bytes())
    project.stored_bytes = source.stat().st_size if source else project.size
    return _make_job(project, status, analysis_charge(project.duration))


def make_upload(org: Organization, **overrides: Any) -> Upload:
    """One of which nothing has been sent yet."""
    from projects import uploads

    values = {"name": "talk.mp4", "size": 1000, **overrides}
    return uploads.create_upload(org=org, **values)


def make_moment(project: Project, **overrides: Any) -> Moment:
    """The first twenty seconds of the project, worth 70 of 100."""
    from projects.models import Moment

    return Moment.objects.create(
        **{
            "org": project.org,
            "project": project,
            "start": 0.0,
            "end": 20.0,
            "score": 70.0,
            "subscores": {"speech": 80.0, "motion": 60.0},
            "reason": "Somebody talks.",
            "scorer_version": "test",
            **overrides,
        }
    )


def make_transcript(project: Project, *sentences: str, **overrides: Any) -> ProjectTranscript:
    """Sentences of words of half a second each, one after the other, from 1 s on."""
    from projects.models import ProjectTranscript

    spoken, at = [], 1.0
    for sentence in sentences or ("Hello world.", "How are you?"):
        words = []
        for text in sentence.split():
            words.append(Word(text, at, at + 0.5, 0.9))
            at += 0.5
        spoken.append(Sentence(tuple(words)))
    row = ProjectTranscript(project=project, org=project.org, **overrides)
    row.content = Transcript("en", tuple(spoken), "test 1.0")
    row.save(force_insert=True)
    return row


def make_export(
    project: Project | None = None,
    *,
    status: str = "READY",
    content: bytes = b"a finished file",
    **overrides: Any,
) -> Export:
    """An export of ten seconds (1 credit) in any status. READY has a file with that `content`."""
    from clipforge.common.models import uuid7
    from exports.models import Export
    from exports.pricing import export_charge

    project = project or make_project()
    export = Export(
        **{
            "id": uuid7(),
            "org": project.org,
            "project": project,
            "start": 0.0,
            "end": 10.0,
            "aspect": "9:16",
            "resolution": 480,
            **overrides,
        }
    )
    finished = {
        "size": len(content),
        "stored_bytes": len(content),
        "duration": export.end - export.start,
        "width": 480,
        "height": 854,
        "sha256": hashlib.sha256(content).hexdigest(),
        "expires_at": timezone.now() + datetime.timedelta(days=7),
    }
    if status in {"READY", "EXPIRED"}:
        finished["file_key"] = f"{export.org_id}/exports/{export.pk}/1.mp4"
    charge = export_charge(export.start, export.end)
    made = _make_job(export, "READY" if status == "EXPIRED" else status, charge, **finished)
    if status == "READY":
        _store(made.file_key, content)
    elif status == "EXPIRED":
        made.status, made.file_key, made.stored_bytes = status, "", 0
        made.save()
    return made


def _make_job(item: J, status: str, charge: Charge, **finished: Any) -> J:
    from clipforge.jobs import lifecycle
    from clipforge.jobs.models import CANCELLED, FAILED, QUEUED

    if status == "UPLOADED":
        item.save(force_insert=True)
        return item
    make_grant(item.org, charge.credits)
    lifecycle.submit(item, charge=charge, reason="for a test", actor="test")
    if status == CANCELLED:
        return lifecycle.cancel(item, actor="test")
    if status != QUEUED:
        claimed = lifecycle.claim(type(item), item.pk, fence=item.fence)
        assert claimed is not None
        if status == FAILED:
            assert lifecycle.fail(claimed, error=("timed_out", "It took too long."), actor="test")
        elif status != item.RUNNING:
            charged = status != "EMPTY"
            assert lifecycle.succeed(
                claimed, status=status, actor="test", charged=charged, **finished
            )
    item.refresh_from_db()
    return item


def _store(key: str, content: bytes) -> None:
    from clipforge.common import storage

    if storage.is_local():
        path = storage.path_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)  # without the fsync that each test would wait for
    else:
        part = storage.new_part()
        part.write_bytes(content)
        storage.publish(part, key)

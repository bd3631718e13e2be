"""People, organizations, the API keys that act for them, and the limits of their tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now

from clipforge.common.models import (
    AnnouncingQuerySet,
    CachedRow,
    OrgQuerySet,
    TimestampedModel,
    UUIDModel,
)
from clipforge.orgs import keys
from clipforge.orgs.trigrams import Trigrams

if TYPE_CHECKING:
    import datetime
    import uuid
    from collections.abc import Iterator


class Tier(models.TextChoices):
    FREE = "FREE", "Free"
    STARTER = "STARTER", "Starter"
    PRO = "PRO", "Pro"
    BUSINESS = "BUSINESS", "Business"
    ENTERPRISE = "ENTERPRISE", "Enterprise"


class User(AbstractUser):
    """A person: a member of organizations, or staff. The user name is the e-mail address."""

    email = models.EmailField(unique=True)
    # Sessions carry it: raising it ends all that there are. `services.end_sessions`.
    session_version = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    def get_session_auth_hash(self) -> str:
        """The hash that a session of this person must carry: a new one ends all earlier sessions."""
        return f"{super().get_session_auth_hash()}:{self.session_version}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        for found in super().get_session_auth_fallback_hash():
            yield f"{found}:{self.session_version}"

    class Meta(AbstractUser.Meta):
        indexes = [
            # Staff look for a part of an address.
            GinIndex(Trigrams("email"), fastupdate=False, name="orgs_user_email_parts"),
            # The admin's list of staff, a few of all users.
            models.Index(fields=["-id"], condition=models.Q(is_staff=True), name="orgs_user_staff"),
        ]


class TierLimits(CachedRow):
    """The limits of a tier. One row a tier, seeded by migration, edited in the admin."""

    tier = models.CharField(primary_key=True, max_length=16, choices=Tier)
    requests_per_minute = models.PositiveIntegerField(help_text="All requests, by their cost.")
    uploads_per_minute = models.PositiveIntegerField(help_text="New projects.")
    exports_per_minute = models.PositiveIntegerField(help_text="New and repeated exports.")
    concurrent_jobs = models.PositiveIntegerField(
        help_text="Analyses and exports that run at the same time. Also the share of the workers."
    )
    queued_jobs = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Analyses and exports that wait beyond those."
    )
    max_source_seconds = models.PositiveIntegerField(help_text="Longest source video, in seconds.")
    max_resolution = models.PositiveIntegerField(
        default=1080, db_default=1080, help_text="Of exports: pixels of the shorter side."
    )
    watermark = models.BooleanField(
        default=False, db_default=False, help_text="Exports may carry the customer's own image."
    )
    retention_days = models.PositiveIntegerField(
        help_text="Sources and finished files are kept this long."
    )
    storage_bytes = models.BigIntegerField(
        default=0, db_default=0, help_text="What sources and finished files may take together."
    )
    monthly_credits = models.PositiveIntegerField()

    objects = AnnouncingQuerySet["TierLimits"].as_manager()

    class Meta:
        verbose_name_plural = "tier limits"

    def __str__(self) -> str:
        return self.tier

    @property
    def open_jobs(self) -> int:
        """How many jobs may run and wait together."""
        return self.concurrent_jobs + self.queued_jobs


class Organization(UUIDModel, TimestampedModel, CachedRow):
    """A customer. Everything that a customer owns carries its organization."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    tier = models.CharField(max_length=16, choices=Tier, default=Tier.FREE)
    is_active = models.BooleanField(default=True, help_text="An inactive organization gets 403.")
    rate_limit_override = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests per minute, instead of the tier's."
    )
    allowed_origins = models.TextField(
        blank=True,
        db_default="",
        help_text="Whose pages may read answers: origins like https://app.example.com, by blanks.",
    )
    # Of a sandbox: the organization whose tests it is for. One has one sandbox.
    sandbox_of = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="sandboxes",
    )
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Membership", related_name="organizations"
    )

    objects = AnnouncingQuerySet["Organization"].as_manager()

    class Meta:
        constraints = [
            # Also finds the sandbox of an organization.
            models.UniqueConstraint(
                fields=["sandbox_of"],
                condition=models.Q(sandbox_of__isnull=False),
                name="orgs_organization_one_sandbox",
            )
        ]
        indexes = [
            # Staff look for a part of a name.
            GinIndex(Trigrams("name"), fastupdate=False, name="orgs_organization_name_parts"),
            # The admin's list by tier, and of the few that are suspended.
            models.Index(fields=["tier", "-id"], name="orgs_organization_tier"),
            models.Index(
                fields=["-id"],
                condition=models.Q(is_active=False),
                name="orgs_organization_suspended",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_sandbox(self) -> bool:
        """Is it for tests: free credits, marked and short clips, the test mode of Stripe?"""
        return self.sandbox_of_id is not None


class Scope(models.TextChoices):
    """The rights of keys. Every operation of the API needs exactly one of these."""

    READ = "read", "See projects, exports and credits"
    WRITE = "write", "Upload, export, change, cancel and delete"
    BILLING = "billing", "See payments, and pay"
    WEBHOOKS = "webhooks", "Manage webhooks"
    KEYS = "keys", "Manage keys, tokens and origins"


class StorageUsage(models.Model):
    """The bytes that the files of an organization take. Written by a trigger, and by nothing else.

    Each table of files has `stored_bytes`; whatever changes it changes this, in the same transaction.
    """

    org = models.OneToOneField(Organization, models.CASCADE, primary_key=True, related_name="+")
    bytes = models.BigIntegerField(db_default=0)
    # The same by the sort of files: `{"projects": 1000, "exports": 200}`.
    areas = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    # Raised with every change: the cached value is stored under it.
    version = models.BigIntegerField(db_default=1)

    def __str__(self) -> str:
        return f"{self.bytes} bytes"


EVERY_SCOPE = tuple(Scope.values)


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"


class Membership(TimestampedModel):
    # The unique constraint below serves lookups by user; an index on user alone would repeat it.
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", db_index=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization"], name="orgs_membership_once_per_user"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class APIKey(UUIDModel, CachedRow):
    """A key acts for its organization. The secret is shown once; only a keyed hash is stored."""

    # Carried by a composite index below.
    organization = models.ForeignKey(
        Organization, models.CASCADE, db_index=False, related_name="api_keys"
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, unique=True, help_text="The public part of the key.")
    digest = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, related_name="api_keys_created"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # What it may do, by blanks: of Scope. All of it where nothing is said, as for the keys of before.
    scopes = models.CharField(max_length=100, blank=True, db_default="", editable=False)
    # A token, for a page: a browser may use it only from the origins that the organization allows.
    is_publishable = models.BooleanField(default=False, db_default=False, editable=False)
    allowed_addresses = models.TextField(
        blank=True,
        db_default="",
        editable=False,
        help_text="Networks that it works from, like 203.0.113.0/24, by blanks. Empty: from anywhere.",
    )
    monthly_cap = models.BigIntegerField(
        null=True, blank=True, editable=False, help_text="Credits a month (UTC). Empty: no cap."
    )
    # Keys that share one cap: a key with what it was rotated into, and its tokens. None: its own id.
    family = models.UUIDField(null=True, blank=True, editable=False)
    # The key that asked for this one through the API.
    created_with = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="keys_created",
    )
    # By rotation: the key that this one takes the place of. One key has one successor.
    replaces = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="successors",
    )

    objects = AnnouncingQuerySet["APIKey"].as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            # Two rotations at once make one successor. Also finds it.
            models.UniqueConstraint(
                fields=["replaces"],
                condition=models.Q(replaces__isnull=False),
                name="orgs_apikey_one_successor",
            )
        ]
        indexes = [
            # The keys of an organization, and its timeline: when each was issued.
            models.Index(fields=["organization", "-created_at", "-id"], name="orgs_apikey_newest"),
            # The timeline again: when each was revoked.
            models.Index(
                fields=["organization", "-revoked_at", "-id"],
                condition=models.Q(revoked_at__isnull=False),
                name="orgs_apikey_revoked",
            ),
            # GET /keys, and the keys that the admin shows: without the many tokens.
            models.Index(
                fields=["organization", "-created_at", "-id"],
                condition=models.Q(is_publishable=False),
                name="orgs_apikey_lasting",
            ),
            # `clipforge.orgs.api_keys`: the tokens that end with their key.
            models.Index(
                fields=["created_with"],
                condition=models.Q(created_with__isnull=False),
                name="orgs_apikey_created_with",
            ),
            # A cap is changed for all that share it.
            models.Index(
                fields=["family"],
                condition=models.Q(family__isnull=False),
                name="orgs_apikey_family",
            ),
            # `clipforge.orgs.tasks.forget_ended_tokens`.
            models.Index(
                fields=["expires_at"],
                condition=models.Q(is_publishable=True),
                name="orgs_apikey_ended_tokens",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({keys.label(self.prefix, self.text_prefix)})"

    @property
    def text_prefix(self) -> str:
        """The beginning of its text, as far as can be told without asking for its organization."""
        if self.is_publishable:
            return keys.TOKEN_PREFIX
        is_known = APIKey.organization.is_cached(self)
        return keys.TEST_PREFIX if is_known and self.organization.is_sandbox else keys.PREFIX

    def may(self, scope: str) -> bool:
        return not self.scopes or scope in self.scopes.split()

    @property
    def scope_list(self) -> list[str]:
        """Its rights, in the order of Scope."""
        return (
            self.scopes.split() if self.scopes else [*EVERY_SCOPE]
        )  # they are stored in its order

    @property
    def address_list(self) -> list[str]:
        """The networks that it works from; none: all of them."""
        return self.allowed_addresses.split()

    @property
    def family_id(self) -> uuid.UUID:
        """The name under which it spends: with all keys that share its cap."""
        return self.family or self.pk

    def is_usable(self, now: datetime.datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeySpending(models.Model):
    """The credits that a family of keys spent in a month: reserved or charged, less what came back.

    Written by the functions of the ledger that reserve, settle and refund, in their transaction,
    after the lock on the organization's account.
    """

    org = models.ForeignKey(Organization, models.CASCADE, db_index=False, related_name="+")
    family = models.UUIDField()
    month = models.DateField(help_text="Its first day, in UTC: that of the reservation.")
    used = models.BigIntegerField(db_default=0)

    objects = OrgQuerySet["KeySpending"].as_manager()

    class Meta:
        constraints = [
            # The row that is counted up and down; also GET /keys.
            models.UniqueConstraint(
                fields=["org", "family", "month"], name="orgs_keyspending_once_a_month"
            ),
            # The backstop: no more comes back than was spent.
            models.CheckConstraint(
                condition=models.Q(used__gte=0), name="orgs_keyspending_used_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.used} in {self.month:%Y-%m}"


class IdempotencyRecord(models.Model):
    """The answer that a client got for an `Idempotency-Key`, replayed when it asks again.

    Written in the transaction of the effect, so that one never exists without the other.
    """

    org = models.ForeignKey(Organization, models.CASCADE, db_index=False, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(
        max_length=64, help_text="SHA-256 of method, path and body, hexadecimal."
    )
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    location = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = OrgQuerySet["IdempotencyRecord"].as_manager()

    class Meta:
        constraints = [
            # Also serves the lookup of a key, and the foreign key.
            models.UniqueConstraint(fields=["org", "key"], name="orgs_idempotency_once_per_key")
        ]
        indexes = [
            # `clipforge.orgs.tasks.forget_old_idempotency_records`, once a day.
            models.Index(fields=["created_at"], name="orgs_idempotency_created")
        ]

    def __str__(self) -> str:
        return self.key


class RefusedRequests(models.Model):
    """How many requests with a key were refused in an hour: a row for each code and limit.

    Written by `clipforge.orgs.refused`.
    """

    org = models.ForeignKey(Organization, models.CASCADE, db_index=False, related_name="+")
    hour = models.DateTimeField(help_text="When it began.")
    # Of a token, the key that asked for it. It may be gone.
    key = models.ForeignKey(
        APIKey, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=64)
    limit_name = models.CharField("limit", max_length=32, blank=True, db_default="")
    count = models.BigIntegerField()

    objects = OrgQuerySet["RefusedRequests"].as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "refused requests"
        constraints = [
            # The row that is counted up; also the refusals on the page of an organization.
            models.UniqueConstraint(
                fields=["org", "hour", "key", "status", "code", "limit_name"],
                name="orgs_refused_once_an_hour",
            )
        ]
        indexes = [
            # The admin's list, who was refused most, and `clipforge.orgs.tasks.forget_refusals`.
            models.Index(fields=["-hour", "-id"], name="orgs_refused_newest")
        ]

    def __str__(self) -> str:
        return f"{self.count:,} × {self.code} at {self.hour:%Y-%m-%d %H:%M:%S} UTC"


class Refusal(models.Model):
    """A request that was refused, by the id that its answer gave the client.

    Written by `clipforge.orgs.refusal_log`, which says how many are kept.
    """

    # A client may choose its own, also twice.
    request_id = models.CharField(max_length=64)
    at = models.DateTimeField()
    # None for a stranger.
    org = models.ForeignKey(
        Organization, models.CASCADE, null=True, db_index=False, related_name="+"
    )
    key_prefix = models.CharField(max_length=16, db_default="")
    method = models.CharField(max_length=8)
    # The name, not the path: a path may carry a signed token.
    route = models.CharField(max_length=64, db_default="")
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=64)
    limit_name = models.CharField(max_length=32, db_default="")
    detail = models.CharField(max_length=300)

    class Meta:
        indexes = [
            # The find of staff, by what a customer quotes.
            models.Index(fields=["request_id"], name="orgs_refusal_request"),
            # `clipforge.orgs.tasks.forget_refused_ids`, each night.
            models.Index(fields=["at"], name="orgs_refusal_at"),
            # The foreign key, when an organization is deleted.
            models.Index(fields=["org"], name="orgs_refusal_org"),
        ]

    def __str__(self) -> str:
        return f"{self.code} at {self.at:%Y-%m-%d %H:%M:%S} UTC"

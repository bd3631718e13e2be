from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.common.errors import Unavailable
from clipforge.orgs import selectors, services, windows


class Command(AuditedCommand):
    help = (
        "Show what an organization has used of its limits in the last minute, or let it begin "
        "anew at once. Limits themselves are changed in the admin, or with set_tier."
    )
    default_reason = "reset by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["show", "reset"])
        parser.add_argument("org", metavar="ORG", help="id, slug or name of the organization")

    def run(self, *, action: str, org: str, reason: str, **options: Any) -> dict[str, Any]:
        organization = selectors.find_organization(org)
        limits = selectors.limits_of(organization)
        try:
            used = windows.used(default_cache().redis, organization)
            if action == "reset" and not self.is_dry_run:
                services.reset_limits(organization=organization, reason=reason, actor=self.actor)
        except RedisError as error:
            raise Unavailable(
                "Redis, which counts the requests, cannot be reached; each web process counts for "
                f"itself meanwhile. ({error})"
            ) from error
        self.say(f"{organization.name} ({organization.tier})")
        for scope, count in used.items():
            limit = windows.limit_of(scope, organization, limits)
            self.say(f"  {scope:8} {count:5} of {limit:5} in the last {windows.SECONDS} s")
        if action == "reset":
            is_free = "would be" if self.is_dry_run else "is"
            self.say(f"Reset: all of it {is_free} free again.")
        return {
            "org": organization.pk,
            "tier": organization.tier,
            "scopes": {
                scope: {
                    "used": count,
                    "limit": windows.limit_of(scope, organization, limits),
                }
                for scope, count in used.items()
            },
            "reset": action == "reset",
        }

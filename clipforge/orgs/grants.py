"""The rights of a key, and the rule that a key gives no more than it has."""

from __future__ import annotations

import datetime
import uuid
from typing import NamedTuple

from clipforge.common.errors import Forbidden
from clipforge.orgs import networks
from clipforge.orgs.models import APIKey, Organization, Scope


class Grants(NamedTuple):
    """The rights that a key gives to whoever has it."""

    organization: Organization
    scopes: str = ""
    expires_at: datetime.datetime | None = None
    allowed_addresses: str = ""
    monthly_cap: int | None = None
    family: uuid.UUID | None = None

    @classmethod
    def of(cls, api_key: APIKey) -> Grants:
        return cls(
            api_key.organization,
            api_key.scopes,
            api_key.expires_at,
            api_key.allowed_addresses,
            api_key.monthly_cap,
            api_key.family_id,
        )

    def is_narrower_than(self, other: Grants) -> bool:
        """Does this give nothing that `other`, of the same key, does not?"""
        scopes, others = (set(each.scopes.split() or Scope.values) for each in (self, other))
        is_capped = self.monthly_cap is not None and (
            other.monthly_cap is None or self.monthly_cap <= other.monthly_cap
        )
        return (
            scopes <= others
            and networks.is_within(self.allowed_addresses, other.allowed_addresses)
            and (is_capped or self.monthly_cap == other.monthly_cap)
        )

    def require_within(self, own: APIKey) -> None:
        """Raises Forbidden where this is more than the key `own` may do itself."""
        asked = self.scopes.split() or Scope.values
        lacking = [scope for scope in asked if not own.may(scope)]
        if lacking:
            raise Forbidden(
                f"A key gives no more than it has, and this one has not the scope `{lacking[0]}`.",
                code="scope_missing",
                scope=lacking[0],
            )
        if own.expires_at and (self.expires_at is None or self.expires_at > own.expires_at):
            raise beyond("it ends before that")
        if not networks.is_within(self.allowed_addresses, own.allowed_addresses):
            raise beyond("it works from fewer addresses")
        # Credits of a sandbox are free: the cap of a live key is none of its business.
        capped = own.monthly_cap is not None and own.organization_id == self.organization.pk
        if capped and (self.monthly_cap, self.family) != (own.monthly_cap, own.family_id):
            raise beyond("it has a monthly cap, which others can only share")


def beyond(why: str) -> Forbidden:
    return Forbidden(f"A key gives no more than it has: {why}.", code="beyond_own_key")

"""The principal of a request: `request.user` of a client of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clipforge.audit.actor import Actor
from clipforge.orgs.models import APIKey, Organization, TierLimits


@dataclass(frozen=True, slots=True)
class Principal:
    api_key: APIKey
    limits: TierLimits  # of the organization's tier

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False

    @property
    def organization(self) -> Organization:
        return self.api_key.organization

    @property
    def actor(self) -> str:
        """The name of this caller in audit trails."""
        return str(self.cause)

    @property
    def cause(self) -> Actor:
        """This caller, for services that leave a row in the audit."""
        return Actor.of_api_key(self.api_key.prefix)

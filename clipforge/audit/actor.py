"""The cause of a change, as services, the ledger, the log and the audit name it.

Plain values: a service takes an `Actor` and knows neither requests nor commands.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models

from clipforge.common import logs
from clipforge.common.addresses import client_address

if TYPE_CHECKING:
    from django.http import HttpRequest


class ActorKind(models.TextChoices):
    USER = "user", "Person"
    COMMAND = "command", "Command"
    STRIPE = "stripe", "Stripe"
    SYSTEM = "system", "System"
    API_KEY = "key", "API key"


@dataclass(frozen=True, slots=True)
class Actor:
    """One cause. `id` names it within its kind: a primary key, a command, an event of Stripe's.

    `user_id` is the person who answers for it: of a request the one who signed in, of a command its
    `--operator`, otherwise None. `label` is for people and may change; nothing is looked up by it.
    """

    kind: ActorKind
    id: str
    label: str = ""
    user_id: int | None = None
    request_id: str = ""
    address: str | None = None

    def __str__(self) -> str:
        """The name in the ledger and in the log: `user:5`, `command:set_tier`, `system:sweeper`.

        Stripe is one there; its events are told apart in the audit.
        """
        if self.kind is ActorKind.STRIPE:
            return self.kind.value
        return f"{self.kind.value}:{self.id}"

    @classmethod
    def of_user(cls, user: Any, *, request_id: str = "", address: str | None = None) -> Actor:
        """A person of the staff."""
        return cls(
            ActorKind.USER,
            str(user.pk),
            label=str(user),
            user_id=user.pk,
            request_id=request_id,
            address=address,
        )

    @classmethod
    def of_request(cls, request: HttpRequest) -> Actor:
        """The person who signed in and sent the request."""
        return cls.of_user(
            request.user,
            request_id=logs.context().get("request_id", ""),
            address=client_address(request),
        )

    @classmethod
    def of_command(cls, name: str, *, operator: Any = None) -> Actor:
        """A command: `operator` is the member of staff it was run for, else the OS user is noted."""
        return cls(
            ActorKind.COMMAND,
            name,
            label=_os_user() if operator is None else str(operator),
            user_id=None if operator is None else operator.pk,
        )

    @classmethod
    def of_stripe(cls, event_id: str) -> Actor:
        return cls(ActorKind.STRIPE, event_id, label="Stripe")

    @classmethod
    def of_system(cls, name: str) -> Actor:
        """A part of ours that acts by itself: the sweeper, the scheduler, billing's month."""
        return cls(ActorKind.SYSTEM, name)

    @classmethod
    def of_api_key(cls, prefix: str) -> Actor:
        """A customer's client. `prefix` is the public part of the key."""
        return cls(ActorKind.API_KEY, prefix, request_id=logs.context().get("request_id", ""))


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return ""

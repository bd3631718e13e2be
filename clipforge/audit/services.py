"""The one way to write the audit.

A service writes its row itself, in the transaction of its change, so that neither exists without the
other and no caller (a page, a command, Stripe, a sweep) has to think of it. Each change leaves
exactly one row; an act that changes two things, as a payment that begins a plan does with money and
tier, leaves one for each.

Work of machines whose trail is the ledger leaves no row here: to reserve, capture and release the
credits of a job, and to end lots by the clock. They happen for every job, each has a ledger row that
no one can change and that names its actor, and rows here for them would bury the acts of people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from clipforge.audit.actor import Actor
from clipforge.audit.models import AuditEntry
from clipforge.common.errors import Invalid

# Characters. Shorter than this says nothing: "ok", "asked".
SHORTEST_REASON = 10


def write_entry(
    *,
    actor: Actor,
    verb: str,
    subject: Model,
    org: Model | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str,
) -> AuditEntry:
    """Note that `actor` changed `subject`. Requires the transaction of the change.

    `before` and `after` hold only what changed. Raises Invalid when the reason says too little.
    """
    return AuditEntry.objects.create(
        actor_id=actor.user_id,
        actor_kind=actor.kind,
        actor_name=actor.id,
        actor_label=actor.label[:200],
        org_id=None if org is None else org.pk,
        verb=verb,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        object_label=str(subject)[:200],
        before=dict(before or {}),
        after=dict(after or {}),
        reason=sufficient_reason(reason),
        request_id=actor.request_id,
        address=actor.address,
    )


def sufficient_reason(reason: str) -> str:
    """The reason without the space around it. Raises Invalid when it says too little."""
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise Invalid(
            f"Give a reason of at least {SHORTEST_REASON} characters: "
            "in a year this sentence is all that explains the change."
        )
    return reason

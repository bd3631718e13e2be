"""Reads of the audit."""

from __future__ import annotations

from django.db.models import Model, QuerySet

from clipforge.audit.models import AuditEntry


def entries(org: Model) -> QuerySet[AuditEntry]:
    """The entries about an organization."""
    return AuditEntry.objects.filter(org=org.pk)

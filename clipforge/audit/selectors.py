"""Reads of the audit."""

from __future__ import annotations

from django.db.models import Model, QuerySet

from clipforge.audit.models import AuditEntry


def all_entries() -> QuerySet[AuditEntry]:
    """The entries about all organizations, and about none."""
    return AuditEntry.objects.all()


def entries(org: Model) -> QuerySet[AuditEntry]:
    """The entries about an organization."""
    return AuditEntry.objects.filter(org=org.pk)

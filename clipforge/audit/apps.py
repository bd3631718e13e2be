from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "clipforge.audit"
    label = "audit"
    verbose_name = "Audit"

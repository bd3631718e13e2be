from django.apps import AppConfig
from django.contrib.admin import apps


class StaffConfig(AppConfig):
    name = "clipforge.staff"
    label = "staff"
    verbose_name = "Staff"

    def ready(self) -> None:
        from clipforge.staff.login import signals  # noqa: F401


class AdminConfig(apps.AdminConfig):
    """Django's admin on our site, so that each app registers with `admin.register` as ever."""

    default = False  # of this module, StaffConfig is
    default_site = "clipforge.staff.site.StaffSite"

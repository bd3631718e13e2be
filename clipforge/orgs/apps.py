from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "clipforge.orgs"
    label = "orgs"
    verbose_name = "Organizations"

    def ready(self) -> None:
        from clipforge.orgs import signals  # noqa: F401 - connects the receivers

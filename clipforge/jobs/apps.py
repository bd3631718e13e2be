from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "clipforge.jobs"
    label = "jobs"

    def ready(self) -> None:
        from clipforge.jobs import reconciling  # noqa: F401

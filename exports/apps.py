from django.apps import AppConfig


class ExportsConfig(AppConfig):
    name = "exports"

    def ready(self) -> None:
        from exports import (
            jobs,
            signals,  # noqa: F401 - connects the receivers
        )

        jobs.register()

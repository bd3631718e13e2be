from django.apps import AppConfig


class ExportsConfig(AppConfig):
    name = "exports"

    def ready(self) -> None:
        from exports import (
            faces,  # noqa: F401 - registers its check
            jobs,
            signals,  # noqa: F401 - connects the receivers
        )

        jobs.register()

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    name = "exports"

    def ready(self) -> None:
        from clipforge.jobs import store_areas
        from exports import (
            downloads,
            jobs,
            signals,  # noqa: F401 - connects the receivers
        )

        jobs.register()
        store_areas.lead_by(downloads.link_to)

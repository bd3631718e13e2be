from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "projects"

    def ready(self) -> None:
        from projects import (
            jobs,
            signals,  # noqa: F401 - connects the receivers
            speech,  # noqa: F401 - registers its check
        )

        jobs.register()

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "projects"

    def ready(self) -> None:
        from projects import (
            faces,  # noqa: F401 - registers its check
            jobs,
            second_opinion,  # noqa: F401 - registers its check
            signals,  # noqa: F401 - connects the receivers
            speech,  # noqa: F401 - registers its check
        )

        jobs.register()

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

    def ready(self) -> None:
        from clipforge.common import checks  # noqa: F401 - registers them

        if settings.FAULTPOINTS:
            from clipforge.common.faultpoints import FaultPoints

            self.faultpoints = FaultPoints.parse(
                settings.FAULTPOINTS
            )  # a receiver is a weak reference
            connection_created.connect(self.faultpoints.watch)

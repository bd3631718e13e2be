from django.apps import AppConfig
from django.conf import settings
from django.core.signals import request_finished
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

    def ready(self) -> None:
        from clipforge.common import checks, query_times  # noqa: F401 - checks register themselves
        from clipforge.common.cache.metrics import metrics

        request_finished.connect(metrics.after_request, dispatch_uid="clipforge.metrics")
        if settings.FAULTPOINTS:
            from clipforge.common.faultpoints import FaultPoints

            # Kept here: a receiver is a weak reference.
            self.faultpoints = FaultPoints.parse(settings.FAULTPOINTS)
            connection_created.connect(self.faultpoints.watch)
        connection_created.connect(query_times.watch, dispatch_uid="clipforge.query_times")

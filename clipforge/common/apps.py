from django.apps import AppConfig
from django.core.signals import request_finished
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

    def ready(self) -> None:
        from clipforge.common import query_times
        from clipforge.common.metrics import metrics

        request_finished.connect(metrics.after_request, dispatch_uid="clipforge.metrics")
        connection_created.connect(query_times.watch, dispatch_uid="clipforge.query_times")

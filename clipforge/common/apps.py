from django.apps import AppConfig
from django.core.signals import request_finished


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

    def ready(self) -> None:
        from clipforge.common.metrics import metrics

        request_finished.connect(metrics.after_request, dispatch_uid="clipforge.metrics")

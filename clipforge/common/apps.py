from django.apps import AppConfig
from django.conf import settings
from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.db.backends.signals import connection_created
from django.dispatch import Signal


def keep_receivers(signal: Signal) -> None:
    """Let Django keep the list of receivers, as its signals of models do: two requests have the same."""
    signal.use_caching = True
    # Not a weak one, which holds no None; senders are a few classes, which stay.
    signal.sender_receivers_cache = {}


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

    def ready(self) -> None:
        from clipforge.common import checks, error_tracking, query_times  # noqa: F401 - checks register themselves
        from clipforge.common.cache.metrics import metrics

        if settings.SENTRY_DSN:
            error_tracking.start()
        keep_receivers(request_started)
        keep_receivers(request_finished)
        # It asks every cache to close what ours keep open on purpose.
        request_finished.disconnect(close_caches)

        request_finished.connect(metrics.after_request, dispatch_uid="clipforge.metrics")
        if settings.FAULTPOINTS:
            from clipforge.common.faultpoints import FaultPoints

            # Kept here: a receiver is a weak reference.
            self.faultpoints = FaultPoints.parse(settings.FAULTPOINTS)
            connection_created.connect(self.faultpoints.watch)
        connection_created.connect(query_times.watch, dispatch_uid="clipforge.query_times")

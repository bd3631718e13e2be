from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "clipforge.orgs"
    label = "orgs"
    verbose_name = "Organizations"

    def ready(self) -> None:
        from django.core.signals import got_request_exception, request_finished

        from clipforge.common import secret_formats
        from clipforge.common.lists import search
        from clipforge.orgs import keys, signals, trigrams  # noqa: F401 - connects the receivers
        from clipforge.orgs.refusal_log import refusal_log
        from clipforge.orgs.refused import refusals

        request_finished.connect(refusals.after_request, dispatch_uid="clipforge.refusals")
        got_request_exception.connect(refusal_log.after_failure, dispatch_uid="clipforge.failure")
        request_finished.connect(refusal_log.after_request, dispatch_uid="clipforge.refusal_log")
        for each in keys.SECRET_FORMATS:
            secret_formats.register(each)
        search.register_match("", trigrams.containing)

from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "clipforge.events"
    label = "events"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from clipforge.common import secret_formats
        from clipforge.events import signing

        secret_formats.register(signing.SECRET_FORMAT)

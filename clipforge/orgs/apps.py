from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "clipforge.orgs"
    label = "orgs"
    verbose_name = "Organizations"

    def ready(self) -> None:
        from clipforge.common import secret_formats
        from clipforge.common.lists import search
        from clipforge.orgs import keys, signals, trigrams  # noqa: F401 - connects the receivers

        for each in keys.SECRET_FORMATS:
            secret_formats.register(each)
        search.register_match("", trigrams.containing)

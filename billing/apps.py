from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import selectors, signals  # noqa: F401 - connects the receivers
        from clipforge.common.lists import search

        search.register_match("%", selectors.of_transfer)

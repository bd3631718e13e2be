from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "clipforge.orgs"
    label = "orgs"
    verbose_name = "Organizations"

from django.apps import AppConfig


class DevtoolsConfig(AppConfig):
    name = "clipforge.devtools"
    label = "devtools"

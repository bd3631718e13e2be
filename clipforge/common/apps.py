from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "clipforge.common"
    label = "common"

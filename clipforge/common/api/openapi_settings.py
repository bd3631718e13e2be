"""The settings of drf-spectacular: how the schema of the API is made."""

from __future__ import annotations

SPECTACULAR_SETTINGS = {
    "TITLE": "ClipForge API",
    "DESCRIPTION": "Long videos in, short clips out, paid with credits.",
    "VERSION": "1.0.0",
    "CONTACT": {"name": "Support of the service that this document is from"},
    "LICENSE": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "GET_LIB_DOC_EXCLUDES": "clipforge.common.api.schema.undescribing_bases",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "DeliveryStatusEnum": "clipforge.events.models.DeliveryStatus",
        # Of a project with lists below it, and without.
        "ProjectStatusEnum": "projects.models.Project.Status",
    },
    # A list, by its name: it is made of the types that the apps register.
    "WEBHOOKS": "clipforge.events.api.schema.WEBHOOKS",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "clipforge.events.api.schema.complete",
        "clipforge.common.api.openapi.finish",
    ],
}

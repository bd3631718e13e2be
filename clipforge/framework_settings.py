"""The settings of DRF, drf-spectacular and django-csp: how the API answers, its schema, and what pages may load."""

from __future__ import annotations

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["clipforge.orgs.api.request_path.APIKeyAuthentication"],
    "DEFAULT_THROTTLE_CLASSES": [
        "clipforge.orgs.api.request_path.OrganizationThrottle",
        "clipforge.orgs.api.request_path.AnonymousThrottle",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["clipforge.common.api.renderers.Renderer"],
    "DEFAULT_PARSER_CLASSES": ["clipforge.common.api.parsers.LimitedJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "clipforge.common.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["clipforge.common.api.filters.StrictFilterBackend"],
    "DEFAULT_METADATA_CLASS": "clipforge.common.api.metadata.Methods",
    "DEFAULT_SCHEMA_CLASS": "clipforge.common.api.schema.ProblemAutoSchema",
    "EXCEPTION_HANDLER": "clipforge.common.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

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

# Of pages. Whatever else is answered shows and runs nothing: clipforge/common/middleware.py.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        # The style sheet of the API docs draws its icons from data.
        "img-src": ["'self'", "data:"],
        # The player of staff.
        "media-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

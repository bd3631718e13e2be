"""ClipForge from Python: a method for each operation of the API, typed, and helpers for what takes several."""

from clipforge_sdk.calls import Download, Retries
from clipforge_sdk.client import Client
from clipforge_sdk.errors import (
    APIError,
    AuthenticationError,
    ClipForgeError,
    Conflict,
    InvalidRequest,
    JobFailed,
    NoAnswer,
    NotEnoughCredits,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServiceError,
    StillRunning,
    TooLarge,
    UnsupportedMedia,
)
from clipforge_sdk.generated import models
from clipforge_sdk.pages import Pages
from clipforge_sdk.webhooks import InvalidSignature, verify_webhook

__all__ = [
    "APIError",
    "AuthenticationError",
    "Client",
    "ClipForgeError",
    "Conflict",
    "Download",
    "InvalidRequest",
    "InvalidSignature",
    "JobFailed",
    "NoAnswer",
    "NotEnoughCredits",
    "NotFound",
    "Pages",
    "PermissionDenied",
    "RateLimited",
    "Retries",
    "ServiceError",
    "StillRunning",
    "TooLarge",
    "UnsupportedMedia",
    "models",
    "verify_webhook",
]

from django.urls import path

from clipforge.orgs.api.keys import (
    KeyDescendants,
    KeyDetail,
    KeyList,
    KeyRevocation,
    KeyRotation,
)
from clipforge.orgs.api.views import MeView, OriginsView, TokenView

urlpatterns = [
    path("me", MeView.as_view(), name="me"),
    path("origins", OriginsView.as_view(), name="origins"),
    path("keys", KeyList.as_view(), name="keys"),
    path("keys/<uuid:key_id>", KeyDetail.as_view(), name="key"),
    path("keys/<uuid:key_id>/rotate", KeyRotation.as_view(), name="key-rotate"),
    path("keys/<uuid:key_id>/revoke", KeyRevocation.as_view(), name="key-revoke"),
    path("keys/<uuid:key_id>/descendants", KeyDescendants.as_view(), name="key-descendants"),
    path("tokens", TokenView.as_view(), name="tokens"),
]

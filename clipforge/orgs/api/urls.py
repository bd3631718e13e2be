from django.urls import path

from clipforge.orgs.api.keys import KeyDetail, KeyList, KeyRotation
from clipforge.orgs.api.views import MeView, OriginsView, TokenView

urlpatterns = [
    path("me", MeView.as_view(), name="me"),
    path("origins", OriginsView.as_view(), name="origins"),
    path("keys", KeyList.as_view(), name="keys"),
    path("keys/<uuid:key_id>", KeyDetail.as_view(), name="key"),
    path("keys/<uuid:key_id>/rotate", KeyRotation.as_view(), name="key-rotate"),
    path("tokens", TokenView.as_view(), name="tokens"),
]

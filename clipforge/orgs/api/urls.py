from django.urls import path

from clipforge.orgs.api.views import MeView, OriginsView, TokenView

urlpatterns = [
    path("me", MeView.as_view(), name="me"),
    path("origins", OriginsView.as_view(), name="origins"),
    path("tokens", TokenView.as_view(), name="tokens"),
]

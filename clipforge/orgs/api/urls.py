from django.urls import path

from clipforge.orgs.api.views import MeView

urlpatterns = [path("me", MeView.as_view(), name="me")]

from django.urls import path

from billing.api.views import PricingView

urlpatterns = [path("pricing", PricingView.as_view(), name="pricing")]

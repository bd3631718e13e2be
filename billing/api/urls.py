from django.urls import path

from billing.api import views
from billing.api.webhooks import stripe_webhook

urlpatterns = [
    path("pricing", views.PricingView.as_view(), name="pricing"),
    path("billing/checkout", views.CheckoutView.as_view(), name="billing-checkout"),
    path("billing/portal", views.PortalView.as_view(), name="billing-portal"),
    path("billing/payments", views.PaymentList.as_view(), name="billing-payments"),
    path(
        "billing/payments/<uuid:payment_id>", views.PaymentDetail.as_view(), name="billing-payment"
    ),
    path("billing/subscription", views.SubscriptionView.as_view(), name="billing-subscription"),
]

webhook_urlpatterns = [path("webhooks/stripe", stripe_webhook, name="stripe-webhook")]

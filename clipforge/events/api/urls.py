from django.urls import path

from clipforge.events.api import views

ENDPOINT = "webhooks/endpoints/<uuid:endpoint_id>"
DELIVERY = "webhooks/deliveries/<uuid:delivery_id>"

urlpatterns = [
    path("webhooks/endpoints", views.EndpointList.as_view(), name="webhook-endpoints"),
    path(ENDPOINT, views.EndpointDetail.as_view(), name="webhook-endpoint"),
    path(f"{ENDPOINT}/rotate-secret", views.SecretRotation.as_view(), name="webhook-secret"),
    path(f"{ENDPOINT}/test", views.EndpointTest.as_view(), name="webhook-test"),
    path(f"{ENDPOINT}/replay", views.EndpointReplay.as_view(), name="webhook-replay"),
    path(f"{ENDPOINT}/deliveries", views.DeliveryList.as_view(), name="webhook-deliveries"),
    path(DELIVERY, views.DeliveryDetail.as_view(), name="webhook-delivery"),
    path(f"{DELIVERY}/replay", views.DeliveryReplay.as_view(), name="webhook-delivery-replay"),
]

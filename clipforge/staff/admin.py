"""The pages whose objects are shown with what the apps above them know."""

from __future__ import annotations

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.staff import jobs, organizations, payments, people

# Their pages show the secrets, and change them unasked.
admin.site.unregister([TOTPDevice, StaticDevice])

__all__ = ["jobs", "organizations", "payments", "people"]

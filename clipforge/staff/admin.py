"""The pages whose objects are shown with what the apps above them know."""

from __future__ import annotations

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.staff.approvals import payments
from clipforge.staff.login import people
from clipforge.staff.organizations import admin as organization_admin
from clipforge.staff.work import admin as work_admin

# Their pages show the secrets, and change them unasked.
admin.site.unregister([TOTPDevice, StaticDevice])

__all__ = ["organization_admin", "payments", "people", "work_admin"]

"""Registers the pages of staff with the admin site: their URLs, and the admins of their models."""

from __future__ import annotations

from typing import cast

from django.contrib import admin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.staff.approvals import payments
from clipforge.staff.login import admin as login_admin
from clipforge.staff.organizations import admin as organization_admin
from clipforge.staff.site import StaffSite
from clipforge.staff.urls import page_urls
from clipforge.staff.videos import admin as video_admin
from clipforge.staff.work import admin as work_admin

cast("StaffSite", admin.site).add_pages(page_urls)

# Their pages show the secrets and change them without a reason.
admin.site.unregister([TOTPDevice, StaticDevice])

__all__ = ["login_admin", "organization_admin", "payments", "video_admin", "work_admin"]

"""The pages of the second factor: to show it after the password, to set it up, to renew and reset it."""

from __future__ import annotations

import logging
from functools import wraps
from typing import Any, cast

import django_otp
from django import forms
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from django_otp.plugins.otp_static.models import StaticDevice

from clipforge.audit.actor import Actor
from clipforge.common.addresses import client_address
from clipforge.common.errors import DomainError
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.login import too_many_attempts
from clipforge.orgs.models import User
from clipforge.staff.forms import ReasonForm
from clipforge.staff.login import second_factor
from clipforge.staff.login.forms import (
    CodeForm,
    CurrentForm,
    RecoveryForm,
    ReplaceForm,
    SetUpForm,
)
from clipforge.staff.login.selectors import may_edit
from clipforge.staff.login.sessions import lock_current_user
from clipforge.staff.pages import View, needs, page

logger = logging.getLogger(__name__)

# Session keys: the secret of a second factor that is being set up, and recovery codes not shown yet.
SECRET, CODES = "second_factor_secret", "second_factor_codes"

# --- access ---------------------------------------------------------------------------


def for_staff(view: View) -> View:
    """Require staff who have signed in by password, with or without the second factor."""

    @never_cache
    @sensitive_post_parameters()
    @require_http_methods(["GET", "POST"])
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not (request.user.is_active and request.user.is_staff):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return view(request, *args, **kwargs)

    return guarded


def limited(view: View) -> View:
    """Limit POSTs by address and by user, as those of the login page are."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            name = str(request.user.pk)
            if refusal := too_many_attempts(request, group="admin-second-factor", name=name):
                return refusal
        return view(request, *args, **kwargs)

    return guarded


def next_page(request: HttpRequest) -> str:
    """The page that was asked for before signing in, if it is on this host; else the first page."""
    asked = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    ours = url_has_allowed_host_and_scheme(
        asked, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return asked if ours else reverse("admin:index")


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)


def _redirect_to(request: HttpRequest, name: str) -> HttpResponseRedirect:
    return redirect_to_login(next_page(request), reverse(f"admin:{name}"))


def _mark_verified(request: HttpRequest, device: Any) -> None:
    """Note in the session that the second factor was shown, and give it a new key."""
    django_otp.login(request, device)
    request.session.cycle_key()
    _log(logging.INFO, "second factor shown", request)


def _log(level: int, what: str, request: HttpRequest) -> None:
    facts = {"user": request.user.pk, "address": client_address(request)}
    logger.log(level, what, extra=facts)


# --- the pages -------------------------------------------------------------------------


@for_staff
@limited
def verify(request: HttpRequest) -> HttpResponse:
    """Ask for a code of the phone or a recovery code, after the password."""
    user = _user(request)
    if not second_factor.is_missing(request):
        return redirect(next_page(request))
    if second_factor.device_of(user) is None:
        return _redirect_to(request, "second-factor-enrol")
    by_phone, by_recovery = CodeForm(), RecoveryForm()
    if request.method == "POST":
        form: forms.Form
        if "recovery_code" in request.POST:
            form = by_recovery = RecoveryForm(request.POST)
        else:
            form = by_phone = CodeForm(request.POST)
        if device := _device_of_code(request, form):
            _mark_verified(request, device)
            if isinstance(device, StaticDevice):
                _note_recovery(request)
            return redirect(next_page(request))
    return page(
        request,
        "staff/login/second_factor.html",
        title="Second factor",
        form=by_phone,
        recovery=by_recovery,
        next=next_page(request),
    )


@for_staff
@limited
def enrol(request: HttpRequest) -> HttpResponse:
    """Set up the second factor, or replace it: then a code of the present one is needed too."""
    user = _user(request)
    present = second_factor.device_of(user)
    if present and second_factor.is_missing(request):
        return _redirect_to(request, "second-factor")
    kind = ReplaceForm if present else SetUpForm
    # The session keeps the secret that it showed last, until a code proves it. Each GET shows a new
    # one, so that no other holder of the session, before or after, is shown the same.
    if request.method == "GET" or SECRET not in request.session:
        request.session[SECRET] = second_factor.new_secret()
    secret = request.session[SECRET]
    form = kind(request.POST or None)
    if request.method == "POST" and _set_up(request, form, secret, present):
        return _redirect_to(request, "second-factor-codes")
    return page(
        request,
        "staff/login/second_factor_enrol.html",
        title="Replace your second factor" if present else "Set up your second factor",
        form=form,
        present=present,
        picture=second_factor.secret_as_picture(user, secret),
        text=second_factor.secret_as_text(secret),
        next=next_page(request),
    )


def _set_up(request: HttpRequest, form: forms.Form, secret: str, present: Any) -> bool:
    """Set up the second factor. False when it was refused: the form has the reason."""
    user = _user(request)
    if not form.is_valid():
        return False
    # Of the new one first: a code of the present one is used up by asking.
    if not second_factor.is_code_of(secret, form.cleaned_data["code"]):
        form.add_error("code", second_factor.WRONG)
        return False
    if present and not _device_of_code(request, form, "current"):
        return False
    try:
        with transaction.atomic():
            lock_current_user(request)
            device, codes = second_factor.set_up(
                user=user,
                secret=secret,
                code=form.cleaned_data["code"],
                replacing=present,
                actor=Actor.of_request(request),
            )
    except DomainError as error:
        form.add_error("code", error.message)
        return False
    del request.session[SECRET]
    _keep_session(request, device, codes)
    return True


def _keep_session(request: HttpRequest, device: Any, codes: list[str]) -> None:
    """Keep this session when all others of the user have ended; it shows the codes next."""
    request.session[CODES] = codes
    update_session_auth_hash(request, _user(request))
    _mark_verified(request, device)


@never_cache
def codes(request: HttpRequest) -> HttpResponse:
    """Show the recovery codes, once."""
    if not (found := request.session.pop(CODES, None)):
        return redirect("admin:second-factor-own")
    return page(
        request,
        "staff/login/second_factor_codes.html",
        title="Your recovery codes",
        codes=found,
        next=next_page(request),
    )


@sensitive_post_parameters()
@limited
def own(request: HttpRequest) -> HttpResponse:
    """Show the state of the own second factor, and make new recovery codes for a code of it."""
    user = _user(request)
    device = second_factor.device_of(user)
    if device is None:
        return redirect("admin:second-factor-enrol")
    form = CurrentForm(request.POST or None)
    if request.method == "POST" and _device_of_code(request, form, "current"):
        with transaction.atomic():
            lock_current_user(request)
            made = second_factor.new_recovery_codes(user=user, actor=Actor.of_request(request))
        _keep_session(request, device, made)
        return redirect("admin:second-factor-codes")
    return page(
        request,
        "staff/login/second_factor_own.html",
        title="Your second factor",
        form=form,
        device=device,
        left=second_factor.recovery_codes_left(user),
    )


@needs("orgs.change_user")
@require_http_methods(["GET", "POST"])
def reset(request: HttpRequest, pk: int) -> HttpResponse:
    """Take the second factor from a colleague who lost it, and end their sessions."""
    person = get_object_or_404(org_selectors.all_users(), pk=pk)
    if person == request.user or not may_edit(request, person):
        raise PermissionDenied
    back = reverse("admin:orgs_user_change", args=[pk])
    device = second_factor.device_of(person)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and device and form.is_valid():
        reason = form.cleaned_data["reason"]
        second_factor.reset(user=person, actor=Actor.of_request(request), reason=reason)
        messages.success(
            request,
            f"{person} has no second factor any more and is signed out everywhere. "
            "They set up a new one when they sign in.",
        )
        return redirect(back)
    return page(
        request,
        "staff/login/second_factor_reset.html",
        title=f"Reset the second factor of {person}",
        form=form,
        person=person,
        device=device,
        back=back,
    )


def _device_of_code(request: HttpRequest, form: forms.Form, field: str = "") -> Any:
    """The device whose code is in the form; None when it is wrong: the form has the reason."""
    if not form.is_valid():
        return None
    field = field or next(iter(form.fields))
    try:
        return second_factor.check_code(user=_user(request), code=form.cleaned_data[field])
    except DomainError as error:
        _log(logging.WARNING, "wrong code", request)
        form.add_error(field, error.message)
        return None


def _note_recovery(request: HttpRequest) -> None:
    """Note the use in the audit and on the page, where the owner sees a use that was not theirs."""
    left = second_factor.note_recovery(user=_user(request), actor=Actor.of_request(request))
    messages.warning(
        request,
        f"You signed in with a recovery code; {left} are left. If your phone is lost, replace your "
        "second factor now: “Second factor”, at the top of the page.",
    )

from __future__ import annotations

import secrets
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from clipforge.audit.actor import Actor
from clipforge.common.commands import OperatorCommand
from clipforge.common.errors import Unavailable
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization, Tier, User
from clipforge.stack import Stack
from credits import services as credit_services
from credits.models import GrantKind

ADMIN_NAME = "admin"
FIRST_ORGANIZATION = "first"
FIRST_CREDITS = 1000


class Command(OperatorCommand):
    help = (
        "Run the whole service on this machine until Ctrl-C: PostgreSQL, Redis, the web server and "
        "a worker. Everything is kept in .clipforge/ (or CLIPFORGE_DATA) for the next time."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--concurrency", type=int, default=1, help="videos at once")
        parser.add_argument(
            "--billing",
            action="store_true",
            help="take payments too, from a stand-in for Stripe in which anybody can pay",
        )

    def run(self, *, port: int, concurrency: int, billing: bool, **options: Any) -> dict[str, Any]:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        with Stack(port=port, concurrency=concurrency, billing=billing) as stack:
            self._greet(stack, billing)
            ended = None
            while not stop.wait(0.5) and ended is None:
                ended = stack.ended()
            self.say("\nStopping …")
        if ended is not None:
            raise Unavailable(f"The {ended} process ended by itself; its log above says why.")
        self.say(f"Stopped. Data are kept in {settings.DATA_DIR}")
        return {"url": stack.url}

    def _greet(self, stack: Stack, billing: bool) -> None:
        self.say(f"\nClipForge runs at {stack.url}   (stop it with Ctrl-C)\n")
        self.say(f"  API docs  {stack.url}/api/v1/docs")
        self.say(f"  Admin     {stack.url}/admin/   {self._login()}")
        key = self._first_key()
        if key is None:
            self.say(
                "  API key   made at the first start; another one: "
                f"manage.py create_api_key {FIRST_ORGANIZATION}"
            )
        else:
            self.say(f"  API key   {key}   (shown only now)")
        shown = key or "$CLIPFORGE_KEY"
        self.say(f'\nTry it:\n\n  curl -H "Authorization: Bearer {shown}" {stack.url}/api/v1/me\n')
        if billing:
            self.say(
                "Buy credits: open the url that this answers, and press the button.\n\n"
                f'  curl -H "Authorization: Bearer {shown}" -H "Content-Type: application/json" '
                f'-d \'{{"price": "pack-100"}}\' {stack.url}/api/v1/billing/checkout\n'
            )

    def _login(self) -> str:
        """The name and password of the admin.

        The password is new at each start and valid until the next.
        """
        password = secrets.token_urlsafe(12)
        user, _ = User.objects.get_or_create(
            username=ADMIN_NAME, defaults={"email": "admin@localhost.invalid"}
        )
        user.is_staff = user.is_superuser = user.is_active = True
        user.set_password(password)
        user.save()
        return f"{ADMIN_NAME} / {password}   (until the next start)"

    def _first_key(self) -> str | None:
        """The key of an organization made for the first start; None at every later one."""
        if Organization.objects.filter(slug=FIRST_ORGANIZATION).exists():
            return None
        actor = Actor.of_command("up")
        organization = org_services.create_organization(
            name=FIRST_ORGANIZATION, tier=Tier.PRO, reason="made for the first start", actor=actor
        )
        credit_services.grant(
            org=organization,
            amount=FIRST_CREDITS,
            kind=GrantKind.PROMO,
            reason="credits to start with",
            actor=actor,
            idempotency_key="up",
        )
        return org_services.create_api_key(
            organization=organization,
            name="first start",
            reason="made for the first start",
            actor=actor,
        ).secret

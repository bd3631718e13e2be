from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from clipforge.audit.commands import AuditedCommand
from clipforge.orgs import selectors, services
from clipforge.orgs.models import Scope


class Command(AuditedCommand):
    help = (
        "Change what a key may do, where it works from, or how many credits it may spend a month. "
        "What is not given stays. It holds from the next request on."
    )
    default_reason = "limited by an operator"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id or prefix of the key")
        parser.add_argument(
            "--scope", action="append", choices=Scope.values, help="several may be given"
        )
        parser.add_argument(
            "--address", action="append", metavar="NETWORK", help="several may be given"
        )
        parser.add_argument("--anywhere", action="store_true", help="from any address")
        parser.add_argument("--cap", type=int, metavar="CREDITS", help="at most so many a month")
        parser.add_argument("--no-cap", action="store_true", help="as many as there are")

    def run(
        self,
        *,
        id: str,  # noqa: A002 - the argument's name
        scope: list[str] | None,
        address: list[str] | None,
        anywhere: bool,
        cap: int | None,
        no_cap: bool,
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        api_key, limits = selectors.find_api_key(id), services.Limits()
        if scope is not None:
            limits["scopes"] = " ".join(scope)
        if anywhere or address:
            limits["allowed_addresses"] = [] if anywhere else address or []
        if no_cap or cap is not None:
            limits["monthly_cap"] = None if no_cap else cap
        changed = services.limit_api_key(api_key=api_key, **limits, reason=reason, actor=self.actor)
        api_key.refresh_from_db()
        cap_now = (
            "no cap" if api_key.monthly_cap is None else f"{api_key.monthly_cap} credits a month"
        )
        outcome = "" if changed else " Nothing was changed."
        self.say(
            f"{api_key}: {', '.join(api_key.scope_list)}; from "
            f"{api_key.allowed_addresses or 'anywhere'}; {cap_now}.{outcome}"
        )
        return {
            "id": api_key.pk,
            "prefix": api_key.prefix,
            "scopes": api_key.scope_list,
            "allowed_addresses": api_key.allowed_addresses.split(),
            "monthly_cap": api_key.monthly_cap,
            "changed": changed,
        }

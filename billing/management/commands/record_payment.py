from __future__ import annotations

import argparse
import datetime
from typing import Any

from django.core.management.base import CommandParser

from billing import services
from billing.selectors import payment_of_transfer
from clipforge.audit.actor import Actor
from clipforge.common.commands import OperatorCommand
from clipforge.orgs.selectors import find_organization
from credits import selectors as credit_selectors


class Command(OperatorCommand):
    help = (
        "Record money that an organization paid by transfer, and give it what it bought: the "
        "credits of a pack, or a month of a plan. The same reference a second time changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", metavar="ORG", help="id, slug or name of the organization")
        parser.add_argument("price", metavar="PRICE", help="code of a plan or pack: pack-500")
        parser.add_argument("--reference", required=True, help="the transfer's own reference")
        parser.add_argument(
            "--paid-on", required=True, type=_date, metavar="YYYY-MM-DD", help="when it arrived"
        )
        parser.add_argument("--reason", default="paid by transfer", help="why by hand")

    def run(
        self,
        *,
        org: str,
        price: str,
        reference: str,
        paid_on: datetime.date,
        reason: str,
        **options: Any,
    ) -> dict[str, Any]:
        organization = find_organization(org)
        is_repetition = payment_of_transfer(reference) is not None
        payment = services.record_payment(
            org=organization,
            code=price,
            reference=reference,
            paid_on=paid_on,
            reason=reason,
            actor=Actor.of_command(self.command_name),
        )
        available = credit_selectors.balance(organization).available
        before = " was recorded before, and nothing was changed" if is_repetition else ""
        self.say(f"{organization.name}: {payment}{before}; {available} credits are available.")
        return {
            "org": organization.pk,
            "payment": payment.pk,
            "recorded_before": is_repetition,
            "amount": payment.amount,
            "currency": payment.currency,
            "credits": payment.credits,
            "available": available,
        }


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a date like 2026-12-31') from None

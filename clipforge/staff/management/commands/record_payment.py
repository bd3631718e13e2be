from __future__ import annotations

import argparse
import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.transaction import atomic

from billing import services as billing_services
from billing.models import Price
from billing.selectors import normal_reference, payment_of_transfer, price_for_sale
from clipforge.orgs.models import Organization
from clipforge.orgs.selectors import find_organization
from clipforge.staff.approvals.commands import ProposingCommand
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.approvals.services import ask_to_record
from clipforge.staff.models import ApprovalKind
from credits import selectors as credit_selectors


class Command(ProposingCommand):
    help = (
        "Record money that an organization paid by transfer, and give it what it bought: the "
        "credits of a pack, or a month of a plan. The same reference a second time changes nothing. "
        "Above the limit of one person it leaves a request that a second person has to confirm."
    )
    kind = ApprovalKind.PAYMENT
    default_reason = "paid by transfer"

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("org", metavar="ORG", help="id, slug or name of the organization")
        parser.add_argument("price", metavar="PRICE", help="code of a plan or pack: pack-500")
        parser.add_argument("--reference", required=True, help="the transfer's own reference")
        parser.add_argument(
            "--paid-on", required=True, type=_date, metavar="YYYY-MM-DD", help="when it arrived"
        )

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
        reference = normal_reference(reference)
        is_repetition = payment_of_transfer(reference) is not None
        if not is_repetition:
            with atomic():
                sold = price_for_sale(price)
                proposal = Proposal(
                    org=organization,
                    kind=self.kind,
                    amount=sold.credits,
                    reason=reason,
                    ticket=reference,
                    price=sold,
                    paid_on=paid_on,
                )
                asked = ask_to_record(proposal, actor=self.actor)
            if asked is not None:
                return self.pending(asked)
            if self.is_dry_run and sold.is_plan:
                return self._plan(organization, sold)
        payment = billing_services.record_payment(
            org=organization,
            code=price,
            reference=reference,
            paid_on=paid_on,
            reason=reason,
            actor=self.actor,
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

    def _plan(self, organization: Organization, sold: Price) -> dict[str, Any]:
        """Not tried: it would first close the pages at Stripe where a plan can be paid."""
        self.say(f"{organization.name}: a month of {sold} would be recorded.")
        return {"org": organization.pk, "price": sold.code, "credits": sold.credits}


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a date like 2026-12-31') from None

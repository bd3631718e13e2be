from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from billing import selectors, services
from clipforge.audit.commands import AuditedCommand
from clipforge.common.errors import NotFound
from clipforge.common.money import money
from credits import selectors as credit_selectors


class Command(AuditedCommand):
    help = (
        "Note that money which was recorded by hand went back: a transfer that bounced, or that was "
        "recorded by mistake. Unused credits of it go back too, spent ones are owed, and a plan "
        "whose whole month went back ends. Saying so again changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", metavar="REFERENCE", help="the transfer's own reference")
        parser.add_argument(
            "--amount",
            type=int,
            metavar="CENTS",
            help="what went back in all, in minor units of the currency; all of it unless given",
        )

    def run(
        self, *, reference: str, amount: int | None, reason: str, **options: Any
    ) -> dict[str, Any]:
        payment = selectors.payment_of_transfer(reference)
        if payment is None:
            raise NotFound(f'No payment was recorded under "{reference}".')
        reversed_ = services.reverse_payment(
            payment=payment, amount=amount, reason=reason, actor=self.actor
        )
        payment = reversed_ or payment
        left = credit_selectors.balance(payment.org)
        back = money(payment.reversed_amount, payment.currency)
        self.say(
            f"{payment.org.name}: of {payment}, {back} went back"
            f"{'' if reversed_ else ' already, and nothing was changed'}; "
            f"{left.available} credits are available and {left.debt} are owed."
        )
        return {
            "org": payment.org_id,
            "payment": payment.pk,
            "changed": reversed_ is not None,
            "reversed_amount": payment.reversed_amount,
            "available": left.available,
            "debt": left.debt,
        }

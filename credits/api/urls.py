from django.urls import path

from credits.api.statements import StatementView
from credits.api.usage import UsageView
from credits.api.views import BalanceView, HoldListView, TransactionListView

urlpatterns = [
    path("credits/balance", BalanceView.as_view(), name="credits-balance"),
    path("credits/transactions", TransactionListView.as_view(), name="credits-transactions"),
    path("credits/holds", HoldListView.as_view(), name="credits-holds"),
    path("credits/statement", StatementView.as_view(), name="credits-statement"),
    path("usage", UsageView.as_view(), name="usage"),
]

"""The permissions of the four groups of staff, which a migration made from this table.

Every group may view every table of ours; its further permissions are listed here.
"""

from __future__ import annotations

# Apps whose tables every role may view.
VIEWED_APPS = (
    "audit",
    "orgs",
    "credits",
    "events",
    "projects",
    "exports",
    "billing",
    "procrastinate",
)

SUPPORT = frozenset({"staff.retry_work", "staff.manage_keys", "staff.watch_videos"})
FINANCE = frozenset(
    {
        "staff.grant_credits",
        "staff.adjust_credits",
        "staff.confirm_credits",
        "staff.change_tier",
        "staff.export_data",
        "staff.view_business",
        "billing.change_price",
        "billing.add_payment",
        "billing.change_billingaccount",
    }
)
ENGINEER = frozenset(
    {
        "staff.override_limit",
        "staff.suspend_organization",
        "staff.manage_keys",
        "staff.retry_work",
        "staff.rescue_work",
        "orgs.change_tierlimits",
    }
)
# Everything that the others may, and people: accounts, members, groups.
ADMIN = (
    SUPPORT
    | FINANCE
    | ENGINEER
    | {
        "orgs.add_organization",
        "orgs.change_organization",
        "orgs.add_user",
        "orgs.change_user",
        "orgs.add_membership",
        "orgs.change_membership",
        "orgs.delete_membership",
    }
)

ROLES: dict[str, frozenset[str]] = {
    "support": SUPPORT,
    "finance": FINANCE,
    "engineer": ENGINEER,
    "admin": ADMIN,
}

"""An upgrade from the last release and the way back, under load: no request fails and no job is lost."""

from __future__ import annotations

import pytest

from clipforge.devtools.loadtest import trees
from clipforge.devtools.testing.drills import upgrade

pytestmark = [
    pytest.mark.long,
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.skipif(upgrade.NGINX is None, reason="no nginx here: upgrades are not tested"),
    pytest.mark.skipif(
        not trees.is_revision(upgrade.LAST_RELEASE), reason="the last release is not in this clone"
    ),
]


def test_old_and_new_work_side_by_side_and_in_either_order_without_a_failed_request():
    with trees.tree_of(upgrade.LAST_RELEASE) as tree, upgrade.upgrade(tree) as drill:
        old, new = drill.old, drill.new
        old_web, old_worker = old.start_web(), old.start_worker()
        old.manage("create_org", "Acme", "--tier", "ENTERPRISE", "--credits", "1000")
        with old.sql() as sql:
            sql.execute("UPDATE orgs_organization SET rate_limit_override = 1000000")
        drill.start_load(old.manage_json("create_api_key", "Acme")["key"])
        drill.until_served()

        # The last release on the new schema.
        said = new.manage_json("preflight")
        assert (said["ok"], said["works_with_the_release_before"]) == (True, True), said
        new.manage("migrate", "--verbosity", "0")
        drill.until_served()

        # Both, then the new one alone.
        new_web, new_worker = new.start_web(), new.start_worker()
        drill.until_served()
        upgrade.end(old_web)
        upgrade.end(old_worker)
        drill.until_served()
        upgrade.reload(new_web)
        drill.until_served()

        # The way back: the last release on what the new one wrote.
        old_web, old_worker = old.start_web(), old.start_worker()
        drill.until_served()
        upgrade.end(new_web)
        upgrade.end(new_worker)
        drill.until_served()
        outcome = drill.outcome()
        upgrade.end(old_worker)
        upgrade.end(old_web)
        assert new.manage_json("reconcile_credits")["ok"]
    assert (outcome.failed, outcome.lost) == ([], [])
    assert outcome.requests >= 84
    # Each client may have begun one more just when there were enough.
    assert 12 <= outcome.jobs <= 15

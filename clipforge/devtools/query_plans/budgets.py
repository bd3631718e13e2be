"""The budgets of pages, and the faults of a page that exceeds its budget."""

from __future__ import annotations

from typing import NamedTuple

from clipforge.devtools.query_plans.explain import PAGES_A_LOOKUP, Cost

# Pages of an index that finding a place in a list may take, at any depth.
PLACE_BUFFERS = 12


class Budget(NamedTuple):
    """`buffers` of each statement, besides a page for each row and so many for each lookup.

    The rows of one organization lie scattered among those of all. An index that held whole rows of
    the ledger would bring a page of 50 from 55 buffers to 7. It would be as large as the table, and
    PostgreSQL would refuse a row of more than 2,704 bytes, which a reason and its trace can have.
    """

    statements: int
    buffers: int = PLACE_BUFFERS
    # Rows that may be read for each row that is returned, and besides.
    rows: float = 1.0
    slack: int = 4
    sorts: int = 0
    # Rows of other tables that may be looked up, one by one for each row; None for any number.
    lookups: int | None = None

    def buffers_for(self, cost: Cost) -> int:
        lookups = cost.looked_up if self.lookups is None else min(cost.looked_up, self.lookups)
        return (
            self.buffers * min(cost.statements, self.statements)
            + cost.single
            # The map of what all may see, of which a big table has several pages: each is counted
            # anew when the next row lies in another part (9 times of 51, of a million projects).
            + cost.covered // 2
            + PAGES_A_LOOKUP * lookups
            + cost.heap_fetches
        )


# A page of the API: one range of one index, not sorted, nothing thrown away; and the holds of work
# that is open, of which no tier may have more at once.
# A thousand rows and some are as well read whole and sorted, the planner says; whatever grows is not.
LIST = Budget(statements=2, rows=1.3, slack=1500, sorts=1500, lookups=16)
# Found among all moments of a project, which are some dozens; those that are seeded are thousands.
OF_PROJECT = LIST._replace(slack=5000, sorts=5000)
# Merged from two lists.
MERGED = LIST._replace(rows=2.3)
# A list by a text: its groups of letters, each a way down their index.
SEARCHED = LIST._replace(buffers=60)
# Where a list begins, found in its index alone: the same at any depth, whatever kind is asked for.
PLACE = LIST._replace(lookups=0, buffers=7)
# A month of the ledger, the oldest first, and the row before it, whose balance it opens with.
STATEMENT = LIST._replace(lookups=0)
# A year of what work took and gave back, added up in an index that holds all it reads: no row of the
# table is fetched. It grows with the year: 60 entries a page.
USAGE = Budget(statements=1, buffers=5_000, rows=1.0, slack=1_000_000, sorts=200_000, lookups=0)
# What a file of any length is made of, a piece of one statement: each row, and whose it is. The names
# of all customers are as well read whole, and what is hardly longer than a piece is as well sorted.
SHEET = Budget(statements=1, buffers=150, rows=2.3, slack=20_000, sorts=5000)
# A table of a hundred rows is read whole, rightly.
ONE = Budget(statements=2, rows=2.0, slack=100)
# The keys that come from one, found step by step, and put in order.
FAMILY = ONE._replace(sorts=300)
# All that is sold: some prices, put in order.
CATALOGUE = ONE._replace(sorts=100)
# Work under way: few rows among millions, put in order after they are found.
QUEUE = Budget(statements=1, rows=3.0, slack=100, sorts=1000)
# Every enabled endpoint, of which an organization has ten at most, and the first of what is due to it.
WAITING = Budget(statements=1, buffers=100, rows=3.0, slack=20_000, sorts=1000)
# Twenty transcripts with some words, of those that the index says have them: each is put in order.
SPOKEN = Budget(statements=1, buffers=100, slack=1500, sorts=1500)
# The files of a project, a thousand at most.
ARCHIVE = LIST._replace(statements=1)
# What is deleted with a project: all of its rows.
ALL_OF_PROJECT = Budget(statements=8, rows=2.0, slack=100, sorts=0)
# A list of the admin, entered at its place by the index: each row, and the two that it points at, by
# their keys. Tables of a few thousand rows in all are as well read whole.
ADMIN = Budget(statements=4, buffers=50, rows=2.3, slack=4500, sorts=1500)
# The same with the sums of all that is chosen: 100,000 rows are read for them at most.
ADMIN_SUMMED = ADMIN._replace(statements=6, slack=104_500)
# One row with what hangs on it: names of what it points at, and a few rows below it. Of tables of some
# hundred rows the planner reads them all.
ADMIN_ONE = Budget(statements=10, slack=1500, sorts=300)
# Everything about an organization: ten of each list, thirty of each source of the timeline. Many rows
# and few pages: what it did today and what failed in a month are counted in an index. The types of
# content are asked for once a process.
ORGANIZATION = Budget(statements=7, buffers=40, rows=3.0, slack=20_000, sorts=1500)
# What it stores and what it did in thirty days, added up in indexes and then remembered for a while.
# The only figures that grow with it: 2,800 pages where it has 200,000 of a million projects.
SUMS = Budget(statements=2, buffers=5_000, rows=3.0, slack=1_000_000, sorts=200_000)
# The timeline of an organization: a page of each of its sources, and who did it.
TIMELINE = Budget(statements=2, buffers=40, rows=2.5, slack=700, sorts=700)
# What a text can be, looked up in as many indexes. Of ten thousand customers, and as many people,
# hundreds are as well picked from the whole table; of more, PostgreSQL picks them one by one. A long
# address has thirty groups of letters, each a way down the index.
ADMIN_SEARCH = Budget(statements=10, buffers=150, rows=4.3, slack=25_000, sorts=3000)
# What two years of payments, every plan and every lot that is not spent come to: they grow with the
# customers, and payments are read from an index alone.
BUSINESS = Budget(statements=1, buffers=3_000, rows=1.0, slack=500_000, sorts=50_000)
# What two years of the ledger come to, the first time: a month a statement, and two to find its ends.
BUSINESS_CREDITS = Budget(
    statements=3 * 25, buffers=40_000, rows=1.0, slack=2_500_000, sorts=50_000
)
# All of that once the months that are over are remembered: this month, and since midnight.
BUSINESS_PAGE = Budget(statements=12, buffers=3_000, rows=1.0, slack=1_000_000, sorts=50_000)
# What a month of refusals, failures, jobs and the ledger come to: they grow with what is done in a
# month, and each is a range of an index.
CUSTOMERS = Budget(statements=2, buffers=20_000, rows=1.0, slack=2_500_000, sorts=200_000)
CUSTOMERS_PAGE = CUSTOMERS._replace(statements=16, buffers=60_000, slack=5_000_000)
# The same of one organization.
HEALTH = Budget(statements=16, buffers=10_000, rows=3.0, slack=1_000_000, sorts=200_000)
# Sixteen counts of up to 1,001 rows of an index each, and the oldest of two queues.
DASHBOARD = Budget(statements=10, buffers=120, slack=20_000, sorts=200)
# Up to eight beginnings of an index, merged; each open hold looked at, and its work; and the names of
# all customers, once it is as well to read them whole.
RESCUE = Budget(statements=8, buffers=120, rows=6.0, slack=20_000, sorts=14_000)


def faults(cost: Cost, budget: Budget) -> list[str]:
    """The excess over the budget, in words."""
    found = []
    allowed = round(budget.rows * cost.returned) + budget.slack + cost.small
    if cost.read > allowed:
        whole = "".join(f", all of {table}" for table in sorted(cost.scans))
        found.append(f"reads {cost.read} rows{whole}, allowed {allowed}")
    if cost.sorted > budget.sorts + cost.small:
        found.append(f"sorts {cost.sorted} rows, allowed {budget.sorts + cost.small}")
    if cost.buffers > budget.buffers_for(cost):
        found.append(f"touches {cost.buffers} buffers, allowed {budget.buffers_for(cost)}")
    if cost.statements > budget.statements:
        found.append(f"takes {cost.statements} queries, allowed {budget.statements}")
    return found

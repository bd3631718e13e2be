"""Refused requests of the last month: some of each organization, and of the busiest in every hour."""

from __future__ import annotations

from django.db import connection

from clipforge.devtools.seeding.tables import Table
from clipforge.orgs.models import RefusedRequests

TABLES = [Table.of(RefusedRequests, "id")]
# Organizations that are refused something in every hour.
BUSIEST = 20

# Of keys that there are none of: seeding makes them only where they are asked for.
STATEMENT = """
    INSERT INTO orgs_refusedrequests (org_id, hour, key_id, status, code, limit_name, count)
    SELECT org.id, hour, md5(org.id::text || 'key')::uuid, status, code, limit_name,
           1 + abs(hashtext(org.id::text || hour::text)) % 50
      FROM unnest(%(orgs)s::uuid[]) WITH ORDINALITY AS org(id, rank)
      JOIN generate_series(0, 30 * 24 - 1) AS back ON rank <= %(busiest)s OR back % 60 = rank % 60
     CROSS JOIN LATERAL (SELECT date_trunc('hour', now(), 'UTC') - back * interval '1 hour') AS at(hour)
     CROSS JOIN (VALUES (429, 'rate_limited', 'api'), (402, 'insufficient_credits', ''))
           AS refused(status, code, limit_name)
     ORDER BY hour
"""


def write(orgs: list[str]) -> None:
    with connection.cursor() as cursor:
        statement = STATEMENT.replace(" % 6", " %% 6").replace(" % 5", " %% 5")
        cursor.execute(statement, {"orgs": orgs, "busiest": BUSIEST})

"""The numbers of rows that were made between two times, in tables that are in order by number alone."""

from __future__ import annotations

import datetime

from django.db import connection
from django.db.models import Model

# A row gets its number when it is written, and the time at which its transaction began: rows may be
# out of order by as much as a transaction takes.
LONGEST_TRANSACTION = datetime.timedelta(hours=1)


def first_number_since(model: type[Model], since: datetime.datetime) -> int:
    """A number below that of every row made since then, found in some twenty steps down the primary key.

    Rows above it may be older by LONGEST_TRANSACTION and a little: ask for the time as well.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH RECURSIVE search(low, high) AS (
                SELECT 0::bigint, (SELECT COALESCE(MAX(id), 0) + 1 FROM {table})
                 UNION ALL
                SELECT CASE WHEN probe.created_at < %(since)s THEN probe.id ELSE search.low END,
                       CASE WHEN probe.created_at < %(since)s THEN search.high
                            ELSE (search.low + search.high) / 2 END
                  FROM search
                  LEFT JOIN LATERAL (SELECT id, created_at FROM {table}
                                      WHERE id >= (search.low + search.high) / 2
                                      ORDER BY id LIMIT 1) AS probe ON true
                 WHERE search.high - search.low > 1)
            SELECT MIN(high) FROM search
            """,  # noqa: S608 - a table of ours
            {"since": since - LONGEST_TRANSACTION},
        )
        found: int = cursor.fetchone()[0]
    return found

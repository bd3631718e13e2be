"""An endpoint of each organization, and what it was told of the work that ended in the last month."""

from __future__ import annotations

from django.db import connection

from clipforge.devtools.seeding.tables import Table
from clipforge.events.models import Attempt, Delivery, Endpoint, Event, EventSequence

TABLES = [Table.of(model, "id") for model in (EventSequence, Event, Endpoint, Delivery, Attempt)]

# In the order in which rows refer to each other. Events of work have the time at which it ended.
STATEMENTS = [
    """
    INSERT INTO events_endpoint (id, org_id, url, description, event_types, is_enabled,
        disabled_because, salt, former_salts, unanswered, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'https://' || slug || '.example.com/hook', '', '{}', true,
        '', md5(id::text) || md5(slug), '[]', 0, created_at, created_at
      FROM orgs_organization WHERE id = ANY(%(orgs)s::uuid[])
    """,
    *[
        f"""
        INSERT INTO events_event (id, org_id, type, object_id, sequence, body, created_at)
        SELECT gen_random_uuid(), org_id, '{name}.' || lower(status), id, 1,
            json_build_object('type', '{name}.' || lower(status), 'object_id', id,
                'data', json_build_object('id', id, 'status', status, 'reason', repeat('x', 500))),
            finished_at
          FROM {table}
         WHERE finished_at > now() - interval '30 days' AND org_id = ANY(%(orgs)s::uuid[])
           AND status IN ('READY', 'EMPTY', 'FAILED', 'CANCELLED')
        """  # noqa: S608 - names of ours
        for name, table in (("project", "projects_project"), ("export", "exports_export"))
    ],
    """
    INSERT INTO events_eventsequence (object_id, org_id, latest)
    SELECT object_id, org_id, 1 FROM events_event WHERE org_id = ANY(%(orgs)s::uuid[])
    """,
    # One in forty was given up, and one in forty is still to come.
    """
    INSERT INTO events_delivery (id, org_id, endpoint_id, event_id, event_type, object_id, sequence,
        status, tries, next_try_at, answer_status, error, created_at, delivered_at)
    SELECT gen_random_uuid(), event.org_id, endpoint.id, event.id, type, object_id, sequence, state, 1,
        CASE state WHEN 'PENDING' THEN now() + interval '1 day' END,
        CASE state WHEN 'DELIVERED' THEN 200 ELSE 500 END, '', event.created_at,
        CASE state WHEN 'DELIVERED' THEN event.created_at END
      FROM (SELECT *, CASE abs(hashtext(object_id::text)) % 40 WHEN 0 THEN 'FAILED'
                           WHEN 1 THEN 'PENDING' ELSE 'DELIVERED' END AS state
              FROM events_event WHERE org_id = ANY(%(orgs)s::uuid[])) AS event
      JOIN events_endpoint AS endpoint USING (org_id)
    """,
    """
    INSERT INTO events_attempt (delivery_id, url, sent_at, seconds, answer_status, error, answer)
    SELECT delivery.id, endpoint.url, delivery.created_at, 0.1, delivery.answer_status, '', 'ok'
      FROM events_delivery AS delivery JOIN events_endpoint AS endpoint ON endpoint.id = endpoint_id
     WHERE delivery.org_id = ANY(%(orgs)s::uuid[])
    """,
]


def write(orgs: list[str]) -> None:
    """Of organizations that have no endpoint yet, whose work is written."""
    with connection.cursor() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement.replace(" % ", " %% "), {"orgs": orgs})

"""An event is recorded in one statement: its number, its row, its deliveries and their queue entries."""

from django.db import migrations

NEW_ID = """
CREATE FUNCTION events_new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- A UUIDv7: 48 bits of milliseconds, then a random UUID with its version changed from 4 to 7.
    SELECT encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
            52, 1), 53, 1),
        'hex')::uuid
$$
"""

RECORD = """
CREATE FUNCTION events_record(
    _id uuid, _org uuid, _type text, _object uuid, _created_at timestamptz, _before text, _after text,
    _only uuid, _queue text, _task text
) RETURNS int LANGUAGE plpgsql AS $$
-- An event with the next number of its object, which is returned and stands in the body between the two
-- parts; and a delivery, with an entry of that task, for each endpoint that asked for it, or for `_only`
-- one. Until the transaction ends, other events of the object wait.
DECLARE
    number int;
    told uuid[];
BEGIN
    INSERT INTO events_eventsequence AS known (object_id, org_id, latest) VALUES (_object, _org, 1)
        ON CONFLICT (object_id) DO UPDATE SET latest = known.latest + 1
    RETURNING latest INTO number;
    INSERT INTO events_event (id, org_id, type, object_id, sequence, body, created_at)
    VALUES (_id, _org, _type, _object, number, _before || number || _after, _created_at);
    WITH made AS (
        INSERT INTO events_delivery
               (id, org_id, endpoint_id, event_id, event_type, object_id, sequence, status, tries, error)
        SELECT events_new_id(), _org, endpoint.id, _id, _type, _object, number, 'PENDING', 0, ''
          FROM events_endpoint AS endpoint
         WHERE endpoint.org_id = _org AND endpoint.deleted_at IS NULL
           AND CASE WHEN _only IS NULL
                    THEN endpoint.is_enabled AND (endpoint.event_types = '{}'
                                                  OR _type = ANY (endpoint.event_types))
                    ELSE endpoint.id = _only END
        RETURNING endpoint_id
    )
    SELECT array_agg(made.endpoint_id) INTO told FROM made;
    IF told IS NOT NULL THEN
        PERFORM procrastinate_defer_jobs_v1(array_agg(ROW(
                    _queue, _task, 0, NULL, NULL, jsonb_build_object('endpoint_id', each), NULL
                )::procrastinate_job_to_defer_v1))
           FROM unnest(told) AS each;
    END IF;
    RETURN number;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("events", "0003_version_of_endpoints"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [
        migrations.RunSQL(NEW_ID, "DROP FUNCTION events_new_id()"),
        migrations.RunSQL(
            RECORD,
            "DROP FUNCTION events_record(uuid, uuid, text, uuid, timestamptz, text, text, uuid, text, text)",
        ),
    ]

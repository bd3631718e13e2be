"""A job is stopped in one statement: its row, its hold, its place, and the entries of those whose turn it is then."""

from django.db import migrations

CANCEL = """
CREATE FUNCTION jobs_cancel(
    _table regclass, _job uuid, _org uuid, _running text, _actor text, _kinds jsonb,
    OUT org uuid, OUT version bigint, OUT was text, OUT stored jsonb
) LANGUAGE plpgsql AS $$
-- Lock the job of the organization in that table, and stop it if it is queued or `_running`: its row is
-- CANCELLED under the next fence, its hold is released, and its place is free for the next of its
-- organization. One that was queued gives its virtual time back, and the entries of those behind it get the
-- priorities that they have by that. `was` is its status before, NULL where there is no such job; `stored`
-- is the row as it is now. `org` and `version` are of the account, as `credits_settle` returns them.
-- `_kinds` is as for `jobs_submit`.
--
-- Locks are taken in the order row, hold, account, lots, share.
DECLARE
    hold uuid;
    fence bigint;
    moved jobs_jobplace;
    entry jsonb;
BEGIN
    EXECUTE format('SELECT job.status, job.hold_id, job.fence, to_jsonb(job) FROM %s AS job'
                   ' WHERE job.id = $1 AND job.org_id = $2 FOR UPDATE', _table)
       INTO was, hold, fence, stored
      USING _job, _org;
    IF was IS NULL OR was NOT IN ('QUEUED', _running) THEN
        RETURN;
    END IF;
    EXECUTE format('UPDATE %s AS job SET status = ''CANCELLED'', fence = job.fence + 1, error_code = '''','
                   ' error_message = '''', stage = '''', lease_expires_at = NULL,'
                   ' finished_at = statement_timestamp(), updated_at = statement_timestamp()'
                   ' WHERE job.id = $1 AND job.org_id = $2 RETURNING to_jsonb(job)', _table)
       INTO stored
      USING _job, _org;
    IF hold IS NOT NULL THEN
        SELECT settled.org, settled.version INTO org, version
          FROM credits_settle(hold, 'RELEASED', 0, fence, _actor) AS settled;
    END IF;
    IF was = 'QUEUED' THEN
        FOR moved IN SELECT * FROM jobs_give_back(_org, _job) LOOP
            entry := _kinds -> moved.kind::text;
            -- By the indexes on entries: of two arguments together, and of each other one.
            EXECUTE format('UPDATE procrastinate_jobs SET priority = $1 WHERE status = ''todo'''
                           ' AND %s = $2 AND args ->> ''fence'' = $3',
                           CASE WHEN entry ->> 'argument' IN ('project_id', 'export_id')
                                THEN 'COALESCE(args ->> ''project_id'', args ->> ''export_id'')'
                                ELSE format('args ->> %L', entry ->> 'argument') END)
              USING (-moved.tag)::int, moved.job::text, moved.fence::text;
        END LOOP;
    END IF;
    PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
                known.entry ->> 'queue', known.entry ->> 'task', (-place.tag)::int, NULL, NULL,
                jsonb_build_object(known.entry ->> 'argument', place.job, 'fence', place.fence), NULL
            )::procrastinate_job_to_defer_v1])
       FROM jobs_leave(_org, _job) AS place,
            LATERAL (SELECT _kinds -> place.kind::text AS entry) AS known
      WHERE known.entry IS NOT NULL;
END
$$
"""
DROP_CANCEL = "DROP FUNCTION jobs_cancel(regclass, uuid, uuid, text, text, jsonb)"


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0010_keys_spend"),
        ("jobs", "0006_submit"),
    ]

    operations = [migrations.RunSQL(CANCEL, DROP_CANCEL)]

"""An organization has no more than half of what is prepared at once.

Workers of a release before this one give what they hand over its entry at once, as they did: it is not
counted.
"""

import importlib

from django.db import migrations, models

AT_ONCE = """
CREATE FUNCTION jobs_prepared_at_once(_of_one int) RETURNS int LANGUAGE sql STABLE AS $$
    -- How many an organization may have prepared at once: half of what all workers that live prepare,
    -- `_of_one` each. A process has four workers of the queue.
    SELECT GREATEST(1, _of_one * GREATEST(1, (COUNT(*) + 3) / 4)::int / 2)
      FROM procrastinate_workers
     WHERE last_heartbeat > now() - interval '30 seconds'
$$
"""

PREPARE_NEXT = """
CREATE FUNCTION jobs_prepare_next(_org uuid, _job uuid, _of_one int)
RETURNS SETOF jobs_jobplace LANGUAGE plpgsql AS $$
-- Let the places of the organization that wait to be prepared have it in the order of their turns, as many
-- as it may have at once. `_job` is one that has begun to wait, or NULL. Returns those whose turn it is:
-- they are to get entries for their preparation.
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    PERFORM 1 FROM jobs_jobshare WHERE org_id = _org FOR NO KEY UPDATE;
    UPDATE jobs_jobplace SET prepares = false WHERE job = _job;
    RETURN QUERY
        UPDATE jobs_jobplace AS place
           SET prepares = true
         WHERE place.job IN (
               SELECT next.job FROM jobs_jobplace AS next
                WHERE next.org_id = _org AND next.tag IS NOT NULL AND NOT next.prepares
                ORDER BY next.prepares_at, next.job
                LIMIT GREATEST(0, jobs_prepared_at_once(_of_one) - (
                      SELECT COUNT(*) FROM jobs_jobplace AS own
                       WHERE own.org_id = _org AND own.tag IS NOT NULL AND own.prepares)))
        RETURNING place.*;
END
$$
"""

# As in 0008, but that what is handed over waits to be prepared only once `jobs_prepare_next` says so.
HAND_OVER = """
CREATE OR REPLACE FUNCTION jobs_hand_over(_job uuid, _fence bigint, _prepared boolean)
RETURNS bigint LANGUAGE plpgsql AS $$
-- A job that was begun is queued under that fence: to be prepared, or to be done as it is `_prepared`.
-- Returns the tag of its entry; NULL where it has no place.
--
-- To find out that it has to be prepared took nothing of a worker's time: so the virtual time that it was to
-- take is given back to its organization, and another turn drawn once it is prepared. What comes again to
-- be prepared keeps its turn.
DECLARE
    place jobs_jobplace;
    share jobs_jobshare;
    turn bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    SELECT * INTO place FROM jobs_jobplace WHERE job = _job;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO share FROM jobs_jobshare WHERE org_id = place.org_id FOR NO KEY UPDATE;
    IF _prepared THEN
        turn := GREATEST(share.finish, COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0));
        share.finish := turn + share.step;
        place.tag := turn;
    ELSE
        turn := COALESCE(place.prepares_at, GREATEST(
            share.prepared, COALESCE((SELECT at FROM jobs_jobclock WHERE id = 2), 0)));
        share.prepared := GREATEST(share.prepared, turn + share.step);
        IF place.tag >= 0 THEN
            share.finish := GREATEST(0, share.finish - share.step);
        END IF;
        place.tag := -1;
        place.prepares_at := turn;
    END IF;
    UPDATE jobs_jobshare AS old SET finish = share.finish, prepared = share.prepared
     WHERE old.org_id = place.org_id;
    UPDATE jobs_jobplace AS old
       SET fence = _fence, started = false, prepares = NULL, tag = place.tag, prepares_at = place.prepares_at
     WHERE old.job = _job;
    RETURN turn;
END
$$
"""


def before(apps, schema_editor):
    earlier = importlib.import_module("clipforge.jobs.migrations.0008_preparations")
    schema_editor.execute(
        earlier.HAND_OVER.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), None
    )


def now(apps, schema_editor):
    schema_editor.execute(HAND_OVER, None)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_preparations")]

    operations = [
        migrations.AddField(
            model_name="jobplace",
            name="prepares",
            field=models.BooleanField(null=True),
        ),
        migrations.RunSQL(AT_ONCE, "DROP FUNCTION jobs_prepared_at_once(int)"),
        migrations.RunSQL(PREPARE_NEXT, "DROP FUNCTION jobs_prepare_next(uuid, uuid, int)"),
        migrations.RunPython(now, before),
    ]

"""Preparations are given their turns fairly too, by a virtual time of their own.

Workers of a release before this one put what they hand over before all that wait, as they did.
"""

import importlib

from django.db import migrations, models

# The clock 2 is that of preparations.

HAND_OVER = """
CREATE FUNCTION jobs_hand_over(_job uuid, _fence bigint, _prepared boolean)
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
       SET fence = _fence, started = false, tag = place.tag, prepares_at = place.prepares_at
     WHERE old.job = _job;
    RETURN turn;
END
$$
"""

START = """
CREATE OR REPLACE FUNCTION jobs_start(_job uuid) RETURNS void LANGUAGE plpgsql AS $$
-- A worker has begun the job: virtual time is at least its tag now, and that of preparations at least its
-- turn among those.
DECLARE
    reached bigint;
    prepares bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    UPDATE jobs_jobplace SET started = true WHERE job = _job
    RETURNING tag, prepares_at INTO reached, prepares;
    IF reached > COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0) THEN
        INSERT INTO jobs_jobclock AS clock (id, at) VALUES (1, reached)
            ON CONFLICT (id) DO UPDATE SET at = GREATEST(clock.at, reached);
    END IF;
    IF prepares > COALESCE((SELECT at FROM jobs_jobclock WHERE id = 2), 0) THEN
        INSERT INTO jobs_jobclock AS clock (id, at) VALUES (2, prepares)
            ON CONFLICT (id) DO UPDATE SET at = GREATEST(clock.at, prepares);
    END IF;
END
$$
"""

REWIND = """
CREATE OR REPLACE FUNCTION jobs_rewind() RETURNS boolean LANGUAGE plpgsql AS $$
-- Let virtual time begin anew once it has come far, since priorities of entries are 32-bit numbers.
-- Nobody's turn changes. (That of preparations runs behind, and is taken back as far. Those that wait for
-- one then are served in the order of their entries.)
DECLARE
    passed bigint := (SELECT at FROM jobs_jobclock WHERE id = 1);
BEGIN
    IF passed IS NULL OR passed < 1073741824 THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(7316042);
    SELECT at INTO passed FROM jobs_jobclock WHERE id = 1;
    UPDATE jobs_jobclock SET at = GREATEST(0, at - passed);
    UPDATE jobs_jobshare
       SET finish = GREATEST(0, finish - passed), prepared = GREATEST(0, prepared - passed);
    UPDATE jobs_jobplace SET tag = GREATEST(0, tag - passed) WHERE tag >= 0;
    UPDATE jobs_jobplace SET prepares_at = GREATEST(0, prepares_at - passed)
     WHERE prepares_at IS NOT NULL;
    UPDATE procrastinate_jobs SET priority = LEAST(0, priority + passed)
     WHERE status = 'todo' AND priority < 0;
    RETURN true;
END
$$
"""


def before(apps, schema_editor):
    """The functions as they were."""
    earlier = importlib.import_module("clipforge.jobs.migrations.0003_functions_of_places")
    for function in (earlier.START, earlier.REWIND):
        schema_editor.execute(
            function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), None
        )


def now(apps, schema_editor):
    for function in (START, REWIND):
        schema_editor.execute(function, None)


class Migration(migrations.Migration):
    dependencies = [("jobs", "0007_cancel")]

    operations = [
        migrations.AddField(
            model_name="jobplace",
            name="prepares_at",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="jobshare",
            name="prepared",
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.RunSQL(HAND_OVER, "DROP FUNCTION jobs_hand_over(uuid, bigint, boolean)"),
        migrations.RunPython(now, before),
    ]

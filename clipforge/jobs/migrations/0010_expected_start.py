"""How long it is between two starts while jobs wait is measured: when one that waits will start follows from it."""

from django.db import migrations, models

NOTE_START = """
CREATE FUNCTION jobs_note_start(_job uuid) RETURNS void LANGUAGE plpgsql AS $$
-- A worker is at the job from now on. If that was queued before the latest start, the time since then is
-- what workers take for a job: `pace` is the mean, in which each new one counts for an eighth. More than a day
-- is a clock that was set. Starts at the very same moment are one: nobody waits here for another.
DECLARE
    queued timestamptz := (SELECT queued_at FROM jobs_jobplace WHERE job = _job);
    clock jobs_jobclock;
    passed double precision;
BEGIN
    INSERT INTO jobs_jobclock (id, at) VALUES (1, 0) ON CONFLICT DO NOTHING;
    SELECT * INTO clock FROM jobs_jobclock WHERE id = 1 FOR UPDATE SKIP LOCKED;
    IF clock.id IS NULL OR queued IS NULL THEN
        RETURN;
    END IF;
    passed := EXTRACT(epoch FROM statement_timestamp() - clock.started_at);
    IF queued < clock.started_at AND passed BETWEEN 0 AND 86400 THEN
        clock.pace := COALESCE(clock.pace + (passed - clock.pace) / 8, passed);
        clock.paces := LEAST(clock.paces + 1, 1000);
    END IF;
    UPDATE jobs_jobclock
       SET started_at = statement_timestamp(), pace = clock.pace, paces = clock.paces
     WHERE id = 1;
END
$$
"""

EXPECTED_START = """
CREATE FUNCTION jobs_expected_start(_ahead int) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    -- When the job starts that so many start before, to the second. NULL where that is not known: fewer
    -- than five paces were measured, none has started for ten paces and a minute, or it should have by now.
    SELECT date_trunc('second', clock.started_at + make_interval(secs => clock.pace * (_ahead + 1)))
      FROM jobs_jobclock AS clock
     WHERE clock.id = 1 AND clock.paces >= 5
       AND statement_timestamp() <= clock.started_at + make_interval(secs => 60 + 10 * clock.pace)
       AND statement_timestamp() < date_trunc(
               'second', clock.started_at + make_interval(secs => clock.pace * (_ahead + 1)))
$$
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_prepared_in_turn")]

    operations = [
        migrations.AddField(
            model_name="jobclock",
            name="started_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="jobclock",
            name="pace",
            field=models.FloatField(null=True),
        ),
        migrations.AddField(
            model_name="jobclock",
            name="paces",
            field=models.IntegerField(db_default=0),
        ),
        migrations.RunSQL(NOTE_START, "DROP FUNCTION jobs_note_start(uuid)"),
        migrations.RunSQL(EXPECTED_START, "DROP FUNCTION jobs_expected_start(int)"),
    ]

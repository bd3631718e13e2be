"""A job that is cancelled before it began gives its virtual time back.

Only added: a release before this one does not ask it, and leaves the time where it is.
"""

from django.db import migrations

GIVE_BACK = """
CREATE FUNCTION jobs_give_back(_org uuid, _job uuid)
RETURNS SETOF jobs_jobplace LANGUAGE plpgsql AS $$
-- The job ends before it began: the places of its organization behind it move up by one step, those
-- that have an entry and those to come, but not to before virtual time now. Returns those that moved:
-- their entries are to get that priority. Before `jobs_leave`, in the same transaction.
--
-- Its place keeps its tag until it is removed. One that came back from a worker has none of its own.
DECLARE
    share jobs_jobshare;
    gone jobs_jobplace;
    clock bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    SELECT * INTO share FROM jobs_jobshare WHERE org_id = _org FOR NO KEY UPDATE;
    SELECT * INTO gone FROM jobs_jobplace
     WHERE job = _job AND org_id = _org AND tag >= 0 AND NOT started;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    clock := COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0);
    RETURN QUERY
        UPDATE jobs_jobplace AS own
           SET tag = GREATEST(gone.tag, own.tag - share.step, LEAST(own.tag, clock))
         WHERE own.org_id = _org AND own.tag > gone.tag AND NOT own.started
        RETURNING own.*;
    UPDATE jobs_jobshare AS own
       SET finish = GREATEST(
               gone.tag, share.finish - share.step,
               (SELECT MAX(place.tag) + share.step FROM jobs_jobplace AS place
                 WHERE place.org_id = _org AND place.job <> _job AND NOT place.started))
     WHERE own.org_id = _org;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_functions_of_places")]

    operations = [migrations.RunSQL(GIVE_BACK, "DROP FUNCTION jobs_give_back(uuid, uuid)")]

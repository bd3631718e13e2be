"""The functions that give places their turns: start-time fair queueing over organizations.

Each function that moves the places of an organization locks its share first, after any lock on a job,
a hold or an account. They may be changed in place: they are asked by this release and later ones only.
"""

from django.db import migrations

# In all of them: a job of a tier that runs one at once takes 240 of virtual time, of one that runs
# sixteen a sixteenth of that. The advisory lock 7316042 is for `jobs_rewind`: moves read the clock,
# beginning it anew waits for them, and they for it.

PROMOTE = """
CREATE FUNCTION jobs_promote(_org uuid) RETURNS SETOF jobs_jobplace LANGUAGE plpgsql AS $$
-- Give a tag to the oldest places of the organization that wait, as far as its tier lets them run at
-- once. Returns these places: they are to get queue entries. Requires the lock of the share.
DECLARE
    share jobs_jobshare;
    place jobs_jobplace;
    allowed int;
    active int;
BEGIN
    SELECT * INTO share FROM jobs_jobshare WHERE org_id = _org;
    SELECT limits.concurrent_jobs INTO allowed
      FROM orgs_organization AS org JOIN orgs_tierlimits AS limits ON limits.tier = org.tier
     WHERE org.id = _org;
    SELECT COUNT(*) INTO active FROM jobs_jobplace WHERE org_id = _org AND tag IS NOT NULL;
    share.step := GREATEST(1, 240 / GREATEST(1, allowed));
    WHILE active < allowed AND share.waiting > 0 LOOP
        UPDATE jobs_jobplace
           SET tag = GREATEST(share.finish, COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0))
         WHERE job = (SELECT next.job FROM jobs_jobplace AS next
                       WHERE next.org_id = _org AND next.tag IS NULL
                       ORDER BY next.queued_at, next.job LIMIT 1)
        RETURNING * INTO place;
        share.waiting := CASE WHEN FOUND THEN share.waiting - 1 ELSE 0 END;
        IF FOUND THEN
            share.finish := place.tag + share.step;
            active := active + 1;
            RETURN NEXT place;
        END IF;
    END LOOP;
    UPDATE jobs_jobshare AS old
       SET finish = share.finish, waiting = share.waiting, step = share.step
     WHERE old.org_id = _org;
END
$$
"""

ENTER = """
CREATE FUNCTION jobs_enter(_org uuid, _kind text, _job uuid, _fence bigint)
RETURNS SETOF jobs_jobplace LANGUAGE plpgsql AS $$
-- Add the place of a job that was queued; one that it left behind is replaced. Returns what
-- `jobs_promote` does.
DECLARE
    left_behind jobs_jobplace;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    INSERT INTO jobs_jobshare AS share (org_id, waiting) VALUES (_org, 1)
        ON CONFLICT (org_id) DO UPDATE SET waiting = share.waiting + 1;
    DELETE FROM jobs_jobplace WHERE job = _job RETURNING * INTO left_behind;
    IF FOUND AND left_behind.tag IS NULL THEN
        UPDATE jobs_jobshare SET waiting = waiting - 1 WHERE org_id = _org;
    END IF;
    INSERT INTO jobs_jobplace (job, kind, org_id, fence) VALUES (_job, _kind, _org, _fence);
    RETURN QUERY SELECT * FROM jobs_promote(_org);
END
$$
"""

LEAVE = """
CREATE FUNCTION jobs_leave(_org uuid, _job uuid) RETURNS SETOF jobs_jobplace LANGUAGE plpgsql AS $$
-- Remove the place of a job that ended, if it has one. Returns what `jobs_promote` does.
DECLARE
    place jobs_jobplace;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    PERFORM 1 FROM jobs_jobshare WHERE org_id = _org FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM jobs_jobplace WHERE job = _job RETURNING * INTO place;
    IF FOUND AND place.tag IS NULL THEN
        UPDATE jobs_jobshare SET waiting = waiting - 1 WHERE org_id = _org;
    END IF;
    RETURN QUERY SELECT * FROM jobs_promote(_org);
END
$$
"""

START = """
CREATE FUNCTION jobs_start(_job uuid) RETURNS void LANGUAGE plpgsql AS $$
-- A worker has begun the job: virtual time is at least its tag now.
DECLARE
    reached bigint;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7316042);
    UPDATE jobs_jobplace SET started = true WHERE job = _job RETURNING tag INTO reached;
    IF reached > COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0) THEN
        INSERT INTO jobs_jobclock AS clock (id, at) VALUES (1, reached)
            ON CONFLICT (id) DO UPDATE SET at = GREATEST(clock.at, reached);
    END IF;
END
$$
"""

RETURN_ = """
CREATE FUNCTION jobs_return(_job uuid, _fence bigint) RETURNS boolean LANGUAGE sql AS $$
    -- The job comes back to the queue under that fence, before all others. False: its place waits, and
    -- gets its entry in its turn. NULL: it has no place.
    UPDATE jobs_jobplace
       SET fence = _fence, started = false, tag = CASE WHEN tag IS NOT NULL THEN -1 END
     WHERE job = _job
    RETURNING tag IS NOT NULL
$$
"""

POSITION = """
CREATE FUNCTION jobs_position(_job uuid, _most int) RETURNS int LANGUAGE plpgsql AS $$
-- How many jobs start before this one, at the most `_most`: as if every organization had a worker free
-- when its turn comes, and nothing were added. NULL where it has no place that waits for a worker.
-- Volatile: called in one statement after `jobs_enter`, it sees the place that this one made.
DECLARE
    place jobs_jobplace;
    share jobs_jobshare;
    clock bigint;
    ahead bigint;
    turn bigint;
BEGIN
    SELECT * INTO place FROM jobs_jobplace WHERE job = _job AND NOT started;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF place.tag IS NOT NULL THEN
        SELECT COUNT(*) INTO ahead FROM (
            SELECT FROM jobs_jobplace AS other
             WHERE other.tag IS NOT NULL AND NOT other.started
               AND (other.tag, other.job) < (place.tag, place.job) LIMIT _most) AS earlier;
        RETURN ahead;
    END IF;
    SELECT * INTO share FROM jobs_jobshare WHERE org_id = place.org_id;
    clock := COALESCE((SELECT at FROM jobs_jobclock WHERE id = 1), 0);
    SELECT COUNT(*) INTO ahead FROM (
        SELECT FROM jobs_jobplace AS own
         WHERE own.org_id = place.org_id AND own.tag IS NULL
           AND (own.queued_at, own.job) < (place.queued_at, place.job) LIMIT _most) AS earlier;
    turn := GREATEST(share.finish, clock) + ahead * share.step;
    SELECT ahead + COUNT(*) INTO ahead FROM (
        SELECT FROM jobs_jobplace AS other
         WHERE other.tag IS NOT NULL AND NOT other.started AND other.tag <= turn
         LIMIT _most) AS tagged;
    SELECT ahead + COALESCE(SUM(LEAST(other.waiting, GREATEST(0,
               (turn - GREATEST(other.finish, clock) + other.step - 1) / other.step))), 0) INTO ahead
      FROM jobs_jobshare AS other WHERE other.waiting > 0 AND other.org_id <> place.org_id;
    RETURN LEAST(ahead, _most);
END
$$
"""

REWIND = """
CREATE FUNCTION jobs_rewind() RETURNS boolean LANGUAGE plpgsql AS $$
-- Let virtual time begin anew once it has come far, since priorities of entries are 32-bit numbers.
-- Nobody's turn changes.
DECLARE
    passed bigint := (SELECT at FROM jobs_jobclock WHERE id = 1);
BEGIN
    IF passed IS NULL OR passed < 1073741824 THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(7316042);
    SELECT at INTO passed FROM jobs_jobclock WHERE id = 1;
    UPDATE jobs_jobclock SET at = at - passed WHERE id = 1;
    UPDATE jobs_jobshare SET finish = GREATEST(0, finish - passed);
    UPDATE jobs_jobplace SET tag = GREATEST(0, tag - passed) WHERE tag >= 0;
    UPDATE procrastinate_jobs SET priority = LEAST(0, priority + passed)
     WHERE status = 'todo' AND priority < 0;
    RETURN true;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_places")]

    operations = [
        migrations.RunSQL(PROMOTE, "DROP FUNCTION jobs_promote(uuid)"),
        migrations.RunSQL(ENTER, "DROP FUNCTION jobs_enter(uuid, text, uuid, bigint)"),
        migrations.RunSQL(LEAVE, "DROP FUNCTION jobs_leave(uuid, uuid)"),
        migrations.RunSQL(START, "DROP FUNCTION jobs_start(uuid)"),
        migrations.RunSQL(RETURN_, "DROP FUNCTION jobs_return(uuid, bigint)"),
        migrations.RunSQL(POSITION, "DROP FUNCTION jobs_position(uuid, int)"),
        migrations.RunSQL(REWIND, "DROP FUNCTION jobs_rewind()"),
    ]

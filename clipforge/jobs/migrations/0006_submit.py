"""A job is asked for in one statement: its price, its row, its place, and the entries of those whose turn it is."""

from django.db import migrations

SUBMIT = """
CREATE FUNCTION jobs_submit(
    _hold uuid, _org uuid, _amount bigint, _fence bigint, _reason text, _reference_type text,
    _reference_id text, _unit_price bigint, _price_version text, _inputs jsonb, _actor text,
    _key text, _seconds double precision, _max_open_holds int,
    _table regclass, _row jsonb, _found jsonb, _kinds jsonb, _most int,
    OUT outcome text, OUT version bigint, OUT available bigint, OUT hold credits_credithold,
    OUT ahead int, OUT stored jsonb
) LANGUAGE plpgsql AS $$
-- `credits_reserve`, whose arguments and results come first; and where there is a hold, the row of a
-- job of the kind `_reference_type`, by column, into its table, with the columns that were `_found` for
-- it, and its place. `ahead` of it start so many jobs, `_most` at most. `_kinds` says of each kind the
-- queue, the task and the argument that names the job: places of others stay without an entry.
--
-- Locks are taken in the order hold, account, lots, share. Nobody else knows the row yet.
DECLARE
    reserved record;
    job uuid := (_row ->> 'id')::uuid;
    columns text;
BEGIN
    SELECT * INTO reserved
      FROM credits_reserve(_hold, _org, _amount, _fence, _reason, _reference_type, _reference_id,
                           _unit_price, _price_version, _inputs, _actor, _key, _seconds,
                           _max_open_holds);
    outcome := reserved.outcome;
    version := reserved.version;
    available := reserved.available;
    hold := reserved.hold;
    IF hold.id IS NULL THEN
        RETURN;
    END IF;
    SELECT string_agg(quote_ident(name), ', ') INTO columns FROM jsonb_object_keys(_row) AS name;
    EXECUTE format('INSERT INTO %1$s AS made (%2$s)'
                   ' SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, $1) RETURNING to_jsonb(made)',
                   _table, columns)
       INTO stored
      USING _row || _found || jsonb_build_object('hold_id', hold.id);
    PERFORM procrastinate_defer_jobs_v1(ARRAY[ROW(
                known.entry ->> 'queue', known.entry ->> 'task', (-place.tag)::int, NULL, NULL,
                jsonb_build_object(known.entry ->> 'argument', place.job, 'fence', place.fence), NULL
            )::procrastinate_job_to_defer_v1])
       FROM jobs_enter(_org, _reference_type, job, _fence) AS place,
            LATERAL (SELECT _kinds -> place.kind::text AS entry) AS known
      WHERE known.entry IS NOT NULL;
    ahead := jobs_position(job, _most);
END
$$
"""
DROP_SUBMIT = """
DROP FUNCTION jobs_submit(uuid, uuid, bigint, bigint, text, text, text, bigint, text, jsonb, text, text,
                          double precision, int, regclass, jsonb, jsonb, jsonb, int)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("credits", "0010_keys_spend"),
        ("jobs", "0005_store_markers"),
    ]

    operations = [migrations.RunSQL(SUBMIT, DROP_SUBMIT)]

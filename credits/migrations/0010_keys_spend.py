"""The credits that keys spend, counted by month, and capped.

Both functions take and return what they did, so that a release before this one goes on with them: to it a
hold that a cap refuses is one that the account refuses. What it reserved before is counted for no key.
"""

import importlib

from django.db import migrations, models

MONTH = """
CREATE FUNCTION credits_month(_at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    -- The first day of the month of that time, in UTC.
    SELECT date_trunc('month', _at AT TIME ZONE 'UTC')::date
$$
"""
DROP_MONTH = "DROP FUNCTION credits_month(timestamptz)"

COUNT = """
CREATE FUNCTION credits_count_for_key(
    _org uuid, _family uuid, _at timestamptz, _amount bigint, _cap bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
-- Count the amount for the family of keys, in the month of that time. Returns NULL; or, where that would
-- be over the cap, what is left of it, and counts nothing. Requires the account's lock.
DECLARE
    counted bigint;
BEGIN
    INSERT INTO orgs_keyspending (org_id, family, month, used)
    VALUES (_org, _family, credits_month(_at), 0)
    ON CONFLICT (org_id, family, month) DO NOTHING;
    UPDATE orgs_keyspending AS spending SET used = spending.used + _amount
     WHERE spending.org_id = _org AND spending.family = _family
       AND spending.month = credits_month(_at)
       AND (_cap IS NULL OR spending.used + _amount <= _cap);
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT GREATEST(0, _cap - spending.used) INTO counted FROM orgs_keyspending AS spending
     WHERE spending.org_id = _org AND spending.family = _family
       AND spending.month = credits_month(_at);
    RETURN counted;
END
$$
"""
DROP_COUNT = "DROP FUNCTION credits_count_for_key(uuid, uuid, timestamptz, bigint, bigint)"

RESERVE = """
CREATE OR REPLACE FUNCTION credits_reserve(
    _id uuid, _org uuid, _amount bigint, _fence bigint, _reason text, _reference_type text,
    _reference_id text, _unit_price bigint, _price_version text, _inputs jsonb, _actor text,
    _key text, _seconds double precision, _max_open_holds int,
    OUT outcome text, OUT version bigint, OUT available bigint, OUT hold credits_credithold
) LANGUAGE plpgsql AS $$
-- Place a hold and reserve its amount on the account and its lots. The outcome is
--   placed     `version` is the account's
--   repeated   the key was used before: `hold` is that one, as it is now
--   capped     the key that `_actor` names has not so much left of its cap of this month: `available` is that
--   refused    the account has not so much, or as many open holds as allowed
--   ended      the account has so much, but some of its lots have ended: `available` is what is left
-- and only the first changed anything. What a key spends is counted for its family, capped or not, under
-- the account's lock. A second caller with the same key waits in the INSERT until
-- the first has committed.
DECLARE
    key_family uuid;
    key_cap bigint;
    left_of_cap bigint;
BEGIN
    BEGIN
        IF _actor LIKE 'key:%' THEN
            SELECT COALESCE(asking.family, asking.id), asking.monthly_cap INTO key_family, key_cap
              FROM orgs_apikey AS asking
             WHERE asking.prefix = substr(_actor, 5) AND asking.organization_id = _org;
        END IF;
        INSERT INTO credits_credithold
               (id, org_id, amount, fence, reason, reference_type, reference_id, unit_price,
                price_version, inputs, actor, idempotency_key, created_at, expires_at, family)
        VALUES (_id, _org, _amount, _fence, _reason, _reference_type, _reference_id, _unit_price,
                _price_version, _inputs, _actor, _key, statement_timestamp(),
                statement_timestamp() + make_interval(secs => _seconds), key_family)
        ON CONFLICT (org_id, idempotency_key) DO NOTHING
        RETURNING * INTO hold;
        IF NOT FOUND THEN
            SELECT * INTO hold FROM credits_credithold AS earlier
             WHERE earlier.org_id = _org AND earlier.idempotency_key = _key;
            outcome := 'repeated';
            RETURN;
        END IF;
        outcome := 'refused';
        UPDATE credits_creditaccount AS account
           SET held = account.held + _amount, open_holds = account.open_holds + 1,
               version = account.version + 1
         WHERE account.org_id = _org AND account.posted - account.held >= _amount
           AND (_max_open_holds IS NULL OR account.open_holds < _max_open_holds)
        RETURNING account.version INTO version;
        IF FOUND THEN
            outcome := 'ended';
            SELECT drawn INTO available FROM credits_draw(_org, _amount, _id);
            IF available = _amount THEN
                IF hold.family IS NULL THEN
                    outcome := 'placed';
                    RETURN;
                END IF;
                outcome := 'capped';
                left_of_cap := credits_count_for_key(
                    _org, hold.family, hold.created_at, _amount, key_cap);
                IF left_of_cap IS NULL THEN
                    outcome := 'placed';
                    RETURN;
                END IF;
                available := left_of_cap;
            END IF;
        END IF;
        RAISE EXCEPTION USING ERRCODE = 'CF402';
    EXCEPTION WHEN SQLSTATE 'CF402' THEN
        hold := NULL;
        version := NULL;
    END;
END
$$
"""

SETTLE = """
CREATE OR REPLACE FUNCTION credits_settle(
    _hold uuid, _status text, _captured bigint, _fence bigint, _actor text,
    OUT org uuid, OUT version bigint, OUT held bigint, OUT spend credits_credittransaction
) LANGUAGE plpgsql AS $$
-- Take the hold out of HELD, once: spend `_captured` of it, from its lots in the order in which they
-- were drawn, and give the rest back to them. `_captured` NULL is all of it, 0 none, and then there is
-- no ledger row; `_fence` NULL is any. What comes back to a lot that has ended meanwhile settles the
-- debt about it, or expires. The family of the key that reserved it has so much more of its cap again, in
-- the month of the reservation. `version` is the account's; NULL, and nothing changed, when the hold is
-- settled already, its fence differs, or less is `held` than is to be captured.
DECLARE
    placed credits_credithold;
    part record;
    ended boolean;
    spent bigint;
    moved bigint;
    unspent bigint;
BEGIN
    UPDATE credits_credithold
       SET status = _status, captured = COALESCE(_captured, amount), resolved_by = _actor,
           resolved_at = statement_timestamp()
     WHERE id = _hold AND status = 'HELD' AND fence = COALESCE(_fence, fence)
       AND amount >= COALESCE(_captured, amount)
    RETURNING * INTO placed;
    IF NOT FOUND THEN
        SELECT amount INTO held FROM credits_credithold
         WHERE id = _hold AND status = 'HELD' AND fence = COALESCE(_fence, fence);
        RETURN;
    END IF;
    org := placed.org_id;
    held := placed.amount;
    IF placed.captured > 0 THEN
        spend := credits_post(
            org, 'SPEND', -placed.captured, -held, -1, _hold, placed.reason,
            placed.reference_type, placed.reference_id, placed.unit_price, placed.price_version,
            placed.inputs, _actor, format('capture:%s', _hold));
        version := spend.org_seq;
    ELSE
        UPDATE credits_creditaccount AS account
           SET held = account.held - placed.amount, open_holds = account.open_holds - 1,
               version = account.version + 1
         WHERE account.org_id = org AND account.posted >= account.held - placed.amount
        RETURNING account.version INTO version;
    END IF;
    IF version IS NULL THEN
        RAISE EXCEPTION 'hold % cannot be settled', _hold USING ERRCODE = 'CF001';
    END IF;
    IF placed.family IS NOT NULL AND placed.captured < held THEN
        UPDATE orgs_keyspending AS spending SET used = spending.used - (held - placed.captured)
         WHERE spending.org_id = org AND spending.family = placed.family
           AND spending.month = credits_month(placed.created_at);
    END IF;
    unspent := placed.captured;
    FOR part IN
        SELECT allocation.id, allocation.grant_id, allocation.amount
          FROM credits_holdallocation AS allocation
          JOIN credits_creditgrant AS lot ON lot.id = allocation.grant_id
         WHERE allocation.hold_id = _hold
         ORDER BY lot.priority, lot.expires_at, lot.id
    LOOP
        spent := LEAST(part.amount, unspent);
        unspent := unspent - spent;
        IF spent > 0 THEN
            UPDATE credits_holdallocation SET captured = spent WHERE id = part.id;
        END IF;
        UPDATE credits_creditgrant AS lot
           SET held = lot.held - part.amount, remaining = lot.remaining - spent
         WHERE lot.id = part.grant_id
        RETURNING lot.remaining > lot.held AND lot.expires_at <= statement_timestamp() INTO ended;
        IF ended THEN
            moved := credits_expire_lot(part.grant_id, _actor);
            version := COALESCE(moved, version);
        END IF;
    END LOOP;
END
$$
"""


def before(apps, schema_editor):
    """The functions as they were."""
    earlier = importlib.import_module("credits.migrations.0009_functions")
    for function in (earlier.RESERVE, earlier.SETTLE):
        schema_editor.execute(
            function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), None
        )


def now(apps, schema_editor):
    for function in (RESERVE, SETTLE):
        schema_editor.execute(function, None)


class Migration(migrations.Migration):
    dependencies = [("credits", "0009_functions"), ("orgs", "0015_keys_with_limits")]

    operations = [
        migrations.AddField(
            "credithold",
            "family",
            models.UUIDField(
                blank=True,
                editable=False,
                help_text="The keys that it counts for, with their cap.",
                null=True,
            ),
        ),
        migrations.RunSQL(MONTH, DROP_MONTH),
        migrations.RunSQL(COUNT, DROP_COUNT),
        migrations.RunPython(now, before),
    ]

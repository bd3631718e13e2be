"""The movements of the ledger as functions: one round trip each, and one place for each rule.

Only added: a release without them goes on beside one with them, since both take the same locks in the
same order (hold, account, lots). A later migration that changes what a function takes or returns
gives it another name, and drops the old one a release later.

None of them names a schema or sets a `search_path`: they ask the clock that the connection asks.
"""

from django.db import migrations

# --- the account and its rows ---

POST = """
CREATE FUNCTION credits_post(
    _org uuid, _type text, _amount bigint, _held bigint, _open_holds int, _hold uuid,
    _reason text, _reference_type text, _reference_id text, _unit_price bigint,
    _price_version text, _inputs jsonb, _actor text, _key text
) RETURNS credits_credittransaction LANGUAGE plpgsql AS $$
-- Change `posted` by the amount and `held` by the other, and write the ledger row. A row of NULLs,
-- and nothing changed, if that would overspend.
DECLARE
    account record;
    made credits_credittransaction;
BEGIN
    UPDATE credits_creditaccount
       SET posted = posted + _amount, held = held + _held,
           open_holds = open_holds + _open_holds, version = version + 1
     WHERE org_id = _org AND posted + _amount >= held + _held
    RETURNING posted, version INTO account;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO credits_credittransaction
           (org_id, type, amount, balance_after, org_seq, hold_id, reason, reference_type,
            reference_id, unit_price, price_version, inputs, actor, idempotency_key)
    VALUES (_org, _type, _amount, account.posted, account.version, _hold, _reason,
            _reference_type, _reference_id, _unit_price, _price_version, _inputs, _actor, _key)
    RETURNING * INTO made;
    RETURN made;
END
$$
"""
DROP_POST = """
DROP FUNCTION credits_post(uuid, text, bigint, bigint, int, uuid, text, text, text, bigint, text,
                           jsonb, text, text)
"""

OWE = """
CREATE FUNCTION credits_owe(_org uuid, _amount bigint) RETURNS bigint LANGUAGE sql AS $$
    -- Add to the account's debt; a negative amount lowers it. Returns its version.
    UPDATE credits_creditaccount SET debt = debt + _amount, version = version + 1
     WHERE org_id = _org
    RETURNING version
$$
"""
DROP_OWE = "DROP FUNCTION credits_owe(uuid, bigint)"

# --- lots ---

DRAW = """
CREATE FUNCTION credits_draw(_org uuid, _amount bigint, _hold uuid, OUT drawn bigint, OUT lots jsonb)
LANGUAGE plpgsql AS $$
-- Draw the amount from the lots: by priority, then soonest end (NULL, which is never, comes last),
-- then oldest. For a hold it is reserved, and written down how much on which; without one it is taken
-- at once. Returns how much there was, and without a hold how much of which lot. Requires the
-- account's lock, taken by an earlier statement.
DECLARE
    lot record;
    part bigint;
BEGIN
    drawn := 0;
    lots := '{}';
    FOR lot IN
        SELECT id, remaining - held AS free
          FROM credits_creditgrant
         WHERE org_id = _org AND remaining > 0 AND remaining > held
           AND effective_at <= statement_timestamp()
           AND (expires_at IS NULL OR expires_at > statement_timestamp())
         ORDER BY priority, expires_at, id
    LOOP
        part := LEAST(lot.free, _amount - drawn);
        drawn := drawn + part;
        IF _hold IS NULL THEN
            UPDATE credits_creditgrant SET remaining = remaining - part WHERE id = lot.id;
            lots := lots || jsonb_build_object(lot.id, part);
        ELSE
            UPDATE credits_creditgrant SET held = held + part WHERE id = lot.id;
            INSERT INTO credits_holdallocation (hold_id, grant_id, amount)
            VALUES (_hold, lot.id, part);
        END IF;
        EXIT WHEN drawn = _amount;
    END LOOP;
END
$$
"""
DROP_DRAW = "DROP FUNCTION credits_draw(uuid, bigint, uuid)"

TAKE_OUT = """
CREATE FUNCTION credits_take_out(
    _lot bigint, _type text, _amount bigint, _reason text, _reference_type text, _reference_id text,
    _actor text, _key text
) RETURNS credits_credittransaction LANGUAGE plpgsql AS $$
-- Take free credits out of one lot, by a row of that type. Requires the account's lock.
DECLARE
    made credits_credittransaction;
    org uuid;
BEGIN
    UPDATE credits_creditgrant SET remaining = remaining - _amount WHERE id = _lot
    RETURNING org_id INTO org;
    made := credits_post(
        org, _type, -_amount, 0, 0, NULL, _reason, _reference_type, _reference_id, NULL, '',
        jsonb_build_object('grants', jsonb_build_object(_lot, _amount)), _actor, _key);
    IF made.id IS NULL THEN
        RAISE EXCEPTION 'grant % does not have %', _lot, _amount USING ERRCODE = 'CF001';
    END IF;
    RETURN made;
END
$$
"""
DROP_TAKE_OUT = "DROP FUNCTION credits_take_out(bigint, text, bigint, text, text, text, text, text)"

SETTLE_DEBT = """
CREATE FUNCTION credits_settle_debt(
    _lot bigint, _own boolean, _actor text, OUT settled bigint, OUT version bigint
) LANGUAGE plpgsql AS $$
-- Pay what is owed out of the free part of the lot, the oldest debt first: where `_own`, only the
-- debt about this lot. Returns how many credits, and the account's version, NULL where nothing was
-- owed. Requires the account's lock, taken by an earlier statement.
DECLARE
    lot record;
    debt record;
    part bigint;
BEGIN
    SELECT org_id, remaining - held AS free INTO lot FROM credits_creditgrant WHERE id = _lot;
    settled := 0;
    FOR debt IN
        SELECT * FROM credits_creditreversal AS reversal
         WHERE reversal.org_id = lot.org_id AND reversal.owed > reversal.settled
           AND (NOT _own OR reversal.grant_id = _lot)
         ORDER BY reversal.id
    LOOP
        part := LEAST(lot.free - settled, debt.owed - debt.settled);
        EXIT WHEN part = 0;
        -- The settled part of a reversal only ever grows: no key comes twice.
        PERFORM credits_take_out(
            _lot, 'ADJUST', part, left('Settles what is owed: ' || debt.reason, 500), 'reversal',
            debt.id::text, _actor, format('settle:%s:%s', debt.id, debt.settled));
        UPDATE credits_creditreversal AS reversal SET settled = reversal.settled + part
         WHERE reversal.id = debt.id;
        version := credits_owe(lot.org_id, -part);
        settled := settled + part;
    END LOOP;
END
$$
"""
DROP_SETTLE_DEBT = "DROP FUNCTION credits_settle_debt(bigint, boolean, text)"

EXPIRE_PART = """
CREATE FUNCTION credits_expire_part(_lot bigint, _amount bigint, _actor text, _key text)
RETURNS bigint LANGUAGE sql AS $$
    -- Expire so much of the part of the lot that is not held. Returns the account's version.
    SELECT org_seq FROM credits_take_out(
        _lot, 'EXPIRE', _amount, 'Unused credits ended', 'grant', _lot::text, _actor, _key)
$$
"""
DROP_EXPIRE_PART = "DROP FUNCTION credits_expire_part(bigint, bigint, text, text)"

EXPIRE_LOT = """
CREATE FUNCTION credits_expire_lot(_lot bigint, _actor text) RETURNS bigint LANGUAGE plpgsql AS $$
-- Expire what is not held of the lot, after settling out of it the debt about it. Returns the
-- account's version; NULL where nothing moved. Requires the account's lock.
DECLARE
    moved bigint;
    lot record;
BEGIN
    SELECT version INTO moved FROM credits_settle_debt(_lot, true, _actor);
    SELECT remaining, held INTO lot FROM credits_creditgrant WHERE id = _lot;
    IF lot.remaining > lot.held THEN
        -- A lot may end in parts, as holds come back to it; what remains of it only ever shrinks then.
        moved := credits_expire_part(
            _lot, lot.remaining - lot.held, _actor, format('expire:%s:%s', _lot, lot.remaining));
    END IF;
    RETURN moved;
END
$$
"""
DROP_EXPIRE_LOT = "DROP FUNCTION credits_expire_lot(bigint, text)"

# --- holds ---

RESERVE = """
CREATE FUNCTION credits_reserve(
    _id uuid, _org uuid, _amount bigint, _fence bigint, _reason text, _reference_type text,
    _reference_id text, _unit_price bigint, _price_version text, _inputs jsonb, _actor text,
    _key text, _seconds double precision, _max_open_holds int,
    OUT outcome text, OUT version bigint, OUT available bigint, OUT hold credits_credithold
) LANGUAGE plpgsql AS $$
-- Place a hold and reserve its amount on the account and its lots. The outcome is
--   placed     `version` is the account's
--   repeated   the key was used before: `hold` is that one, as it is now
--   refused    the account has not so much, or as many open holds as allowed
--   ended      the account has so much, but some of its lots have ended: `available` is what is left
-- and only the first changed anything. A second caller with the same key waits in the INSERT until
-- the first has committed.
BEGIN
    BEGIN
        INSERT INTO credits_credithold
               (id, org_id, amount, fence, reason, reference_type, reference_id, unit_price,
                price_version, inputs, actor, idempotency_key, expires_at)
        VALUES (_id, _org, _amount, _fence, _reason, _reference_type, _reference_id, _unit_price,
                _price_version, _inputs, _actor, _key,
                statement_timestamp() + make_interval(secs => _seconds))
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
                outcome := 'placed';
                RETURN;
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
DROP_RESERVE = """
DROP FUNCTION credits_reserve(uuid, uuid, bigint, bigint, text, text, text, bigint, text, jsonb, text,
                              text, double precision, int)
"""

SETTLE = """
CREATE FUNCTION credits_settle(
    _hold uuid, _status text, _captured bigint, _fence bigint, _actor text,
    OUT org uuid, OUT version bigint, OUT held bigint, OUT spend credits_credittransaction
) LANGUAGE plpgsql AS $$
-- Take the hold out of HELD, once: spend `_captured` of it, from its lots in the order in which they
-- were drawn, and give the rest back to them. `_captured` NULL is all of it, 0 none, and then there is
-- no ledger row; `_fence` NULL is any. What comes back to a lot that has ended meanwhile settles the
-- debt about it, or expires. `version` is the account's; NULL, and nothing changed, when the hold is
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
DROP_SETTLE = "DROP FUNCTION credits_settle(uuid, text, bigint, bigint, text)"


class Migration(migrations.Migration):
    dependencies = [("credits", "0008_amounts_by_type")]

    operations = [
        migrations.RunSQL(POST, DROP_POST),
        migrations.RunSQL(OWE, DROP_OWE),
        migrations.RunSQL(DRAW, DROP_DRAW),
        migrations.RunSQL(TAKE_OUT, DROP_TAKE_OUT),
        migrations.RunSQL(SETTLE_DEBT, DROP_SETTLE_DEBT),
        migrations.RunSQL(EXPIRE_PART, DROP_EXPIRE_PART),
        migrations.RunSQL(EXPIRE_LOT, DROP_EXPIRE_LOT),
        migrations.RunSQL(RESERVE, DROP_RESERVE),
        migrations.RunSQL(SETTLE, DROP_SETTLE),
    ]

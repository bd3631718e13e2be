"""A ledger row knows who ordered the work that it pays for: `GET /usage` tells the keys apart by it.

The function keeps its name: it takes and returns what it did, and a release without the column calls
it as before.
"""

from importlib import import_module

from django.db import migrations, models

POST = """
CREATE OR REPLACE FUNCTION credits_post(
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
            reference_id, unit_price, price_version, inputs, actor, idempotency_key, ordered_by)
    VALUES (_org, _type, _amount, account.posted, account.version, _hold, _reason,
            _reference_type, _reference_id, _unit_price, _price_version, _inputs, _actor, _key,
            COALESCE((SELECT actor FROM credits_credithold WHERE id = _hold), ''))
    RETURNING * INTO made;
    RETURN made;
END
$$
"""
BEFORE = import_module("credits.migrations.0009_functions").POST.replace(
    "CREATE", "CREATE OR REPLACE", 1
)


class Migration(migrations.Migration):
    dependencies = [("credits", "0010_keys_spend")]

    operations = [
        migrations.AddField(
            "credittransaction",
            "ordered_by",
            models.CharField(max_length=100, blank=True, db_default=""),
        ),
        migrations.RunSQL(POST, BEFORE),
    ]

"""An idempotency key is taken, and what is known of it read, in one statement."""

from django.db import migrations

CLAIM = """
CREATE FUNCTION orgs_claim_key(
    _number bigint, _org uuid, _key text,
    OUT claimed boolean, OUT fingerprint text, OUT status int, OUT body text, OUT location text
) LANGUAGE plpgsql AS $$
-- Take the key until the transaction ends; not `claimed` where another transaction has it. The rest is
-- its record, NULL without one: read by a statement that begins after the key was taken, so that
-- whoever had it before has committed.
BEGIN
    claimed := pg_try_advisory_xact_lock(_number);
    IF claimed THEN
        SELECT known.fingerprint, known.status, known.body, known.location
          INTO fingerprint, status, body, location
          FROM orgs_idempotencyrecord AS known
         WHERE known.org_id = _org AND known.key = _key;
    END IF;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("orgs", "0018_watermark")]

    operations = [migrations.RunSQL(CLAIM, "DROP FUNCTION orgs_claim_key(bigint, uuid, text)")]

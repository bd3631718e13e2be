"""Triggers and storage parameters of the ledger, which Django cannot declare."""

from django.db import migrations

# Refuses every UPDATE and DELETE of a ledger row, also by raw SQL, the admin or a cascade.
# A correction is a new row. TRUNCATE is not refused: only the owner of the table may do it, a
# migration user and the flush between tests; the application's role needs no such right.
CREATE_TRIGGER = """
CREATE FUNCTION credits_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % of transaction % refused', TG_OP, OLD.id
        USING ERRCODE = 'restrict_violation', HINT = 'Write a correcting row (ADJUST, REFUND).';
END
$$;
CREATE TRIGGER credits_append_only BEFORE UPDATE OR DELETE ON credits_credittransaction
    FOR EACH ROW EXECUTE FUNCTION credits_refuse_change();
"""
DROP_TRIGGER = """
DROP TRIGGER credits_append_only ON credits_credittransaction;
DROP FUNCTION credits_refuse_change();
"""

# Room on each page for the next version of its rows (HOT): the account of a busy organization
# is updated with every reservation and capture.
LEAVE_ROOM = """
ALTER TABLE credits_creditaccount SET (fillfactor = 50);
ALTER TABLE credits_creditgrant SET (fillfactor = 70);
"""
NO_ROOM = """
ALTER TABLE credits_creditaccount RESET (fillfactor);
ALTER TABLE credits_creditgrant RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]

    operations = [
        migrations.RunSQL(CREATE_TRIGGER, DROP_TRIGGER),
        migrations.RunSQL(LEAVE_ROOM, NO_ROOM),
    ]

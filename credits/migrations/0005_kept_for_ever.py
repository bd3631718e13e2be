"""Triggers that keep the rows around the ledger from being deleted or rewritten."""

from django.db import migrations

# Accounts, lots, holds and what was taken back move, but none is ever deleted, and what each was
# made of stands. A trigger on columns costs nothing to a statement that does not name them, so the
# movements of the ledger do not pay for this. As before, TRUNCATE is not refused.
STANDS = {
    "credits_creditaccount": ["org_id"],
    "credits_creditgrant": ["id", "org_id", "kind", "amount", "created_at"],
    "credits_credithold": ["id", "org_id", "amount", "idempotency_key", "actor", "created_at"],
    "credits_holdallocation": ["id", "hold_id", "grant_id", "amount"],
    "credits_creditreversal": [
        "id",
        "org_id",
        "grant_id",
        "amount",
        "taken",
        "owed",
        "idempotency_key",
        "actor",
        "created_at",
    ],
}
CREATE_FUNCTION = """
CREATE FUNCTION credits_refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what the ledger is made of stands: % of % refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Credits move through credits.services.';
END
$$
"""
DROP_FUNCTION = "DROP FUNCTION credits_refuse_rewriting()"


def trigger(table: str, columns: list[str]) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"""
        CREATE TRIGGER credits_kept_for_ever
            BEFORE DELETE OR UPDATE OF {", ".join(columns)} ON {table}
            FOR EACH ROW EXECUTE FUNCTION credits_refuse_rewriting()
        """,
        f"DROP TRIGGER credits_kept_for_ever ON {table}",
    )


class Migration(migrations.Migration):
    dependencies = [("credits", "0004_credit_reversals")]

    operations = [
        migrations.RunSQL(CREATE_FUNCTION, DROP_FUNCTION),
        *(trigger(table, columns) for table, columns in STANDS.items()),
    ]

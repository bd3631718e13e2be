"""Triggers on prices, which Django cannot declare."""

from django.db import migrations

# The terms of a price that was shown never change, not even by raw SQL or in a shell. A change is a
# new version of the price.
CREATE_TRIGGER = """
CREATE FUNCTION billing_refuse_new_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.code, NEW.version, NEW.name, NEW.kind, NEW.tier, NEW.credits,
                             NEW.amount, NEW.currency, NEW.validity_days, NEW.frozen_at)
              IS NOT DISTINCT FROM (OLD.code, OLD.version, OLD.name, OLD.kind, OLD.tier,
                             OLD.credits, OLD.amount, OLD.currency, OLD.validity_days, OLD.frozen_at)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'price % v% was sold: % refused', OLD.code, OLD.version, TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Make its next version.';
END
$$;
CREATE TRIGGER billing_frozen_price BEFORE UPDATE OR DELETE ON billing_price
    FOR EACH ROW WHEN (OLD.frozen_at IS NOT NULL) EXECUTE FUNCTION billing_refuse_new_terms();
"""
DROP_TRIGGER = """
DROP TRIGGER billing_frozen_price ON billing_price;
DROP FUNCTION billing_refuse_new_terms();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0002_catalogue")]
    operations = [migrations.RunSQL(CREATE_TRIGGER, DROP_TRIGGER)]

"""A refund of a payment is asked for as other large movements are. Its check follows in 0014."""

import django.db.models.deletion
from django.db import migrations, models

# As in 0006, with what a refund adds.
TRIGGER = """
CREATE OR REPLACE FUNCTION staff_refuse_change_of_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status <> 'PENDING'
       OR (OLD.id, OLD.token, OLD.org_id, OLD.kind, OLD.amount, OLD.grant_kind, OLD.expires_at,
           OLD.ticket, OLD.reason, OLD.requested_by_id, OLD.requested_at, OLD.price_id,
           OLD.paid_on%(old)s)
          IS DISTINCT FROM
          (NEW.id, NEW.token, NEW.org_id, NEW.kind, NEW.amount, NEW.grant_kind, NEW.expires_at,
           NEW.ticket, NEW.reason, NEW.requested_by_id, NEW.requested_at, NEW.price_id,
           NEW.paid_on%(new)s)
    THEN
        RAISE EXCEPTION 'a request for credits is decided once: %% of request %% refused', TG_OP, OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
"""
WITH_REFUNDS = TRIGGER % {
    "old": ", OLD.payment_id, OLD.refund_amount",
    "new": ", NEW.payment_id, NEW.refund_amount",
}
WITHOUT_REFUNDS = TRIGGER % {"old": "", "new": ""}


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_refunds"),
        ("staff", "0012_watch_videos"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="approvalrequest", name="staff_moneyrequest_kind_fits"
        ),
        migrations.AddField(
            model_name="approvalrequest",
            name="payment",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="billing.payment",
            ),
        ),
        migrations.AddField(
            model_name="approvalrequest",
            name="refund_amount",
            field=models.PositiveIntegerField(
                help_text="In minor units of the payment that a part of goes back.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="approvalrequest",
            name="kind",
            field=models.CharField(
                choices=[
                    ("GRANT", "Grant"),
                    ("ADJUST", "Adjustment"),
                    ("PAYMENT", "Payment"),
                    ("REFUND", "Refund"),
                ],
                max_length=8,
            ),
        ),
        migrations.RunSQL(WITH_REFUNDS, WITHOUT_REFUNDS),
    ]

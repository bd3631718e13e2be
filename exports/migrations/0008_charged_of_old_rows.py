"""Fill `charged` of earlier rows from their holds."""

from django.db import migrations

from clipforge.common.migrations import UpdateInBatches

CHARGED = """
UPDATE exports_export SET charged = hold.captured
  FROM credits_credithold AS hold
 WHERE hold.id = hold_id AND charged <> hold.captured
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("exports", "0007_charged")]

    operations = [UpdateInBatches("exports_export", CHARGED)]

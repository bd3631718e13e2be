"""Fill `charged` of earlier rows from their holds."""

from django.db import migrations

from clipforge.common.migrations import UpdateInBatches

CHARGED = """
UPDATE projects_project SET charged = hold.captured
  FROM credits_credithold AS hold
 WHERE hold.id = hold_id AND charged <> hold.captured
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("projects", "0007_charged")]

    operations = [UpdateInBatches("projects_project", CHARGED)]

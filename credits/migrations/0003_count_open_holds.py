"""Count the open holds on the account: a limit on them is then part of the one conditional UPDATE."""

from django.db import migrations, models

COUNT = """
UPDATE credits_creditaccount AS account SET open_holds = open.total
  FROM (SELECT org_id, COUNT(*) AS total FROM credits_credithold WHERE status = 'HELD' GROUP BY org_id)
       AS open
 WHERE open.org_id = account.org_id
"""


class Migration(migrations.Migration):
    dependencies = [("credits", "0002_append_only")]

    operations = [
        migrations.AddField(
            "creditaccount",
            "open_holds",
            models.IntegerField(db_default=0, help_text="How many holds are HELD."),
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
        migrations.AddConstraint(
            "creditaccount",
            models.CheckConstraint(
                condition=models.Q(("open_holds__gte", 0)),
                name="credits_account_open_holds_positive",
            ),
        ),
    ]

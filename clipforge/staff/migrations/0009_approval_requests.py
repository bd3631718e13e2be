"""`MoneyRequest` is `ApprovalRequest` now. Its table keeps its name, and is not touched."""

from django.db import migrations, models


def rename_content_type(apps, schema_editor):
    _rename(apps, "moneyrequest", "approvalrequest")


def rename_back(apps, schema_editor):
    _rename(apps, "approvalrequest", "moneyrequest")


def _rename(apps, before, after):
    types = apps.get_model("contenttypes", "ContentType").objects.filter(app_label="staff")
    if not types.filter(model=after).exists():
        types.filter(model=before).update(model=after)


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0008_staff_permissions"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel("MoneyRequest", "ApprovalRequest"),
                migrations.AlterModelTable("approvalrequest", "staff_moneyrequest"),
                migrations.AlterField(
                    "approvalrequest",
                    "token",
                    models.UUIDField(
                        help_text="Of the form; the transaction's ledger key.", unique=True
                    ),
                ),
            ],
        ),
        migrations.RunPython(rename_content_type, rename_back),
    ]

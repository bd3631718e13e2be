from django.db import migrations


class Migration(migrations.Migration):
    """The model that carries the permissions of staff gets its name; it has no table.

    Django renames its content type with it, so that permissions and what groups hold of them stay.
    """

    dependencies = [
        ("staff", "0007_audit_of_its_own"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RenameModel("Duty", "StaffPermission")]

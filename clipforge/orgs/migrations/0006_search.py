"""Trigram indexes for the search of staff: names and addresses."""

import django.contrib.postgres.indexes
from django.db import migrations, models

from clipforge.common.migrations import AddIndexOnline
from clipforge.orgs.trigrams import Trigrams

# pg_trgm would do, but it is an extension, which not every server has. The two spaces before the
# text are what one or two letters at its beginning are found by.
CREATE_FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION orgs_trigrams(value text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT substr('  ' || lower(value), place, 3))
      FROM generate_series(1, length(value)) AS place
$$;
CREATE OR REPLACE FUNCTION orgs_sought(value text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN length(value) < 3 THEN ARRAY[lpad(lower(value), 3)]
           ELSE (SELECT array_agg(DISTINCT substr(lower(value), place, 3))
                   FROM generate_series(1, length(value) - 2) AS place) END
$$;
"""
DROP_FUNCTIONS = """
DROP FUNCTION IF EXISTS orgs_trigrams(text);
DROP FUNCTION IF EXISTS orgs_sought(text);
"""


class Migration(migrations.Migration):
    # Indexes are built while customers read and write.
    atomic = False

    dependencies = [
        ("orgs", "0005_keys_by_time"),
    ]

    operations = [
        migrations.RunSQL(CREATE_FUNCTIONS, DROP_FUNCTIONS),
        AddIndexOnline(
            "organization",
            django.contrib.postgres.indexes.GinIndex(
                Trigrams("name"),
                fastupdate=False,
                name="orgs_organization_name_parts",
            ),
        ),
        AddIndexOnline(
            "user",
            django.contrib.postgres.indexes.GinIndex(
                Trigrams("email"),
                fastupdate=False,
                name="orgs_user_email_parts",
            ),
        ),
        AddIndexOnline(
            "user",
            models.Index(
                fields=["-id"], condition=models.Q(("is_staff", True)), name="orgs_user_staff"
            ),
        ),
        AddIndexOnline(
            "staffaction",
            models.Index(fields=["request_id"], name="orgs_staffaction_request"),
        ),
    ]

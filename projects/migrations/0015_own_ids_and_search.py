"""Ids and texts of the customer's own, and the functions that a search by title is indexed with."""

from django.db import migrations, models

# Names in full: an index is built anew where nothing is on the search path.
FUNCTIONS = """
CREATE FUNCTION public.projects_groups(org uuid, title text, reference text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT hashtextextended(found, hashtext(org::text)))
      FROM unnest(public.orgs_trigrams(title) || public.orgs_trigrams(coalesce(reference, ''))) AS found
$$;
CREATE FUNCTION public.projects_sought(org uuid, word text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_agg(DISTINCT hashtextextended(found, hashtext(org::text)))
      FROM unnest(public.orgs_sought(word)) AS found
$$;
"""
DROP_FUNCTIONS = """
DROP FUNCTION public.projects_groups(uuid, text, text);
DROP FUNCTION public.projects_sought(uuid, text);
"""


class Migration(migrations.Migration):
    dependencies = [("projects", "0014_version"), ("orgs", "0006_search")]

    operations = [
        migrations.AddField(
            "project",
            "external_id",
            models.CharField(
                blank=True,
                db_default="",
                help_text="Your own id of it; no two have the same.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            "project",
            "metadata",
            models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                help_text="Up to 20 texts of your own, by name.",
            ),
        ),
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
    ]

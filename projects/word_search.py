"""Full-text search over spoken words: the vector of a transcript, and the query that finds it.

One index serves all organizations, and its first key is the organization: a lexeme of its own in each
vector, so that a search reads only where the organization and the words meet. (An index of two columns
would need the extension btree_gin, which not every server has.) How the text was stemmed is another,
since a word is looked up as it was written down. Both begin with a blank, as no word does.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.contrib.postgres.search import SearchQueryField, SearchVectorField
from django.db.models import BooleanField, F, Func
from django.db.models.expressions import RawSQL

# Of the languages that PostgreSQL stems, those that we expect.
CONFIGURATIONS: Final = {"en": "english"}
UNSTEMMED: Final = "simple"
# A vector holds one megabyte, in which a word may take three times its length. Four hours of speech
# are shorter.
INDEXED_BYTES: Final = 300_000

_VECTOR: Final = "array_to_tsvector(ARRAY[%s, %s]) || to_tsvector(%s::regconfig, %s)"
# A query without words (or with stop words only) would leave the tags alone, which find everything:
# a lexeme that nobody has stands for it.
_WORDS: Final = (
    "(%s::tsquery && coalesce(nullif(websearch_to_tsquery(%s::regconfig, %s), ''), $$' none'$$))"
)


def vector(org_id: uuid.UUID, language: str, text: str) -> RawSQL:
    """The vector of a text of an organization, as an expression."""
    configuration = CONFIGURATIONS.get(language, UNSTEMMED)
    beginning = text.encode()[:INDEXED_BYTES].decode(errors="ignore")
    tags = (_organization(org_id), _stemming(configuration))
    parameters = (*tags, configuration, beginning)
    return RawSQL(_VECTOR, parameters, SearchVectorField())  # noqa: S611 - values are parameters


def says(org_id: uuid.UUID, text: str) -> Func:
    """Whether a transcript of the organization says what people type, as a condition.

    Words, "phrases", -without, this or that. Nobody says no words.
    """
    configurations = sorted({*CONFIGURATIONS.values(), UNSTEMMED})
    parameters: list[str] = [_quoted(_organization(org_id))]
    for configuration in configurations:
        parameters += [_quoted(_stemming(configuration)), configuration, text]
    words = " || ".join([_WORDS] * len(configurations))
    sql = f"(%s::tsquery && ({words}))"
    query = RawSQL(sql, parameters, SearchQueryField())  # noqa: S611 - values are parameters
    # Not the lookup of Django, which takes for plain text what it did not make itself.
    return Func(
        F("search"),
        query,
        template="%(expressions)s",
        arg_joiner=" @@ ",
        output_field=BooleanField(),
    )


def _organization(org_id: uuid.UUID) -> str:
    return f" org {org_id}"


def _stemming(configuration: str) -> str:
    return f" stemmed {configuration}"


def _quoted(lexeme: str) -> str:
    return f"'{lexeme}'"

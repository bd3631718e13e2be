"""The faults that are planted, and that a planted one is in force."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from django.db import connection

from clipforge.common.errors import NotFound
from clipforge.devtools.mutation import functions, mutants, sql
from clipforge.devtools.mutation.explained import PAGE, ROW, explained
from clipforge.devtools.mutation.mutants import Mutant, drawn, mutants_at, places_in
from clipforge.devtools.mutation.planting import Broken, plant
from clipforge.devtools.mutation.scope import GROUPS, ROOT
from clipforge.devtools.mutation.session import lines_of
from clipforge.devtools.testing.factories import make_organization
from clipforge.orgs import keys
from credits.models import CreditAccount
from projects import selectors


def faults(path: str, operator: str) -> list[tuple[str, str]]:
    places = [place for place in places_in(path) if place.operator == operator]
    return [(mutant.before, mutant.after) for mutant in mutants_at(places)]


def test_an_edge_of_a_query_is_moved():
    assert (
        "return kept(kind).filter(expires_at__lt=Now())",
        "return kept(kind).filter(expires_at__lte=Now())",
    ) in faults("clipforge/jobs/retention.py", "Lookup")


def test_a_condition_of_a_query_is_forgotten():
    before = "named = model._default_manager.filter(pk=pk, status=EXPIRED, **{files.key: key})"
    places = faults("clipforge/jobs/retention.py", "DropArgument")
    found = [after for line, after in places if line == before]
    assert [after.replace(" ", "") for after in found] == [
        "named=model._default_manager.filter(status=EXPIRED,**{files.key:key})",
        "named=model._default_manager.filter(pk=pk,**{files.key:key})",
    ]


def test_an_edge_in_sql_is_moved():
    found = faults("clipforge/jobs/places.py", "TextEdge")
    assert ("WHERE share.waiting > 0", "WHERE share.waiting >= 0") in found


# --- functions of the database -----------------------------------------------------------------

BODY = """
    SELECT a INTO b FROM t WHERE id = _id AND NOT gone ORDER BY one, other LIMIT 1; -- x < 1
    IF b IS NULL THEN
        UPDATE t SET a = COALESCE(a, 0) + 1, kind = 'x < 1' WHERE id = _id;
    END IF;
"""


def mutated_bodies() -> set[str]:
    found = sql.changes(BODY, 0, len(BODY))
    texts = [BODY[: each.begin] + each.new + BODY[each.end :] for each in found]
    assert len(set(texts)) == len(texts)
    assert all("-- x < 1" in text for text in texts)
    assert not [text for text in texts if "kind =" in text and "kind = 'x < 1'" not in text]
    return set(texts)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("WHERE id = _id AND NOT gone", "WHERE id <> _id AND NOT gone"),
        ("WHERE id = _id AND NOT gone", "WHERE TRUE AND NOT gone"),
        ("WHERE id = _id AND NOT gone", "WHERE id = _id AND TRUE"),
        ("WHERE id = _id AND NOT gone", "WHERE id = _id OR NOT gone"),
        ("WHERE id = _id AND NOT gone", "WHERE id = _id AND gone"),
        ("ORDER BY one, other", "ORDER BY other"),
        ("ORDER BY one, other", "ORDER BY one"),
        ("ORDER BY one, other", "ORDER BY one DESC, other"),
        ("ORDER BY one, other", "ORDER BY one, other DESC"),
        ("LIMIT 1", "LIMIT 2"),
        ("IF b IS NULL THEN", "IF b IS NOT NULL THEN"),
        ("IF b IS NULL THEN", "IF FALSE THEN"),
        ("IF b IS NULL THEN", "IF TRUE THEN"),
        ("SET a = COALESCE(a, 0) + 1, kind = 'x < 1'", "SET kind = 'x < 1'"),
        ("SET a = COALESCE(a, 0) + 1, kind = 'x < 1'", "SET a = COALESCE(a, 0) + 1"),
        ("COALESCE(a, 0) + 1", "COALESCE(a, 0) - 1"),
        ("COALESCE(a, 0)", "COALESCE(a)"),
        ("COALESCE(a, 0)", "COALESCE(0)"),
        ("UPDATE t SET a = COALESCE(a, 0) + 1, kind = 'x < 1' WHERE id = _id;", "NULL;"),
    ],
)
def test_a_body_is_mutated_and_neither_its_comments_nor_what_it_quotes(before: str, after: str):
    assert BODY.replace(before, after, 1) in mutated_bodies()


def test_the_mutants_of_a_migration_are_those_of_functions_that_none_later_defines_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def migration(name: str, *defined: tuple[str, str]) -> None:
        text = "\n\n".join(
            f'{each.upper()} = """\nCREATE FUNCTION {each}() RETURNS int LANGUAGE sql AS $$\n'
            f'    SELECT {value}\n$$\n"""'
            for each, value in defined
        )
        (tmp_path / "app/migrations" / name).write_text(text)

    (tmp_path / "app/migrations").mkdir(parents=True)
    migration("0001_first.py", ("one", "1"), ("two", "one() + 5"))
    migration("0002_second.py", ("one", "2"))
    for module in (functions, mutants):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    functions.changes_of.cache_clear()
    first, second = ("app/migrations/0001_first.py", "app/migrations/0002_second.py")
    assert {(each.before, each.after) for each in mutants_at(places_in(first))} == {
        ("SELECT one() + 5", "SELECT one() - 5"),
        ("SELECT one() + 5", "SELECT one() + 4"),
        ("SELECT one() + 5", "SELECT one() + 6"),
    }
    assert {each.after for each in mutants_at(places_in(second))} == {"SELECT 1", "SELECT 3"}
    assert functions.callers_of("one", [first, second]) == {"one", "two"}
    assert functions.callers_of("two", [first, second]) == {"two"}


@pytest.mark.django_db
def test_the_functions_that_are_mutated_are_those_of_the_database():
    """All that move credits and give turns; what refuses changes is tried by the tests of models."""
    paths = [path for group in GROUPS.values() for path in group.sources]
    texts = {
        each.name: each.statement.partition("$$")[2].partition("$$")[0]
        for path in paths
        if functions.is_migration(path)
        for each in functions.functions_of(path)
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND proname ~ '^(jobs|credits)_' AND prorettype <> 'trigger'::regtype"
        )
        assert dict(cursor.fetchall()) == texts


@pytest.mark.django_db(transaction=True)
def test_a_mutant_of_a_function_is_in_force_until_it_is_taken_back():
    path = "credits/migrations/0009_functions.py"
    source = (ROOT / path).read_text()
    org = make_organization(credits_=1)

    def owed() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT credits_owe(%s, 5)", [org.pk])
        return CreditAccount.objects.get().debt

    with functions.replaced(path, source.replace("debt + _amount", "debt + _amount + 2")) as fits:
        assert fits
        assert owed() == 7
    assert owed() == 12
    with functions.replaced(path, source.replace("debt + _amount", "debt + _nothing(")) as fits:
        assert not fits
    assert owed() == 17


def test_no_two_mutants_are_the_same_and_none_is_the_source():
    path = "exports/downloads.py"
    found = mutants_at(places_in(path))
    texts = {mutants._meaning(path, mutant.text) for mutant in found}
    assert len(texts) == len(found) > 10
    assert mutants._meaning(path, (ROOT / path).read_text()) not in texts


def test_a_larger_share_begins_with_the_smaller_one():
    places = places_in("credits/expiry.py")
    tenth, third, every = (drawn(places, share=share, seed=1) for share in (0.1, 0.3, 1.0))
    assert third[: len(tenth)] == tenth
    assert every[: len(third)] == third
    assert 0 < len(tenth) < len(third) < len(every) == len(places)
    assert drawn(places, share=0.3, seed=2) != third


def test_what_is_evaluated_on_import_is_executed_where_its_name_is_used():
    source = "LIFE = 3\n\n\ndef end(now):\n    return now + LIFE\n"
    assert lines_of(source, 1) == {1, 5}
    assert lines_of(source, 5) == {5}


def in_a_fork(text: str) -> int:
    """The exit status of a fork with the mutant of `keys`: 0 for a key of the usual kind, 1 for another."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            plant(Mutant("clipforge/orgs/keys.py", "test", 1, "", "", text))
            status = int(keys.public_id_of(keys.generate()[1]) is None)
        except Broken:
            status = 3
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ("return public_id if well_formed", "return public_id if well_formed", 0),
        ("return public_id if well_formed", "return public_id if not well_formed", 1),
        ("CHECKSUM_LENGTH = 6", "CHECKSUM_LENGTH = 7", 0),  # the same wherever it is used
        ("CHECKSUM_LENGTH = 6", "CHECKSUM_LENGTH = 6 / 0", 3),
    ],
)
def test_a_planted_mutant_is_in_force(before: str, after: str, status: int):
    source = (ROOT / "clipforge/orgs/keys.py").read_text()
    assert before in source
    assert in_a_fork(source.replace(before, after)) == status
    assert keys.public_id_of(keys.generate()[1]) is not None


@pytest.mark.django_db
def test_a_planted_mutant_is_in_force_in_queries_whose_sql_was_written_before():
    path = "projects/selectors.py"
    org = make_organization()
    with pytest.raises(NotFound):
        selectors.get_project(org=org, project_id=uuid.uuid4())
    changed = (ROOT / path).read_text().replace(".filter(pk=pk)", ".filter()")
    pid = os.fork()
    if pid == 0:
        status = 0
        try:
            plant(Mutant(path, "test", 1, "", "", changed))
            selectors.get_project(org=org, project_id=uuid.uuid4())
        except ValueError as error:  # before it asks the database
            status = int("an id is not in the conditions" in str(error))
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def keys_of(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    (tmp_path / "rules.py").write_text(source)
    for module in (functions, mutants):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return {mutant.key for mutant in mutants_at(places_in("rules.py"))}


def test_a_mutant_counts_as_tried_until_its_function_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one, other = "def one(a):\n    return a < 1\n", "def other(a):\n    return a < 1\n"
    before = keys_of(f"{one}\n\n{other}", tmp_path, monkeypatch)
    assert len(before) == 8
    assert keys_of(f"import os\n\n\n{other}\n\n{one}", tmp_path, monkeypatch) == before
    after = keys_of(f"{one}\n\n{other.replace('< 1', '< 7')}", tmp_path, monkeypatch)
    assert len(before & after) == 4


def test_every_file_of_the_scope_exists():
    paths = [path for group in GROUPS.values() for path in (*group.sources, *group.tests)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_rows_of_the_page_are_read():
    assert ROW.findall(r"| `a.py` | `x < 1` → `x <= 1` | the same |") == [
        ("a.py", "x < 1", "x <= 1", "the same")
    ]


def test_every_survivor_on_the_page_is_explained():
    rows = ROW.findall(PAGE.read_text().replace("\\|", "|"))
    assert {row[:3] for row in rows} == explained() != set()


def test_the_lines_of_the_page_are_still_in_their_files():
    def flat(path: str) -> str:
        return " ".join((ROOT / path).read_text().split())

    assert [row for row in sorted(explained()) if row[1] not in flat(row[0])] == []

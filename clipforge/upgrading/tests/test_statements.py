"""Each kind of statement locks what is said of it: PostgreSQL is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection

from clipforge.upgrading.statements import Lasts, Waits, effects, split

TABLES = """
CREATE TABLE used (id bigint PRIMARY KEY, name varchar(10), other bigint);
CREATE TABLE parent (id bigint PRIMARY KEY);
CREATE INDEX used_name ON used (name);
ALTER TABLE used ADD CONSTRAINT used_kept CHECK (id > 0) NOT VALID;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER used_first BEFORE UPDATE ON used FOR EACH ROW EXECUTE FUNCTION nothing();
"""
MODES = {
    "SHARE UPDATE EXCLUSIVE": "ShareUpdateExclusiveLock",
    "SHARE": "ShareLock",
    "SHARE ROW EXCLUSIVE": "ShareRowExclusiveLock",
    "ACCESS EXCLUSIVE": "AccessExclusiveLock",
    "rows": "RowExclusiveLock",
}
# The strongest last.
STRENGTH = ["AccessShareLock", "RowShareLock", *[MODES[name] for name in ("rows",)]]
STRENGTH += [
    MODES[name]
    for name in ("SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE")
]

Asked = Callable[[str, str], str]
A_MOMENT, READING, REWRITING = Lasts.A_MOMENT, Lasts.READING, Lasts.REWRITING


@pytest.mark.parametrize(
    ("statement", "lasts", "breaks"),
    [
        ("CREATE INDEX i ON used (other)", READING, False),
        ('CREATE UNIQUE INDEX "i" ON "used" ("other") WHERE other > 1', READING, False),
        ("ALTER TABLE used ADD COLUMN c text NULL", A_MOMENT, False),
        ('ALTER TABLE "used" ADD COLUMN "c" text DEFAULT \'NOT NULL\' NOT NULL', A_MOMENT, False),
        ("ALTER TABLE used ADD COLUMN c text NOT NULL", READING, True),
        ("ALTER TABLE used ADD COLUMN c int DEFAULT 0 CHECK (c >= 0)", READING, False),
        ("ALTER TABLE used ADD COLUMN c uuid DEFAULT gen_random_uuid()", REWRITING, False),
        ("ALTER TABLE used DROP COLUMN other", A_MOMENT, True),
        ("ALTER TABLE used RENAME COLUMN other TO another", A_MOMENT, True),
        ("ALTER TABLE used ALTER COLUMN other SET NOT NULL", READING, True),
        ("ALTER TABLE used ALTER COLUMN other DROP NOT NULL", A_MOMENT, False),
        ("ALTER TABLE used ALTER COLUMN name TYPE varchar(20)", A_MOMENT, False),
        ("ALTER TABLE used ALTER COLUMN other TYPE numeric", REWRITING, True),
        ("ALTER TABLE used ADD CONSTRAINT c CHECK (id > 0)", READING, False),
        ("ALTER TABLE used ADD CONSTRAINT c CHECK (id > 0) NOT VALID", A_MOMENT, False),
        ("ALTER TABLE used VALIDATE CONSTRAINT used_kept", READING, False),
        ("CREATE TRIGGER t AFTER INSERT ON used EXECUTE FUNCTION nothing()", A_MOMENT, False),
        ("DROP TRIGGER used_first ON used", A_MOMENT, False),
        ("DROP TABLE used", A_MOMENT, True),
        ("update used set other = 1", READING, False),
    ],
)
def test_the_lock_is_the_one_that_postgresql_takes(
    strongest_lock: Asked, statement: str, lasts: Lasts, breaks: bool
):
    (effect,) = effects([statement], set())
    assert (effect.table, effect.lasts, bool(effect.breaks)) == ("used", lasts, breaks)
    assert strongest_lock(statement, "used") == MODES[effect.lock]


def test_a_foreign_key_locks_the_table_that_it_leads_to_as_well(strongest_lock: Asked):
    statement = (
        "ALTER TABLE used ADD CONSTRAINT f FOREIGN KEY (other) REFERENCES parent (id)"
        " DEFERRABLE INITIALLY DEFERRED"
    )
    own, far = effects([statement], set())
    assert (own.table, own.waits, own.lasts) == ("used", Waits.WRITERS, READING)
    assert (far.table, far.waits, far.lasts) == ("parent", Waits.WRITERS, A_MOMENT)
    assert strongest_lock(statement, "used") == MODES[own.lock]
    assert strongest_lock(statement, "parent") == MODES[far.lock]


@pytest.fixture(scope="module")
def strongest_lock(django_db_setup: None) -> Iterator[Asked]:
    """The lock that a statement takes on a table. It is taken back."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as sql:
        sql.execute("CREATE SCHEMA trial; SET search_path = trial")
        sql.execute(TABLES)

        def ask(statement: str, table: str) -> str:
            with sql.transaction(force_rollback=True):
                (oid,) = sql.execute("SELECT %s::regclass::oid", [table]).fetchone() or (0,)
                sql.execute(statement)
                held = sql.execute(
                    "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = %s",
                    [oid],
                ).fetchall()
            return str(max((mode for (mode,) in held), key=STRENGTH.index))

        try:
            yield ask
        finally:
            sql.execute("DROP SCHEMA trial CASCADE")


def test_words_in_bodies_texts_and_comments_are_no_statements():
    script = """
    CREATE FUNCTION f() RETURNS trigger AS $body$
    BEGIN DROP TABLE used; RETURN NEW; END $body$ LANGUAGE plpgsql;
    -- DROP TABLE used;
    COMMENT ON TABLE used IS 'a; DROP TABLE used; b';
    """
    assert len(list(split([script]))) == 2
    assert list(effects([script], set())) == []


def test_a_table_that_is_made_before_is_nobodys():
    made = {"older"}
    script = 'CREATE TABLE "fresh" (id int); ALTER TABLE "fresh" ADD CONSTRAINT c CHECK (id > 0)'
    assert list(effects([script, "DROP TABLE older"], made)) == []
    assert made == {"fresh", "older"}


def test_what_no_rule_knows_is_the_worst():
    (effect,) = effects(["CLUSTER used"], set())
    assert (effect.waits, effect.lasts, effect.lock) == (Waits.EVERYBODY, Lasts.UNKNOWN, "unknown")

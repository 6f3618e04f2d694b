"""The Hive grammar: what it reads, and where it refuses."""

# ruff: noqa: E501 - tables of statements and what they become

from __future__ import annotations

import pytest

from embedded.sql.errors import TrinoError
from embedded.statements import model
from embedded.statements.hive_grammar import parse_statement
from embedded.statements.hive_tokens import string_value
from embedded.statements.kind import kind_of
from embedded.statements.model import HiveColumn, PartitionCondition, TableName


def test_create_external_table() -> None:
    statement = parse_statement(
        """CREATE EXTERNAL TABLE IF NOT EXISTS Db.`My-Table` (
             id INT COMMENT 'it''s an id', -- a comment
             tags ARRAY < STRUCT <k : STRING COMMENT 'x', v: MAP<string, DECIMAL(10 , 2)>> >,
             `from` varchar(10)
           ) COMMENT "a \\"table\\""
           PARTITIONED BY (dt string, hr int COMMENT 'hour')
           CLUSTERED BY (id) SORTED BY (id ASC) INTO 4 BUCKETS
           ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' COLLECTION ITEMS TERMINATED BY '\\002'
             MAP KEYS TERMINATED BY ':' LINES TERMINATED BY '\\n' NULL DEFINED AS '\\\\N'
           STORED AS TEXTFILE LOCATION 's3://b/p/' TBLPROPERTIES ('a'='b', 'n'='1');"""
    )
    assert statement == model.CreateTable(
        table=TableName("my-table", "db"),
        columns=(
            HiveColumn("id", "int", "it's an id"),
            HiveColumn("tags", "array<struct<k:string,v:map<string,decimal(10,2)>>>"),
            HiveColumn("from", "varchar(10)"),
        ),
        if_not_exists=True,
        comment='a "table"',
        partition_keys=(HiveColumn("dt", "string"), HiveColumn("hr", "int", "hour")),
        bucket_columns=("id",),
        bucket_count=4,
        serde="delimited",
        serde_properties={
            "field.delim": "\t",
            "serialization.format": "\t",
            "escape.delim": "\\",
            "collection.delim": "\x02",
            "colelction.delim": "\x02",
            "mapkey.delim": ":",
            "line.delim": "\n",
            "serialization.null.format": "\\N",
        },
        stored_as="TEXTFILE",
        location="s3://b/p/",
        properties={"a": "b", "n": "1"},
    )


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE SCHEMA IF NOT EXISTS a COMMENT 'c' LOCATION 's3://b/' WITH DBPROPERTIES ('k'='v')", model.CreateDatabase("a", True, "c", "s3://b/", {"k": "v"})),
        ("drop database a cascade", model.DropDatabase("a", False, True)),
        ("DROP SCHEMA IF EXISTS `a` RESTRICT", model.DropDatabase("a", True)),
        ("ALTER DATABASE a SET DBPROPERTIES ('k'='v')", model.AlterDatabase("a", {"k": "v"})),
        ("DROP TABLE IF EXISTS awsdatacatalog.a.t", model.DropTable(TableName("t", "a"), True)),
        ("DROP VIEW v", model.DropTable(TableName("v"), is_view=True)),
        ("ALTER TABLE t ADD IF NOT EXISTS PARTITION (a='1', b=2) LOCATION 's3://x/' PARTITION (a='3',b=4)",
         model.AddPartitions(TableName("t"), True, (((("a", "1"), ("b", "2")), "s3://x/"), ((("a", "3"), ("b", "4")), "")))),
        ("ALTER TABLE t DROP IF EXISTS PARTITION (a >= '1'), PARTITION (a='x')",
         model.DropPartitions(TableName("t"), True, ((PartitionCondition("a", ">=", "1"),), (PartitionCondition("a", "=", "x"),)))),
        ("ALTER TABLE t PARTITION (a='1') RENAME TO PARTITION (a='2')", model.RenamePartition(TableName("t"), (("a", "1"),), (("a", "2"),))),
        ("ALTER TABLE t PARTITION (a='1') SET LOCATION 's3://x/'", model.SetLocation(TableName("t"), "s3://x/", (("a", "1"),))),
        ("ALTER TABLE t SET LOCATION 's3://x/'", model.SetLocation(TableName("t"), "s3://x/")),
        ("ALTER TABLE t SET TBLPROPERTIES ('a'='b')", model.SetTableProperties(TableName("t"), {"a": "b"})),
        ("ALTER TABLE t ADD COLUMNS (a int, b string)", model.AddColumns(TableName("t"), (HiveColumn("a", "int"), HiveColumn("b", "string")))),
        ("ALTER TABLE t REPLACE COLUMNS (a int)", model.ReplaceColumns(TableName("t"), (HiveColumn("a", "int"),))),
        ("ALTER TABLE t CHANGE COLUMN a b bigint COMMENT 'c'", model.ChangeColumn(TableName("t"), "a", HiveColumn("b", "bigint", "c"))),
        ("MSCK REPAIR TABLE db.t", model.RepairTable(TableName("t", "db"))),
        ("SHOW DATABASES LIKE 'a*'", model.ShowDatabases("a*")),
        ("SHOW TABLES IN db 'x|y'", model.ShowTables("db", "x|y")),
        ("SHOW VIEWS", model.ShowTables(None, None, True)),
        ("SHOW COLUMNS FROM t IN db", model.ShowColumns(TableName("t", "db"))),
        ("SHOW TBLPROPERTIES t ('a')", model.ShowTableProperties(TableName("t"), "a")),
        ("SHOW CREATE VIEW v", model.ShowCreateView(TableName("v"))),
        ("DESC FORMATTED db.t", model.DescribeTable(TableName("t", "db"), formatted=True)),
        ("DESCRIBE t PARTITION (a='1') col", model.DescribeTable(TableName("t"), partition=(("a", "1"),), column="col")),
    ],
)  # fmt: skip
def test_statements(sql: str, expected: model.Statement) -> None:
    assert parse_statement(sql) == expected


@pytest.mark.parametrize(
    ("sql", "position", "text"),
    [
        ("CREATE EXTERNAL TABEL t (a int)", (1, 17), "mismatched input 'TABEL'"),
        ("CREATE EXTERNAL TABLE t (a intt)", (1, 28), "no viable alternative at input 'intt'"),
        ("CREATE EXTERNAL TABLE t (a int", (1, 31), "mismatched input '<EOF>'"),
        ("ALTER TABLE t\nADD PARTITION a='1'", (2, 15), "mismatched input 'a'"),
        ("DROP TABLE a b", (1, 14), "mismatched input 'b'"),
        ("SHOW TABLES IN 'x", (1, 16), "no viable alternative"),
        ("DROP TABLE", (1, 11), "mismatched input '<EOF>'"),
        ("CREATE EXTERNAL TABLE t (a array<int) LOCATION 's3://b/'", (1, 37), "mismatched input ')'"),
    ],
)
def test_refusals(sql: str, position: tuple[int, int], text: str) -> None:
    with pytest.raises(TrinoError) as error:
        parse_statement(sql)
    assert (error.value.line, error.value.column) == position
    assert text in error.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [("'a'", "a"), ("'it''s'", "it's"), (r"'\001'", "\x01"), (r"'\u0041'", "A"), (r"'\t\\N'", "\t\\N"), ('"a\\"b"', 'a"b')],
)  # fmt: skip
def test_strings(text: str, value: str) -> None:
    assert string_value(text) == value


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("-- c\n/* d */ select 1", "SELECT"),
        ("(SELECT 1)", "SELECT"),
        ("with a as (select 1) select * from a", "SELECT"),
        ("create table x as select 1", "CREATE_TABLE"),
        ("explain analyze select 1", "EXPLAIN_ANALYZE"),
        ("UNLOAD (SELECT 1) TO 's3://x/'", "UNLOAD"),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    found = kind_of(sql)
    assert found is not None
    assert found.substatement_type == kind


@pytest.mark.parametrize("sql", ["PRAGMA x", "COPY a TO 'b'", "SET threads=1", "", "--", "selectx", "CALL x()"])
def test_what_is_no_statement(sql: str) -> None:
    assert kind_of(sql) is None

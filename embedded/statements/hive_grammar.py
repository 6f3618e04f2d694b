"""Athena's DDL and utility statements, read by recursive descent into values of `model`.

The grammar is that of the Athena user guide ("DDL statements"), which is Hive's with some statements left out. Names
are lower-cased, as Hive does; nothing read here is ever pasted into SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from embedded.sql.errors import TrinoError
from embedded.sql.types import parse_hive_type
from embedded.statements import model
from embedded.statements.hive_tokens import END, NAME, NUMBER, SIGN, STRING, WORD, HiveToken, position_of, tokens

Item = TypeVar("Item")


def parse_statement(sql: str) -> model.Statement:
    """Reads one DDL or utility statement. Raises TrinoError SYNTAX_ERROR with line and column."""
    return HiveParser(sql).statement()


class HiveParser:
    """Reads one statement."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self._tokens = tokens(sql)
        self._at = 0

    # -------------------------------------------------------------------------------------------------- reading

    @property
    def token(self) -> HiveToken:
        return self._tokens[self._at]

    def fail(self, *expected: str) -> TrinoError:
        line, column = position_of(self.sql, self.token.start)
        wanted = ", ".join(f"'{word}'" if word.isupper() or not word.isalpha() else word for word in expected)
        return TrinoError(
            "SYNTAX_ERROR", f"mismatched input '{self.token.text}'. Expecting: {wanted}", line=line, column=column
        )

    def peek(self, *words: str) -> bool:
        """Whether the next tokens are these words or signs."""
        for offset, word in enumerate(words):
            index = self._at + offset
            if index >= len(self._tokens):
                return False
            token = self._tokens[index]
            if token.kind not in (WORD, SIGN) or token.text.upper() != word:
                return False
        return True

    def take(self, *words: str) -> bool:
        if self.peek(*words):
            self._at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.take(word):
                raise self.fail(word)

    def next(self) -> HiveToken:
        token = self.token
        self._at += 1
        return token

    def string(self) -> str:
        if self.token.kind != STRING:
            raise self.fail("string")
        return self.next().value

    def name(self) -> str:
        if self.token.kind not in (WORD, NAME):
            # Trino's grammar quotes names in double quotes; some statements are read by either.
            if self.token.kind == STRING and self.token.text.startswith('"'):
                return self.next().value.lower()
            raise self.fail("identifier")
        return self.next().value.lower()

    def number(self) -> int:
        if self.token.kind != NUMBER or not self.token.text.isdigit():
            raise self.fail("number")
        return int(self.next().text)

    def table_name(self) -> model.TableName:
        parts = [self.name()]
        while self.take("."):
            parts.append(self.name())
        if len(parts) == 1:
            return model.TableName(parts[0])
        if len(parts) == 3 and parts[0] != "awsdatacatalog":
            raise TrinoError("CATALOG_NOT_FOUND", f"Catalog {parts[0]} does not exist")
        if len(parts) > 3:
            raise self.fail("<EOF>")
        return model.TableName(parts[-1], parts[-2])

    def listed(self, item: Callable[[], Item]) -> tuple[Item, ...]:
        """( item, item ... )"""
        self.expect("(")
        found = [item()]
        while self.take(","):
            found.append(item())
        self.expect(")")
        return tuple(found)

    def properties(self) -> Mapping[str, str]:
        def pair() -> tuple[str, str]:
            name = self.string()
            self.expect("=")
            return name, self._property_value()

        return dict(self.listed(pair))

    def _property_value(self) -> str:
        token = self.token
        if token.kind == STRING:
            return self.string()
        if token.kind in (NUMBER, WORD):
            return self.next().text
        raise self.fail("string")

    # ----------------------------------------------------------------------------------------------- statements

    def statement(self) -> model.Statement:
        found = self._statement()
        self.take(";")
        if self.token.kind != END:
            raise self.fail("<EOF>")
        return found

    def _statement(self) -> model.Statement:
        beginnings: tuple[tuple[tuple[str, ...], Callable[[], model.Statement]], ...] = (
            (("CREATE", "DATABASE"), self._create_database),
            (("CREATE", "SCHEMA"), self._create_database),
            (("DROP", "DATABASE"), self._drop_database),
            (("DROP", "SCHEMA"), self._drop_database),
            (("ALTER", "DATABASE"), self._alter_database),
            (("ALTER", "SCHEMA"), self._alter_database),
            (("CREATE", "EXTERNAL", "TABLE"), self._create_external_table),
            (("CREATE", "TABLE"), self._create_table),
            (("DROP", "TABLE"), self._drop_table),
            (("DROP", "VIEW"), self._drop_view),
            (("ALTER", "TABLE"), self._alter_table),
            (("MSCK", "REPAIR", "TABLE"), self._repair),
            (("SHOW",), self._show),
            (("DESCRIBE",), self._describe),
            (("DESC",), self._describe),
        )
        for words, read in beginnings:
            if self.take(*words):
                return read()
        raise self._unknown_beginning([words for words, _ in beginnings])

    def _unknown_beginning(self, beginnings: Sequence[tuple[str, ...]]) -> TrinoError:
        """Says where the text leaves the way of all statements, and what could have stood there."""
        deepest = max(self._matched(words) for words in beginnings)
        expected = sorted({words[deepest] for words in beginnings if self._matched(words) == deepest})
        self._at += deepest
        return self.fail(*expected)

    def _matched(self, words: tuple[str, ...]) -> int:
        return max(count for count in range(len(words) + 1) if self.peek(*words[:count]))

    def _if_not_exists(self) -> bool:
        return self.take("IF", "NOT", "EXISTS")

    def _create_database(self) -> model.CreateDatabase:
        if_not_exists = self._if_not_exists()
        name = self.name()
        comment = location = ""
        properties: Mapping[str, str] = {}
        while self.token.kind == WORD:
            if self.take("COMMENT"):
                comment = self.string()
            elif self.take("LOCATION"):
                location = self.string()
            elif self.take("WITH", "DBPROPERTIES"):
                properties = self.properties()
            else:
                raise self.fail("COMMENT", "LOCATION", "WITH")
        return model.CreateDatabase(name, if_not_exists, comment, location, properties)

    def _drop_database(self) -> model.DropDatabase:
        if_exists = self.take("IF", "EXISTS")
        name = self.name()
        cascade = self.take("CASCADE")
        if not cascade:
            self.take("RESTRICT")
        return model.DropDatabase(name, if_exists, cascade)

    def _alter_database(self) -> model.AlterDatabase:
        name = self.name()
        self.expect("SET", "DBPROPERTIES")
        return model.AlterDatabase(name, self.properties())

    # --------------------------------------------------------------------------------------------- create table

    def _create_external_table(self) -> model.CreateTable:
        return self._table_definition(external=True)

    def _create_table(self) -> model.CreateTable:
        return self._table_definition(external=False)

    def _table_definition(self, *, external: bool) -> model.CreateTable:
        if_not_exists = self._if_not_exists()
        table = self.table_name()
        columns = self.listed(self._column) if self.peek("(") else ()
        clauses = _TableClauses()
        while self.token.kind == WORD:
            self._table_clause(clauses)
        return model.CreateTable(
            table=table,
            columns=columns,
            external=external,
            if_not_exists=if_not_exists,
            comment=clauses.comment,
            partition_keys=clauses.partition_keys,
            bucket_columns=clauses.bucket_columns,
            bucket_count=clauses.bucket_count,
            serde=clauses.serde,
            serde_properties=clauses.serde_properties,
            stored_as=clauses.stored_as,
            input_format=clauses.input_format,
            output_format=clauses.output_format,
            location=clauses.location,
            properties=clauses.properties,
            has_partition_transforms=clauses.has_partition_transforms,
        )

    def _table_clause(self, clauses: _TableClauses) -> None:
        if self.take("COMMENT"):
            clauses.comment = self.string()
        elif self.take("PARTITIONED", "BY"):
            self._partition_keys(clauses)
        elif self.take("CLUSTERED", "BY"):
            clauses.bucket_columns = self.listed(self.name)
            if self.take("SORTED", "BY"):
                self.listed(self._sorted_name)
            self.expect("INTO")
            clauses.bucket_count = self.number()
            self.expect("BUCKETS")
        elif self.take("ROW", "FORMAT"):
            self._row_format(clauses)
        elif self.take("WITH", "SERDEPROPERTIES"):
            clauses.serde_properties = {**clauses.serde_properties, **self.properties()}
        elif self.take("STORED", "AS"):
            self._stored_as(clauses)
        elif self.take("LOCATION"):
            clauses.location = self.string()
        elif self.take("TBLPROPERTIES"):
            clauses.properties = self.properties()
        else:
            raise self.fail("COMMENT", "LOCATION", "PARTITIONED", "ROW", "STORED", "TBLPROPERTIES", "WITH")

    def _sorted_name(self) -> str:
        name = self.name()
        if not self.take("ASC"):
            self.take("DESC")
        return name

    def _partition_keys(self, clauses: _TableClauses) -> None:
        self.expect("(")
        keys = []
        while True:
            name = self.name()
            if self.peek("(") or self.peek(",") or self.peek(")"):
                # Iceberg: a column, or a transform of one
                clauses.has_partition_transforms = True
                if self.take("("):
                    while not self.take(")"):
                        if self.token.kind == END:
                            raise self.fail(")")
                        self.next()
            else:
                keys.append(self._column_named(name))
            if not self.take(","):
                break
        self.expect(")")
        clauses.partition_keys = tuple(keys)

    def _row_format(self, clauses: _TableClauses) -> None:
        if self.take("SERDE"):
            clauses.serde = self.string()
            return
        self.expect("DELIMITED")
        clauses.serde = clauses.serde or "delimited"
        properties = dict(clauses.serde_properties)
        while True:
            if self.take("FIELDS", "TERMINATED", "BY"):
                properties["field.delim"] = properties["serialization.format"] = self.string()
            elif self.take("ESCAPED", "BY"):
                properties["escape.delim"] = self.string()
            elif self.take("COLLECTION", "ITEMS", "TERMINATED", "BY"):
                # Hive itself spells this property wrongly, and so does every catalogue
                properties["collection.delim"] = properties["colelction.delim"] = self.string()
            elif self.take("MAP", "KEYS", "TERMINATED", "BY"):
                properties["mapkey.delim"] = self.string()
            elif self.take("LINES", "TERMINATED", "BY"):
                properties["line.delim"] = self.string()
            elif self.take("NULL", "DEFINED", "AS"):
                properties["serialization.null.format"] = self.string()
            else:
                break
        clauses.serde_properties = properties

    def _stored_as(self, clauses: _TableClauses) -> None:
        if self.take("INPUTFORMAT"):
            clauses.input_format = self.string()
            self.expect("OUTPUTFORMAT")
            clauses.output_format = self.string()
            return
        clauses.stored_as = self.name().upper()

    def _column(self) -> model.HiveColumn:
        return self._column_named(self.name())

    def _column_named(self, name: str) -> model.HiveColumn:
        type_text = self._type()
        comment = self.string() if self.take("COMMENT") else ""
        return model.HiveColumn(name, type_text, comment)

    def _type(self) -> str:
        """A Hive type, rewritten without blanks, in lower case, comments on struct fields left out."""
        start = self.token
        if self.token.kind not in (WORD, NAME):
            raise self.fail("type")
        base = self.next().value.lower()
        if base in ("array", "map", "struct", "uniontype"):
            text = self._nested_type(base)
        else:
            base = {"integer": "int"}.get(base, base)
            if base == "double":
                self.take("PRECISION")
            text = base
            if self.take("("):
                numbers = [str(self.number())]
                while self.take(","):
                    numbers.append(str(self.number()))
                self.expect(")")
                text += f"({','.join(numbers)})"
        try:
            parse_hive_type(text)
        except TrinoError:
            line, column = position_of(self.sql, start.start)
            raise TrinoError(
                "SYNTAX_ERROR", f"no viable alternative at input '{start.text}'", line=line, column=column
            ) from None
        return text

    def _nested_type(self, base: str) -> str:
        self.expect("<")
        parts = []
        while True:
            if base == "struct":
                name = self.name()
                self.expect(":")
                parts.append(f"{name}:{self._type()}")
                if self.take("COMMENT"):
                    self.string()
            else:
                parts.append(self._type())
            if not self.take(","):
                break
        self.expect(">")
        return f"{base}<{','.join(parts)}>"

    # ---------------------------------------------------------------------------------------------- drop, alter

    def _drop_table(self) -> model.DropTable:
        if_exists = self.take("IF", "EXISTS")
        table = self.table_name()
        self.take("PURGE")
        return model.DropTable(table, if_exists)

    def _drop_view(self) -> model.DropTable:
        return model.DropTable(if_exists=self.take("IF", "EXISTS"), table=self.table_name(), is_view=True)

    def _alter_table(self) -> model.Statement:
        table = self.table_name()
        if self.peek("PARTITION"):
            return self._alter_partition(table)
        if self.take("ADD"):
            if self.take("COLUMNS"):
                return model.AddColumns(table, self.listed(self._column))
            return self._add_partitions(table)
        if self.take("DROP"):
            if self.take("COLUMN"):
                return model.DropColumn(table, self.name())
            if_exists = self.take("IF", "EXISTS")
            partitions = [self._partition_conditions()]
            while self.take(","):
                partitions.append(self._partition_conditions())
            self.take("PURGE")
            return model.DropPartitions(table, if_exists, tuple(partitions))
        if self.take("SET"):
            if self.take("LOCATION"):
                return model.SetLocation(table, self.string())
            self.expect("TBLPROPERTIES")
            return model.SetTableProperties(table, self.properties())
        if self.take("UNSET"):
            self.expect("TBLPROPERTIES")
            return model.UnsetTableProperties(table, self.listed(self.string))
        if self.take("REPLACE"):
            self.expect("COLUMNS")
            return model.ReplaceColumns(table, self.listed(self._column))
        if self.take("CHANGE"):
            self.take("COLUMN")
            return model.ChangeColumn(table, self.name(), self._column())
        if self.take("RENAME"):
            self.expect("TO")
            return model.RenameTable(table, self.table_name())
        raise self.fail("ADD", "CHANGE", "DROP", "PARTITION", "RENAME", "REPLACE", "SET", "UNSET")

    def _alter_partition(self, table: model.TableName) -> model.Statement:
        old = self._partition_values()
        if self.take("RENAME"):
            self.expect("TO")
            return model.RenamePartition(table, old, self._partition_values())
        self.expect("SET", "LOCATION")
        return model.SetLocation(table, self.string(), old)

    def _add_partitions(self, table: model.TableName) -> model.AddPartitions:
        if_not_exists = self._if_not_exists()
        partitions = []
        while True:
            values = self._partition_values()
            partitions.append((values, self.string() if self.take("LOCATION") else ""))
            self.take(",")
            if not self.peek("PARTITION"):
                return model.AddPartitions(table, if_not_exists, tuple(partitions))

    def _partition_values(self) -> model.PartitionValues:
        self.expect("PARTITION")

        def pair() -> tuple[str, str]:
            key = self.name()
            self.expect("=")
            return key, self._partition_value()

        return self.listed(pair)

    def _partition_value(self) -> str:
        if self.token.kind == STRING:
            return self.string()
        sign = "-" if self.take("-") else ""
        if self.peek("DATE") and self._tokens[self._at + 1].kind == STRING:
            self.next()
            return self.string()
        if self.token.kind not in (NUMBER, WORD):
            raise self.fail("string", "number")
        return sign + self.next().text

    def _partition_conditions(self) -> tuple[model.PartitionCondition, ...]:
        self.expect("PARTITION")

        def condition() -> model.PartitionCondition:
            key = self.name()
            for operator in ("=", "<=", ">=", "<>", "!=", "<", ">"):
                if self.take(operator):
                    return model.PartitionCondition(key, operator, self._partition_value())
            raise self.fail("=")

        return self.listed(condition)

    def _repair(self) -> model.RepairTable:
        return model.RepairTable(self.table_name())

    # --------------------------------------------------------------------------------------------- show, describe

    def _show(self) -> model.Statement:
        if self.take("DATABASES") or self.take("SCHEMAS"):
            return model.ShowDatabases(self._pattern())
        if self.peek("TABLES") or self.peek("VIEWS"):
            views_only = self.next().text.upper() == "VIEWS"
            database = self.name() if self.take("IN") or self.take("FROM") else None
            return model.ShowTables(database, self._pattern(), views_only)
        if self.take("COLUMNS"):
            return model.ShowColumns(self._table_of_columns())
        if self.take("PARTITIONS"):
            return model.ShowPartitions(self.table_name())
        if self.take("TBLPROPERTIES"):
            table = self.table_name()
            name = None
            if self.take("("):
                name = self.string()
                self.expect(")")
            return model.ShowTableProperties(table, name)
        if self.take("CREATE", "TABLE"):
            return model.ShowCreateTable(self.table_name())
        if self.take("CREATE", "VIEW"):
            return model.ShowCreateView(self.table_name())
        raise self.fail("COLUMNS", "CREATE", "DATABASES", "PARTITIONS", "SCHEMAS", "TABLES", "TBLPROPERTIES", "VIEWS")

    def _table_of_columns(self) -> model.TableName:
        if not self.take("IN") and not self.take("FROM"):
            raise self.fail("FROM", "IN")
        table = self.table_name()
        if self.take("IN") or self.take("FROM"):
            return model.TableName(table.name, self.name())
        return table

    def _pattern(self) -> str | None:
        if self.take("LIKE") or self.token.kind == STRING:
            return self.string()
        return None

    def _describe(self) -> model.DescribeTable:
        extended = self.take("EXTENDED")
        formatted = not extended and self.take("FORMATTED")
        table = self.table_name()
        partition = self._partition_values() if self.peek("PARTITION") else ()
        column = self.name() if self.token.kind in (WORD, NAME) else ""
        return model.DescribeTable(table, extended, formatted, partition, column)


class _TableClauses:
    """The clauses behind the columns of CREATE TABLE, as they come."""

    def __init__(self) -> None:
        self.comment = ""
        self.partition_keys: tuple[model.HiveColumn, ...] = ()
        self.bucket_columns: tuple[str, ...] = ()
        self.bucket_count = 0
        self.serde = ""
        self.serde_properties: Mapping[str, str] = {}
        self.stored_as = ""
        self.input_format = ""
        self.output_format = ""
        self.location = ""
        self.properties: Mapping[str, str] = {}
        self.has_partition_transforms = False

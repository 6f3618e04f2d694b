"""Trino's query grammar (SqlBase.g4) by recursive descent: what Athena would not parse is refused here.

Why not sqlglot: its grammar is a union of dialects. It accepts DuckDB's and others' forms (`EXCLUDE`, `::`, FROM-first,
file paths as tables) and drops what Trino's typing needs (kind and precision of literals, JSON clauses, positions).
Here the accepted language is Trino's and nothing else, so nothing foreign can reach DuckDB by accident.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from embedded.sql import tree
from embedded.sql.errors import TrinoError
from embedded.sql.tokens import Source, Token, tokenize

RESERVED = frozenset(
    [
        "ALTER",
        "AND",
        "AS",
        "BETWEEN",
        "BY",
        "CASE",
        "CAST",
        "CONSTRAINT",
        "CREATE",
        "CROSS",
        "CUBE",
        "CURRENT_CATALOG",
        "CURRENT_DATE",
        "CURRENT_PATH",
        "CURRENT_ROLE",
        "CURRENT_SCHEMA",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "CURRENT_USER",
        "DEALLOCATE",
        "DELETE",
        "DESCRIBE",
        "DISTINCT",
        "DROP",
        "ELSE",
        "END",
        "ESCAPE",
        "EXCEPT",
        "EXECUTE",
        "EXISTS",
        "EXTRACT",
        "FALSE",
        "FOR",
        "FROM",
        "FULL",
        "GROUP",
        "GROUPING",
        "HAVING",
        "IN",
        "INNER",
        "INSERT",
        "INTERSECT",
        "INTO",
        "IS",
        "JOIN",
        "JSON_ARRAY",
        "JSON_EXISTS",
        "JSON_OBJECT",
        "JSON_QUERY",
        "JSON_TABLE",
        "JSON_VALUE",
        "LEFT",
        "LIKE",
        "LISTAGG",
        "LOCALTIME",
        "LOCALTIMESTAMP",
        "NATURAL",
        "NORMALIZE",
        "NOT",
        "NULL",
        "ON",
        "OR",
        "ORDER",
        "OUTER",
        "PREPARE",
        "RECURSIVE",
        "RIGHT",
        "ROLLUP",
        "SELECT",
        "SKIP",
        "TABLE",
        "THEN",
        "TRIM",
        "TRUE",
        "UESCAPE",
        "UNION",
        "UNNEST",
        "USING",
        "VALUES",
        "WHEN",
        "WHERE",
        "WITH",
    ]
)
_COMPARISONS = frozenset(["=", "<>", "<", "<=", ">", ">="])
_CURRENT = frozenset(
    [
        "CURRENT_DATE",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "LOCALTIME",
        "LOCALTIMESTAMP",
        "CURRENT_USER",
        "CURRENT_CATALOG",
        "CURRENT_SCHEMA",
        "CURRENT_PATH",
    ]
)
_JOIN_WORDS = frozenset(["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "NATURAL"])
_INTERVAL_UNITS = frozenset(["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "WEEK", "QUARTER"])
_NOT_RELATION_ALIAS = frozenset(["TABLESAMPLE", "MATCH_RECOGNIZE", "ON", "USING", *RESERVED, *_JOIN_WORDS])
#: Nesting that the analyser and DuckDB's own parser bear.
_MAXIMUM_DEPTH = 120


def parse_query(sql: str) -> tree.Query:
    """Parses one query (a closing `;` is fine). Raises TrinoError SYNTAX_ERROR with line and column."""
    parser = Parser(Source(sql))
    query = parser.query()
    parser.take(";")
    if parser.token.kind != "end":
        parser.mismatched("<EOF>")
    return query


def parse_expression(sql: str) -> tree.Expression:
    """Parses one expression, such as an execution parameter."""
    parser = Parser(Source(sql))
    expression = parser.expression()
    if parser.token.kind != "end":
        parser.mismatched("<EOF>")
    return expression


class Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = tokenize(source)
        self.at = 0
        self.token: Token = self.tokens[0]
        self.depth = 0
        self.parameters = 0
        self.in_row_pattern = 0

    # -------------------------------------------------------------------------------------- tokens

    def advance(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.at += 1
            self.token = self.tokens[self.at]
        return token

    def key(self, ahead: int = 1) -> str:
        index = self.at + ahead
        return self.tokens[index].key if index < len(self.tokens) else ""

    def kind(self, ahead: int = 1) -> str:
        index = self.at + ahead
        return self.tokens[index].kind if index < len(self.tokens) else "end"

    def take(self, *keys: str) -> bool:
        """Consumes these keywords or operators if they all follow."""
        if self.token.key != keys[0]:
            return False
        for ahead in range(1, len(keys)):
            if self.key(ahead) != keys[ahead]:
                return False
        for _ in keys:
            self.advance()
        return True

    def need(self, *keys: str) -> None:
        for key in keys:
            if self.token.key != key:
                self.mismatched(key)
            self.advance()

    def mismatched(self, *expected: str) -> NoReturn:
        token = self.token
        options = ", ".join(key if key.startswith("<") and len(key) > 2 else f"'{key}'" for key in expected)
        suffix = f". Expecting: {options}" if options else ""
        raise self.source.error("SYNTAX_ERROR", f"mismatched input '{token.text}'{suffix}", token.position)

    def fail(self, message: str, position: int) -> NoReturn:
        raise self.source.error("SYNTAX_ERROR", message, position)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > _MAXIMUM_DEPTH:
            raise TrinoError("SYNTAX_ERROR", "statement is too large (stack overflow while parsing)", line=1, column=1)

    def identifier(self) -> tree.Identifier:
        token = self.token
        if token.kind == "quoted":
            self.advance()
            name = token.text[1:-1].replace('""', '"')
            if not name:
                self.fail("Zero-length delimited identifier not allowed", token.position)
            return tree.Identifier(token.position, name, True)
        if token.kind == "name" and token.key not in RESERVED:
            self.advance()
            return tree.Identifier(token.position, token.text)
        return self.mismatched("<identifier>")

    def is_identifier(self, ahead: int = 0) -> bool:
        token = self.tokens[min(self.at + ahead, len(self.tokens) - 1)]
        return token.kind == "quoted" or (token.kind == "name" and token.key not in RESERVED)

    def names(self) -> list[str]:
        """`(a, b, c)`"""
        self.need("(")
        found = [self.identifier().name]
        while self.take(","):
            found.append(self.identifier().name)
        self.need(")")
        return found

    def starts_clause(self) -> bool:
        """Whether LIMIT, OFFSET, FETCH or WINDOW, words that may also be names, open their clause here."""
        key, following = self.token.key, self.key()
        if key in ("LIMIT", "OFFSET"):
            return self.kind() == "integer" or following in ("?", "ALL", "-")
        if key == "FETCH":
            return following in ("FIRST", "NEXT")
        return key == "WINDOW" and self.is_identifier(1) and self.key(2) == "AS"

    # -------------------------------------------------------------------------------------- queries

    def query(self) -> tree.Query:
        position = self.token.position
        common_tables: list[tree.CommonTable] = []
        recursive = False
        if self.take("WITH"):
            recursive = self.take("RECURSIVE")
            while True:
                common_tables.append(self.common_table())
                if not self.take(","):
                    break
        return self.query_without_with(position, common_tables, recursive)

    def common_table(self) -> tree.CommonTable:
        position = self.token.position
        name = self.identifier().name
        columns = self.names() if self.token.key == "(" else None
        self.need("AS", "(")
        query = self.query()
        self.need(")")
        return tree.CommonTable(position, name, columns, query)

    def query_without_with(self, position: int, common_tables: list[tree.CommonTable], recursive: bool) -> tree.Query:
        self.deeper()
        body = self.query_term()
        order_by: list[tree.SortItem] = []
        if self.take("ORDER", "BY"):
            order_by = self.sort_items()
        offset: tree.Expression | None = None
        if self.take("OFFSET"):
            offset = self.row_count()
            _ = self.take("ROW") or self.take("ROWS")
        limit: tree.Expression | None = None
        with_ties = False
        if self.take("LIMIT"):
            if not self.take("ALL"):
                limit = self.row_count()
        elif self.token.key == "FETCH" and self.key() in ("FIRST", "NEXT"):
            limit, with_ties = self.fetch_first()
        self.depth -= 1
        return tree.Query(position, common_tables, recursive, body, order_by, offset, limit, with_ties)

    def fetch_first(self) -> tuple[tree.Expression, bool]:
        self.advance()
        first = self.advance()
        count: tree.Expression = tree.IntegerLiteral(first.position, 1)
        if self.token.kind == "integer" or self.token.key == "?":
            count = self.row_count()
        if not (self.take("ROW") or self.take("ROWS")):
            self.mismatched("ROW", "ROWS")
        if self.take("WITH", "TIES"):
            return count, True
        self.need("ONLY")
        return count, False

    def row_count(self) -> tree.Expression:
        token = self.token
        if token.key == "?":
            return self.parameter()
        if token.kind != "integer":
            self.mismatched("<integer>", "?")
        self.advance()
        return tree.IntegerLiteral(token.position, _integer(token.text))

    def parameter(self) -> tree.Parameter:
        token = self.advance()
        self.parameters += 1
        return tree.Parameter(token.position, self.parameters - 1)

    def query_term(self) -> tree.Body:
        left = self.intersect_term()
        while self.token.key in ("UNION", "EXCEPT"):
            operator = self.advance()
            distinct = self.set_quantifier()
            left = tree.SetOperation(operator.position, operator.key, distinct, left, self.intersect_term())
        return left

    def intersect_term(self) -> tree.Body:
        left = self.query_primary()
        while self.token.key == "INTERSECT":
            operator = self.advance()
            distinct = self.set_quantifier()
            left = tree.SetOperation(operator.position, operator.key, distinct, left, self.query_primary())
        return left

    def set_quantifier(self) -> bool:
        if self.take("ALL"):
            return False
        self.take("DISTINCT")
        return True

    def query_primary(self) -> tree.Body:
        token = self.token
        if token.key == "SELECT":
            return self.select()
        if token.key == "VALUES":
            self.advance()
            rows = [self.expression()]
            while self.take(","):
                rows.append(self.expression())
            return tree.Values(token.position, rows)
        if token.key == "TABLE":
            self.advance()
            return tree.TableQuery(token.position, self.table_reference())
        if token.key == "(":
            self.advance()
            query = self.query_without_with(token.position, [], False)
            self.need(")")
            return query
        return self.mismatched(*(["(", "SELECT", "TABLE", "VALUES"] + (["WITH"] if self.at == 0 else [])))

    def select(self) -> tree.Select:
        position = self.advance().position
        distinct = False
        if self.take("DISTINCT"):
            distinct = True
        else:
            self.take("ALL")
        items = [self.select_item()]
        while self.take(","):
            items.append(self.select_item())
        relation: tree.RelationNode | None = None
        if self.take("FROM"):
            relation = self.relation()
            while self.token.key == ",":
                comma = self.advance()
                relation = tree.Join(comma.position, "IMPLICIT", relation, self.relation(), None, None)
        where = self.expression() if self.take("WHERE") else None
        group_by: list[tree.GroupingElement] | None = None
        group_by_distinct = False
        if self.take("GROUP", "BY"):
            if self.take("DISTINCT"):
                group_by_distinct = True
            else:
                self.take("ALL")
            group_by = [self.grouping_element()]
            while self.take(","):
                group_by.append(self.grouping_element())
        having = self.expression() if self.take("HAVING") else None
        windows: list[tuple[str, tree.Window]] = []
        if self.token.key == "WINDOW" and self.starts_clause():
            self.advance()
            while True:
                name = self.identifier()
                self.need("AS", "(")
                windows.append((name.name if name.quoted else name.name.upper(), self.window_specification()))
                self.need(")")
                if not self.take(","):
                    break
        return tree.Select(position, distinct, items, relation, where, group_by, group_by_distinct, having, windows)

    def select_item(self) -> tree.SelectItem:
        position = self.token.position
        if self.take("*"):
            return tree.SelectItem(position, tree.AllFields(position, None), None)
        expression = self.expression(allow_all_fields=True)
        if isinstance(expression, tree.AllFields):
            columns = self.names() if self.take("AS") else None
            return tree.SelectItem(position, expression, None, columns)
        if self.take("AS") or (self.is_identifier() and not self.starts_clause()):
            return tree.SelectItem(position, expression, self.identifier().name)
        return tree.SelectItem(position, expression, None)

    def grouping_element(self) -> tree.GroupingElement:
        position = self.token.position
        if self.token.key in ("ROLLUP", "CUBE") and self.key() == "(":
            kind = self.advance().key
            self.need("(")
            sets: list[list[tree.Expression]] = []
            if not self.take(")"):
                sets.append(self.grouping_set())
                while self.take(","):
                    sets.append(self.grouping_set())
                self.need(")")
            return tree.GroupingElement(position, kind, sets)
        if self.token.key == "GROUPING" and self.key() == "SETS":
            self.advance()
            self.advance()
            self.need("(")
            sets = [self.grouping_set()]
            while self.take(","):
                sets.append(self.grouping_set())
            self.need(")")
            return tree.GroupingElement(position, "SETS", sets)
        return tree.GroupingElement(position, "SIMPLE", [self.grouping_set()])

    def grouping_set(self) -> list[tree.Expression]:
        if self.token.key == "(":
            start, depth = self.at, self.depth
            self.advance()
            if self.take(")"):
                return []
            try:
                found = [self.expression()]
                while self.take(","):
                    found.append(self.expression())
                self.need(")")
                if self.token.key in (",", ")", "HAVING", "WINDOW", "ORDER", "LIMIT", ";", "UNION", "EXCEPT") or (
                    self.token.kind == "end" or self.token.key in ("OFFSET", "FETCH", "INTERSECT")
                ):
                    return found
            except TrinoError:
                pass
            self.at, self.depth = start, depth
            self.token = self.tokens[start]
        return [self.expression()]

    def sort_items(self) -> list[tree.SortItem]:
        found = [self.sort_item()]
        while self.take(","):
            found.append(self.sort_item())
        return found

    def sort_item(self) -> tree.SortItem:
        position = self.token.position
        expression = self.expression()
        descending = False
        if self.take("DESC"):
            descending = True
        else:
            self.take("ASC")
        nulls_first: bool | None = None
        if self.take("NULLS"):
            if self.take("FIRST"):
                nulls_first = True
            else:
                self.need("LAST")
                nulls_first = False
        return tree.SortItem(position, expression, descending, nulls_first)

    # -------------------------------------------------------------------------------------- relations

    def relation(self) -> tree.RelationNode:
        self.deeper()
        left = self.sampled_relation()
        while True:
            token = self.token
            key = token.key
            if key == "CROSS":
                self.advance()
                self.need("JOIN")
                left = tree.Join(token.position, "CROSS", left, self.sampled_relation(), None, None)
            elif key == "NATURAL":
                self.advance()
                kind = self.join_kind()
                self.need("JOIN")
                left = tree.Join(token.position, kind, left, self.sampled_relation(), None, None, natural=True)
            elif key in ("JOIN", "INNER", "LEFT", "RIGHT", "FULL"):
                kind = self.join_kind()
                self.need("JOIN")
                right = self.relation_with_criteria()
                if self.take("ON"):
                    left = tree.Join(token.position, kind, left, right, self.expression(), None)
                elif self.token.key == "USING":
                    self.advance()
                    self.need("(")
                    using = [self.identifier()]
                    while self.take(","):
                        using.append(self.identifier())
                    self.need(")")
                    left = tree.Join(token.position, kind, left, right, None, using)
                else:
                    self.mismatched("ON", "USING")
            else:
                self.depth -= 1
                return left

    def relation_with_criteria(self) -> tree.RelationNode:
        """The right side of a join with criteria; `a JOIN b JOIN c ON .. ON ..` nests to the right."""
        start = self.at
        right = self.sampled_relation()
        if self.token.key in ("ON", "USING"):
            return right
        if self.token.key in _JOIN_WORDS:
            self.at = start
            self.token = self.tokens[start]
            self.deeper()
            left = self.sampled_relation()
            while self.token.key in _JOIN_WORDS:
                token = self.token
                if token.key == "CROSS":
                    self.advance()
                    self.need("JOIN")
                    left = tree.Join(token.position, "CROSS", left, self.sampled_relation(), None, None)
                    continue
                kind = self.join_kind()
                self.need("JOIN")
                inner = self.relation_with_criteria()
                if self.take("ON"):
                    left = tree.Join(token.position, kind, left, inner, self.expression(), None)
                else:
                    self.need("USING")
                    self.at -= 1
                    self.token = self.tokens[self.at]
                    self.advance()
                    self.need("(")
                    using = [self.identifier()]
                    while self.take(","):
                        using.append(self.identifier())
                    self.need(")")
                    left = tree.Join(token.position, kind, left, inner, None, using)
            self.depth -= 1
            return left
        return right

    def join_kind(self) -> str:
        if self.take("LEFT"):
            self.take("OUTER")
            return "LEFT"
        if self.take("RIGHT"):
            self.take("OUTER")
            return "RIGHT"
        if self.take("FULL"):
            self.take("OUTER")
            return "FULL"
        self.take("INNER")
        return "INNER"

    def sampled_relation(self) -> tree.RelationNode:
        relation = self.aliased_relation()
        if self.token.key == "TABLESAMPLE":
            position = self.advance().position
            method = self.identifier().name.upper()
            if method not in ("BERNOULLI", "SYSTEM"):
                self.fail(f"mismatched input '{method}'. Expecting: 'BERNOULLI', 'SYSTEM'", position)
            self.need("(")
            percentage = self.expression()
            self.need(")")
            return tree.Sampled(position, relation, method, percentage)
        return relation

    def aliased_relation(self) -> tree.RelationNode:
        """A relation with its alias; row pattern recognition follows the alias and may have one of its own."""
        relation = self.alias_of(self.primary_relation())
        if self.token.key == "MATCH_RECOGNIZE" and self.key() == "(":
            return self.alias_of(self.match_recognize(relation))
        return relation

    def alias_of(self, relation: tree.RelationNode) -> tree.RelationNode:
        has_as = self.take("AS")
        if has_as or (self.is_identifier() and self.token.key not in _NOT_RELATION_ALIAS and not self.starts_clause()):
            alias = self.identifier()
            columns = self.names() if self.token.key == "(" else None
            return tree.Aliased(alias.position, relation, alias.name, columns)
        return relation

    # -------------------------------------------------------------------------------------- row patterns

    def match_recognize(self, relation: tree.RelationNode) -> tree.MatchRecognize:
        position = self.advance().position
        self.need("(")
        partition_by: list[tree.Expression] = []
        if self.take("PARTITION", "BY"):
            partition_by.append(self.expression())
            while self.take(","):
                partition_by.append(self.expression())
        order_by = self.sort_items() if self.take("ORDER", "BY") else []
        self.in_row_pattern += 1
        measures = self.measure_definitions() if self.take("MEASURES") else []
        rows_per_match = self.rows_per_match()
        skip = self.after_match_skip()
        self.take("INITIAL")
        pattern, subsets, definitions = self.pattern_clauses()
        self.in_row_pattern -= 1
        self.need(")")
        return tree.MatchRecognize(
            position,
            relation,
            partition_by,
            order_by,
            measures,
            rows_per_match,
            skip,
            pattern,
            subsets,
            definitions,
        )

    def measure_definitions(self) -> list[tuple[tree.Expression, str]]:
        measures: list[tuple[tree.Expression, str]] = []
        while True:
            expression = self.expression()
            self.need("AS")
            measures.append((expression, self.identifier().name))
            if not self.take(","):
                return measures

    def pattern_clauses(
        self,
    ) -> tuple[list[object], dict[str, list[str]], list[tuple[str, tree.Expression]]]:
        """PATTERN (...) [SUBSET ...] DEFINE ..."""
        self.take("INITIAL")
        self.need("PATTERN", "(")
        pattern = self.row_pattern()
        self.need(")")
        subsets: dict[str, list[str]] = {}
        if self.take("SUBSET"):
            while True:
                name = self.label()
                self.need("=", "(")
                subsets[name] = [self.label()]
                while self.take(","):
                    subsets[name].append(self.label())
                self.need(")")
                if not self.take(","):
                    break
        self.need("DEFINE")
        definitions: list[tuple[str, tree.Expression]] = []
        while True:
            name = self.label()
            self.need("AS")
            definitions.append((name, self.expression()))
            if not self.take(","):
                break
        return pattern, subsets, definitions

    def rows_per_match(self) -> str:
        if self.take("ONE", "ROW", "PER", "MATCH"):
            return "ONE"
        if not self.take("ALL", "ROWS", "PER", "MATCH"):
            return "ONE"
        if self.take("OMIT", "EMPTY", "MATCHES"):
            return "ALL_OMIT_EMPTY"
        if self.take("WITH", "UNMATCHED", "ROWS"):
            return "ALL_WITH_UNMATCHED"
        self.take("SHOW", "EMPTY", "MATCHES")
        return "ALL_SHOW_EMPTY"

    def after_match_skip(self) -> tuple[str, str]:
        if not self.take("AFTER", "MATCH"):
            return ("PAST_LAST_ROW", "")
        self.need("SKIP")
        if self.take("PAST", "LAST", "ROW"):
            return ("PAST_LAST_ROW", "")
        self.need("TO")
        if self.take("NEXT", "ROW"):
            return ("NEXT_ROW", "")
        if self.take("FIRST"):
            return ("FIRST", self.label())
        self.take("LAST")
        return ("LAST", self.label())

    def label(self) -> str:
        """A pattern variable: upper case unless quoted."""
        identifier = self.identifier()
        return identifier.name if identifier.quoted else identifier.name.upper()

    def row_pattern(self) -> list[object]:
        self.deeper()
        choices: list[object] = [self.row_pattern_sequence()]
        while self.take("|"):
            choices.append(self.row_pattern_sequence())
        self.depth -= 1
        return choices[0] if len(choices) == 1 else ["choice", *choices]  # type: ignore[return-value]  # a pattern

    def row_pattern_sequence(self) -> list[object]:
        parts: list[object] = []
        while self.token.key not in (")", "|", "-}", ",") and self.token.kind != "end":
            parts.append(self.row_pattern_quantified())
        return parts[0] if len(parts) == 1 else ["sequence", *parts]  # type: ignore[return-value]  # a pattern

    def row_pattern_quantified(self) -> list[object]:
        primary = self.row_pattern_primary()
        bounds: tuple[int, int | None]
        if self.take("*"):
            bounds = (0, None)
        elif self.take("+"):
            bounds = (1, None)
        elif self.take("?"):
            bounds = (0, 1)
        elif self.take("{"):
            least = int(self.advance().text) if self.token.kind == "integer" else 0
            most: int | None = least
            if self.take(","):
                most = int(self.advance().text) if self.token.kind == "integer" else None
            self.need("}")
            bounds = (least, most)
        else:
            return primary
        return ["repeat", primary, bounds[0], bounds[1], not self.take("?")]

    def row_pattern_primary(self) -> list[object]:
        if self.take("^"):
            return ["start"]
        if self.take("$"):
            return ["end"]
        if self.take("{-"):
            inner = self.row_pattern()
            self.need("-}")
            return ["exclude", inner]
        if self.take("("):
            if self.take(")"):
                return ["empty"]
            inner = self.row_pattern()
            self.need(")")
            return inner
        if self.token.key == "PERMUTE" and self.key() == "(":
            self.advance()
            self.advance()
            parts: list[object] = [self.row_pattern()]
            while self.take(","):
                parts.append(self.row_pattern())
            self.need(")")
            return ["permute", *parts]
        return ["label", self.label()]

    # -------------------------------------------------------------------------------------- relations, continued

    def primary_relation(self) -> tree.RelationNode:
        token = self.token
        key = token.key
        if key == "UNNEST":
            self.advance()
            self.need("(")
            expressions = [self.expression()]
            while self.take(","):
                expressions.append(self.expression())
            self.need(")")
            return tree.Unnest(token.position, expressions, self.take("WITH", "ORDINALITY"))
        if key == "LATERAL":
            if self.key() == "(":
                self.advance()
                self.advance()
                query = self.query()
                self.need(")")
                return tree.Lateral(token.position, query)
        elif key == "TABLE" and self.key() == "(":
            return self.table_function()
        elif key == "(":
            return self.parenthesized_relation()
        elif key == "JSON_TABLE":
            raise self.source.error(
                "NOT_SUPPORTED", "JSON_TABLE is not supported by the embedded engine", token.position
            )
        return self.table_reference()

    def parenthesized_relation(self) -> tree.RelationNode:
        """`(query)` or `(relation)`; told apart by the first word that is not a parenthesis, then by what closes it."""
        start, depth, parameters = self.at, self.depth, self.parameters
        position = self.token.position
        ahead = 0
        while self.key(ahead) == "(":
            ahead += 1
        if self.key(ahead) in ("SELECT", "VALUES", "WITH", "TABLE"):
            try:
                self.advance()
                query = self.query()
                self.need(")")
                return tree.SubqueryRelation(position, query)
            except TrinoError as error:
                if ahead == 1 or error.name != "SYNTAX_ERROR":
                    raise
                self.at, self.depth, self.parameters = start, depth, parameters
                self.token = self.tokens[start]
        self.need("(")
        relation = self.relation()
        self.need(")")
        return relation

    def table_function(self) -> tree.TableFunction:
        position = self.advance().position
        self.need("(")
        name = self.identifier().name.lower()
        self.need("(")
        arguments: list[tuple[str | None, tree.Expression]] = []
        while not self.take(")"):
            argument_name: str | None = None
            if self.is_identifier() and self.key() == "=>":
                argument_name = self.identifier().name.lower()
                self.advance()
            arguments.append((argument_name, self.expression()))
            if not self.take(",") and self.token.key != ")":
                self.mismatched(",", ")")
        self.need(")")
        return tree.TableFunction(position, name, arguments)

    def table_reference(self) -> tree.TableReference:
        position = self.token.position
        if self.token.kind == "string":
            self.mismatched("(", "LATERAL", "TABLE", "UNNEST", "<identifier>")
        parts = [self.identifier().name]
        while self.take("."):
            parts.append(self.identifier().name)
        if self.token.key == "(":
            # FROM read_csv('x'): table functions exist only as TABLE(f(...))
            self.mismatched(",", ".", "AS", "CROSS", "EXCEPT", "GROUP", "JOIN", "LIMIT", "WHERE", "<EOF>")
        time_travel = False
        if self.token.key == "FOR" and self.key() in ("TIMESTAMP", "VERSION"):
            self.advance()
            self.advance()
            self.need("AS", "OF")
            self.value_expression()
            time_travel = True
        return tree.TableReference(position, parts, time_travel)

    # -------------------------------------------------------------------------------------- expressions

    def expression(self, *, allow_all_fields: bool = False) -> tree.Expression:
        self.deeper()
        left = self.and_expression(allow_all_fields)
        if self.token.key == "OR":
            terms = [left]
            while self.take("OR"):
                terms.append(self.and_expression(False))
            left = tree.Logical(left.position, "OR", terms)
        self.depth -= 1
        return left

    def and_expression(self, allow_all_fields: bool) -> tree.Expression:
        left = self.not_expression(allow_all_fields)
        if self.token.key == "AND":
            terms = [left]
            while self.take("AND"):
                terms.append(self.not_expression(False))
            return tree.Logical(left.position, "AND", terms)
        return left

    def not_expression(self, allow_all_fields: bool) -> tree.Expression:
        if self.token.key == "NOT":
            self.deeper()
            position = self.advance().position
            operand = self.not_expression(False)
            self.depth -= 1
            return tree.Not(position, operand)
        left = self.value_expression(allow_all_fields)
        key = self.token.key
        if key in _COMPARISONS:
            return self.comparison(left)
        if key in ("IS", "NOT", "BETWEEN", "IN", "LIKE"):
            return self.predicate(left)
        return left

    def comparison(self, left: tree.Expression) -> tree.Expression:
        operator = self.advance()
        if self.token.key in ("ALL", "ANY", "SOME") and self.key() == "(":
            quantifier = "ALL" if self.advance().key == "ALL" else "ANY"
            self.need("(")
            query = self.query()
            self.need(")")
            return tree.Quantified(left.position, operator.key, quantifier, left, query)
        return tree.Comparison(left.position, operator.key, left, self.value_expression(), operator.position)

    def predicate(self, left: tree.Expression) -> tree.Expression:
        position = left.position
        if self.take("IS"):
            negated = self.take("NOT")
            if self.take("NULL"):
                return tree.IsNull(position, left, negated)
            if not self.take("DISTINCT"):
                self.mismatched("DISTINCT", "NULL") if negated else self.mismatched("DISTINCT", "NOT", "NULL")
            self.need("FROM")
            return tree.Distinct(position, left, self.value_expression(), negated)
        negated = self.take("NOT")
        found: tree.Expression
        if self.take("BETWEEN"):
            low = self.value_expression()
            self.need("AND")
            found = tree.Between(position, left, low, self.value_expression())
        elif self.take("IN"):
            self.need("(")
            if self.starts_query():
                found = tree.InQuery(position, left, self.query())
            else:
                items = [self.expression()]
                while self.take(","):
                    items.append(self.expression())
                found = tree.InList(position, left, items)
            self.need(")")
        elif self.take("LIKE"):
            pattern = self.value_expression()
            escape = self.value_expression() if self.take("ESCAPE") else None
            found = tree.Like(position, left, pattern, escape)
        else:
            self.mismatched("BETWEEN", "IN", "LIKE")
        return tree.Not(position, found) if negated else found

    def starts_query(self) -> bool:
        """Whether a sub-query begins here, possibly behind parentheses: `((SELECT 1) UNION ...)`."""
        if self.token.key in ("SELECT", "VALUES", "WITH", "TABLE"):
            return True
        ahead = 0
        while self.key(ahead) == "(":
            ahead += 1
        if ahead == 0 or self.key(ahead) not in ("SELECT", "VALUES", "TABLE"):
            return False
        # `((SELECT 1) + 1)` is an expression, `((SELECT 1) UNION SELECT 2)` a query: look behind the parenthesis
        depth = 0
        index = self.at
        while index < len(self.tokens):
            key = self.tokens[index].key
            if key == "(":
                depth += 1
            elif key == ")":
                depth -= 1
                if depth == 0:
                    following = self.tokens[index + 1].key
                    return following in (")", "UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT", "OFFSET", "FETCH")
            index += 1
        return False

    def value_expression(self, allow_all_fields: bool = False) -> tree.Expression:
        left = self.additive(allow_all_fields)
        while self.token.key == "||":
            operator = self.advance()
            left = tree.Binary(left.position, "||", left, self.additive(), operator.position)
        return left

    def additive(self, allow_all_fields: bool = False) -> tree.Expression:
        left = self.multiplicative(allow_all_fields)
        chain = 0
        while self.token.key in ("+", "-"):
            operator = self.advance()
            left = tree.Binary(left.position, operator.key, left, self.multiplicative(), operator.position)
            chain += 1
            self.check_chain(chain)
        return left

    def check_chain(self, length: int) -> None:
        if length > 200:
            raise TrinoError("SYNTAX_ERROR", "statement is too large (stack overflow while parsing)", line=1, column=1)

    def multiplicative(self, allow_all_fields: bool = False) -> tree.Expression:
        left = self.unary(allow_all_fields)
        chain = 0
        while self.token.key in ("*", "/", "%"):
            operator = self.advance()
            left = tree.Binary(left.position, operator.key, left, self.unary(), operator.position)
            chain += 1
            self.check_chain(chain)
        return left

    def unary(self, allow_all_fields: bool = False) -> tree.Expression:
        key = self.token.key
        if key == "-":
            token = self.advance()
            number = self.token
            if number.kind in ("integer", "decimal", "double") and self.key() not in ("[", "."):
                self.advance()
                return self.zoned(_number(number, token.position, negative=True))
            self.deeper()
            operand = self.unary()
            self.depth -= 1
            return tree.Negative(token.position, operand)
        if key == "+":
            token = self.advance()
            self.deeper()
            operand = self.unary()
            self.depth -= 1
            return tree.Positive(token.position, operand)
        return self.zoned(self.postfix(allow_all_fields))

    def zoned(self, operand: tree.Expression) -> tree.Expression:
        while self.token.key == "AT":
            self.advance()
            self.need("TIME", "ZONE")
            zone = (self.interval() if self.token.key == "INTERVAL" else None) or self.postfix(False)
            operand = tree.AtTimeZone(operand.position, operand, zone)
        return operand

    def postfix(self, allow_all_fields: bool) -> tree.Expression:
        base = self.primary()
        while True:
            key = self.token.key
            if key == ".":
                if self.key() == "*" and allow_all_fields:
                    self.advance()
                    self.advance()
                    return tree.AllFields(base.position, base)
                self.advance()
                name = self.identifier()
                base = tree.Dereference(base.position, base, name)
                if self.token.key == "(":
                    base = self.qualified_call(base)
            elif key == "[":
                self.advance()
                index = self.value_expression()
                self.need("]")
                base = tree.Subscript(base.position, base, index)
            else:
                return base

    def qualified_call(self, name: tree.Dereference) -> tree.Expression:
        parts: list[str] = []
        node: tree.Expression = name
        while isinstance(node, tree.Dereference):
            parts.append(node.name.name)
            node = node.base
        if not isinstance(node, tree.Identifier):
            self.mismatched(",", ")")
        parts.append(node.name)
        return self.call(".".join(reversed(parts)), name.position)

    def primary(self) -> tree.Expression:
        token = self.token
        kind = token.kind
        if kind == "name":
            special = _SPECIAL_FORMS.get(token.key)
            if special is not None:
                found = special(self)
                if found is not None:
                    return found
            if token.key in RESERVED:
                self.mismatched("<expression>")
            return self.named()
        if kind == "quoted":
            return self.named()
        if kind == "integer" or kind == "decimal" or kind == "double":
            self.advance()
            return _number(token, token.position, negative=False)
        if kind == "string":
            self.advance()
            return tree.StringLiteral(token.position, token.text[1:-1].replace("''", "'"))
        if kind == "unicode":
            return self.unicode_literal()
        if kind == "binary":
            self.advance()
            return self.binary_literal(token)
        if token.key == "(":
            return self.parenthesized()
        if token.key == "?":
            return self.parameter()
        return self.mismatched("<expression>")

    def unicode_literal(self) -> tree.Expression:
        token = self.advance()
        escape = "\\"
        if self.take("UESCAPE"):
            if self.token.kind != "string" or len(self.token.text) != 3:
                self.fail("Invalid Unicode escape character", self.token.position)
            escape = self.advance().text[1]
        text = token.text[3:-1].replace("''", "'")
        pattern = re.escape(escape) + r"(?:(\+[0-9a-fA-F]{6})|([0-9a-fA-F]{4})|(" + re.escape(escape) + r")|)"

        def replace(match: re.Match[str]) -> str:
            if match.group(3):
                return escape
            digits = match.group(1) or match.group(2)
            if not digits:
                self.fail(f"Incomplete escape sequence: {match.group()}", token.position)
            code = int(digits.lstrip("+"), 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                self.fail(f"Invalid escaped character: {digits.lstrip('+')}", token.position)
            return chr(code)

        return tree.StringLiteral(token.position, re.sub(pattern, replace, text))

    def binary_literal(self, token: Token) -> tree.Expression:
        digits = re.sub(r"\s", "", token.text[2:-1])
        if re.search(r"[^0-9a-fA-F]", digits):
            self.fail("Binary literal can only contain hexadecimal digits", token.position)
        if len(digits) % 2:
            self.fail("Binary literal must contain an even number of digits", token.position)
        return tree.BinaryLiteral(token.position, bytes.fromhex(digits))

    def parenthesized(self) -> tree.Expression:
        token = self.token
        if self.is_lambda_parameters():
            return self.lambda_of_parameters()
        self.advance()
        if self.starts_query():
            query = self.query()
            self.need(")")
            return tree.ScalarQuery(token.position, query)
        first = self.expression()
        if self.token.key == ",":
            items = [first]
            while self.take(","):
                items.append(self.expression())
            self.need(")")
            return tree.RowConstructor(token.position, items)
        self.need(")")
        return first

    def is_lambda_parameters(self) -> bool:
        if self.key(1) == ")":
            return self.key(2) == "->"
        ahead = 1
        while self.is_identifier(ahead):
            ahead += 1
            if self.key(ahead) == ")":
                return self.key(ahead + 1) == "->"
            if self.key(ahead) != ",":
                return False
            ahead += 1
        return False

    def lambda_of_parameters(self) -> tree.Expression:
        position = self.advance().position
        parameters: list[str] = []
        while not self.take(")"):
            parameters.append(self.identifier().name)
            self.take(",")
        self.need("->")
        return tree.Lambda(position, parameters, self.expression())

    def named(self) -> tree.Expression:
        """A column, a call, a lambda of one parameter, or a typed literal."""
        token = self.token
        following = self.tokens[self.at + 1]
        if (following.kind == "string" and token.kind == "name") or (
            following.kind == "string" and token.kind == "quoted"
        ):
            self.advance()
            text = self.advance().text[1:-1].replace("''", "'")
            return tree.TypedLiteral(token.position, token.text.strip('"').lower(), text)
        identifier = self.identifier()
        key = following.key
        if key == "(":
            return self.call(identifier.name, identifier.position)
        if key == "->":
            self.advance()
            return tree.Lambda(identifier.position, [identifier.name], self.expression())
        if key == "OVER" and (self.key() == "(" or self.is_identifier(1)):
            self.advance()
            return tree.Measure(identifier.position, identifier.name, self.window_reference())
        return identifier

    def call(self, name: str, position: int) -> tree.Expression:
        self.need("(")
        call = tree.Call(position, name.lower(), [])
        if self.token.key == "*" and self.key() == ")":
            self.advance()
            self.advance()
            call.is_star = True
        elif not self.take(")"):
            if self.token.key in ("DISTINCT", "ALL"):
                call.distinct = self.advance().key == "DISTINCT"
            if self.token.key != "ORDER":
                call.arguments.append(self.argument())
                while self.take(","):
                    call.arguments.append(self.argument())
            if self.take("ORDER", "BY"):
                call.order_by = self.sort_items()
            self.need(")")
        self.call_suffix(call)
        return call

    def argument(self) -> tree.Expression:
        return self.expression(allow_all_fields=True)

    def call_suffix(self, call: tree.Call) -> None:
        if self.token.key == "FILTER" and self.key() == "(":
            self.advance()
            self.advance()
            self.need("WHERE")
            call.filter = self.expression()
            self.need(")")
        if self.token.key in ("IGNORE", "RESPECT") and self.key() == "NULLS":
            call.ignore_nulls = self.advance().key == "IGNORE"
            self.advance()
            if self.token.key != "OVER":
                self.mismatched("OVER")
        if self.token.key == "OVER" and (self.key() == "(" or self.is_identifier(1)):
            self.advance()
            call.window = self.window_reference()

    def window_reference(self) -> tree.Window | str:
        if self.take("("):
            window = self.window_specification()
            self.need(")")
            return window
        name = self.identifier()
        return name.name if name.quoted else name.name.upper()

    def window_specification(self) -> tree.Window:
        position = self.token.position
        existing: str | None = None
        if self.is_identifier() and self.token.key not in ("PARTITION", "ROWS", "RANGE", "GROUPS", "MEASURES"):
            name = self.identifier()
            existing = name.name if name.quoted else name.name.upper()
        partition_by: list[tree.Expression] = []
        if self.take("PARTITION", "BY"):
            partition_by = [self.expression()]
            while self.take(","):
                partition_by.append(self.expression())
        order_by = self.sort_items() if self.take("ORDER", "BY") else []
        measures: list[tuple[tree.Expression, str]] = []
        self.in_row_pattern += 1
        if self.take("MEASURES"):
            measures = self.measure_definitions()
        self.in_row_pattern -= 1
        frame: tree.Frame | None = None
        pattern: tree.WindowPattern | None = None
        if self.token.key in ("ROWS", "RANGE", "GROUPS"):
            unit = self.advance()
            if self.take("BETWEEN"):
                start = self.frame_bound()
                self.need("AND")
                frame = tree.Frame(unit.position, unit.key, start, self.frame_bound())
            else:
                frame = tree.Frame(unit.position, unit.key, self.frame_bound(), None)
            if measures or self.token.key in ("PATTERN", "AFTER", "INITIAL", "SEEK"):
                pattern = self.window_pattern(measures)
        elif measures:
            self.mismatched("GROUPS", "RANGE", "ROWS")
        return tree.Window(position, existing, partition_by, order_by, frame, pattern)

    def window_pattern(self, measures: list[tuple[tree.Expression, str]]) -> tree.WindowPattern:
        position = self.token.position
        self.in_row_pattern += 1
        skip = self.after_match_skip()
        seek = self.take("SEEK")
        pattern, subsets, definitions = self.pattern_clauses()
        self.in_row_pattern -= 1
        return tree.WindowPattern(position, measures, skip, seek, pattern, subsets, definitions)

    def frame_bound(self) -> tree.FrameBound:
        position = self.token.position
        if self.take("UNBOUNDED", "PRECEDING"):
            return tree.FrameBound(position, "UNBOUNDED_PRECEDING", None)
        if self.take("UNBOUNDED", "FOLLOWING"):
            return tree.FrameBound(position, "UNBOUNDED_FOLLOWING", None)
        if self.take("CURRENT", "ROW"):
            return tree.FrameBound(position, "CURRENT_ROW", None)
        offset = self.expression()
        if self.take("PRECEDING"):
            return tree.FrameBound(position, "PRECEDING", offset)
        if self.take("FOLLOWING"):
            return tree.FrameBound(position, "FOLLOWING", offset)
        return self.mismatched("FOLLOWING", "PRECEDING")

    # -------------------------------------------------------------------------------------- types

    def type_name(self) -> tree.TypeName:
        position = self.token.position
        return tree.TypeName(position, self.type_text())

    def type_text(self) -> str:
        self.deeper()
        token = self.token
        if token.kind not in ("name", "quoted"):
            self.mismatched("<type>")
        key = token.key
        if key == "ROW" and self.key() == "(":
            text = self.row_type_text()
        elif key == "INTERVAL":
            self.advance()
            start = self.advance().key
            self.need("TO")
            text = f"interval {start.lower()} to {self.advance().key.lower()}"
        elif key == "DOUBLE" and self.key() == "PRECISION":
            self.advance()
            self.advance()
            text = "double"
        elif key in ("TIME", "TIMESTAMP"):
            text = self.time_type_text()
        else:
            text = self.generic_type_text()
        while self.token.key == "ARRAY":
            self.advance()
            text = f"array({text})"
        self.depth -= 1
        return text

    def row_type_text(self) -> str:
        self.advance()
        self.need("(")
        fields: list[str] = []
        while True:
            # `a bigint`, `"A" bigint` or a bare type
            if self.is_identifier() and self.kind() in ("name", "quoted") and not self.is_multi_word_type():
                name = self.identifier()
                label = '"' + name.name.replace('"', '""') + '"' if name.quoted else name.name.lower()
                fields.append(f"{label} {self.type_text()}")
            else:
                fields.append(self.type_text())
            if not self.take(","):
                break
        self.need(")")
        return f"row({', '.join(fields)})"

    def is_multi_word_type(self) -> bool:
        key, following = self.token.key, self.key()
        return (
            (key == "DOUBLE" and following == "PRECISION")
            or (key in ("TIME", "TIMESTAMP") and following in ("WITH", "WITHOUT"))
            or (key == "INTERVAL" and following in ("DAY", "YEAR") and self.key(2) == "TO")
            or (following == "ARRAY" and self.key(2) in (",", ")", "ARRAY"))
        )

    def time_type_text(self) -> str:
        name = self.advance().key.lower()
        precision = ""
        if self.take("("):
            number = self.advance()
            if number.kind != "integer":
                self.mismatched("<integer>")
            precision = f"({number.text})"
            self.need(")")
        if self.take("WITH", "TIME", "ZONE"):
            return f"{name}{precision} with time zone"
        self.take("WITHOUT", "TIME", "ZONE")
        return name + precision

    def generic_type_text(self) -> str:
        name = self.identifier().name.lower()
        closing = ""
        if self.token.key == "(":
            closing = ")"
        elif self.token.key == "<" and name in ("array", "map"):
            closing = ">"
        if not closing:
            return name
        self.advance()
        arguments: list[str] = []
        while True:
            if self.token.kind == "integer":
                arguments.append(self.advance().text)
            else:
                arguments.append(self.type_text())
            if not self.take(","):
                break
        self.need(closing)
        return f"{name}({','.join(arguments)})"

    # -------------------------------------------------------------------------------------- special forms

    def null(self) -> tree.Expression:
        return tree.NullLiteral(self.advance().position)

    def boolean(self) -> tree.Expression:
        token = self.advance()
        return tree.BooleanLiteral(token.position, token.key == "TRUE")

    def case(self) -> tree.Expression:
        position = self.advance().position
        operand = None if self.token.key == "WHEN" else self.expression()
        branches: list[tuple[tree.Expression, tree.Expression]] = []
        while self.take("WHEN"):
            condition = self.expression()
            self.need("THEN")
            branches.append((condition, self.expression()))
        if not branches:
            self.mismatched("WHEN")
        default = self.expression() if self.take("ELSE") else None
        self.need("END")
        return tree.Case(position, operand, branches, default)

    def cast(self) -> tree.Expression | None:
        if self.key() != "(":
            return None
        token = self.advance()
        self.need("(")
        operand = self.expression()
        self.need("AS")
        type_name = self.type_name()
        self.need(")")
        return tree.Cast(token.position, operand, type_name, token.key == "TRY_CAST")

    def array(self) -> tree.Expression | None:
        if self.key() != "[":
            return None
        position = self.advance().position
        self.advance()
        items: list[tree.Expression] = []
        if not self.take("]"):
            items.append(self.expression())
            while self.take(","):
                items.append(self.expression())
            self.need("]")
        return tree.ArrayConstructor(position, items)

    def row(self) -> tree.Expression | None:
        if self.key() != "(":
            return None
        position = self.advance().position
        self.advance()
        items: list[tree.Expression] = []
        names: list[str | None] = []
        while True:
            items.append(self.expression())
            has_as = self.take("AS")
            names.append(self.identifier().name.lower() if has_as or self.is_identifier() else None)
            if not self.take(","):
                break
        self.need(")")
        return tree.RowConstructor(position, items, names if any(names) else None)

    def interval(self) -> tree.Expression | None:
        ahead = 2 if self.key() in ("+", "-") else 1
        if self.kind(ahead) != "string":
            return None
        position = self.advance().position
        negative = False
        if self.token.key in ("+", "-"):
            negative = self.advance().key == "-"
        value = self.advance().text[1:-1]
        unit = self.advance()
        if unit.key not in _INTERVAL_UNITS:
            self.fail(
                f"mismatched input '{unit.text}'. Expecting: 'DAY', 'HOUR', 'MINUTE', 'MONTH', 'SECOND', 'YEAR'",
                unit.position,
            )
        to_unit = self.advance().key if self.take("TO") else None
        return tree.IntervalLiteral(position, value, negative, unit.key, to_unit)

    def double_precision(self) -> tree.Expression | None:
        if self.key() == "PRECISION" and self.kind(2) == "string":
            position = self.advance().position
            self.advance()
            return tree.TypedLiteral(position, "double", self.advance().text[1:-1].replace("''", "'"))
        return None

    def exists(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        query = self.query()
        self.need(")")
        return tree.Exists(position, query)

    def extract(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        field_name = self.identifier().name
        self.need("FROM")
        operand = self.value_expression()
        self.need(")")
        return tree.Extract(position, field_name.upper(), operand)

    def position_in(self) -> tree.Expression | None:
        if self.key() != "(":
            return None
        start = self.at
        position = self.advance().position
        self.advance()
        needle = self.value_expression()
        if not self.take("IN"):
            self.at = start
            self.token = self.tokens[start]
            return None
        haystack = self.value_expression()
        self.need(")")
        return tree.Call(position, "strpos", [haystack, needle])

    def substring(self) -> tree.Expression | None:
        if self.key() != "(":
            return None
        start, parameters = self.at, self.parameters
        position = self.advance().position
        self.advance()
        arguments = [self.value_expression()]
        if not self.take("FROM"):
            self.at, self.parameters = start, parameters
            self.token = self.tokens[start]
            return None
        arguments.append(self.value_expression())
        if self.take("FOR"):
            arguments.append(self.value_expression())
        self.need(")")
        return tree.Call(position, "substring", arguments)

    def trim(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        side = "BOTH"
        arguments: list[tree.Expression]
        if self.token.key in ("BOTH", "LEADING", "TRAILING"):
            side = self.advance().key
            if self.take("FROM"):
                arguments = [self.value_expression()]
            else:
                characters = self.value_expression()
                self.need("FROM")
                arguments = [self.value_expression(), characters]
        else:
            first = self.value_expression()
            if self.take("FROM"):
                arguments = [self.value_expression(), first]
            else:
                arguments = [first, self.value_expression()] if self.take(",") else [first]
        self.need(")")
        name = {"BOTH": "trim", "LEADING": "ltrim", "TRAILING": "rtrim"}[side]
        return tree.Call(position, name, arguments)

    def normalize(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        operand = self.value_expression()
        form = "NFC"
        if self.take(","):
            form = self.identifier().name.upper()
            if form not in ("NFC", "NFD", "NFKC", "NFKD"):
                self.fail(f"mismatched input '{form}'. Expecting: 'NFC', 'NFD', 'NFKC', 'NFKD'", position)
        self.need(")")
        return tree.Call(position, "normalize", [operand, tree.StringLiteral(position, form)])

    def current(self) -> tree.Expression | None:
        token = self.advance()
        precision: int | None = None
        if self.token.key == "(" and token.key in ("CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"):
            self.advance()
            if self.token.kind != "integer":
                self.mismatched("<integer>")
            precision = int(self.advance().text)
            self.need(")")
        return tree.CurrentTime(token.position, token.key, precision)

    def grouping(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        columns: list[tree.Expression] = []
        if not self.take(")"):
            columns.append(self.value_expression())
            while self.take(","):
                columns.append(self.value_expression())
            self.need(")")
        return tree.Grouping(position, columns)

    def listagg(self) -> tree.Expression:
        position = self.advance().position
        self.need("(")
        call = tree.Call(position, "listagg", [])
        if self.token.key in ("DISTINCT", "ALL"):
            call.distinct = self.advance().key == "DISTINCT"
        call.arguments.append(self.expression())
        if self.take(","):
            separator = self.token
            if separator.kind != "string":
                self.mismatched("<string>")
            self.advance()
            call.arguments.append(tree.StringLiteral(separator.position, separator.text[1:-1].replace("''", "'")))
        clauses: dict[str, object] = {}
        if self.take("ON", "OVERFLOW") and not self.take("ERROR"):
            self.need("TRUNCATE")
            clauses["truncate"] = True
            if self.token.kind == "string":
                clauses["filler"] = self.advance().text[1:-1].replace("''", "'")
            clauses["with_count"] = not self.take("WITHOUT")
            if clauses["with_count"]:
                self.need("WITH")
            self.need("COUNT")
        call.named_arguments = clauses
        self.need(")", "WITHIN", "GROUP", "(", "ORDER", "BY")
        call.order_by = self.sort_items()
        self.need(")")
        self.call_suffix(call)
        return call

    def running_or_final(self) -> tree.Expression | None:
        if self.in_row_pattern and self.kind() in ("name", "quoted"):
            mode = self.advance().key
            call = self.primary()
            if not isinstance(call, tree.Call):
                self.fail(f"{mode} semantics is only for calls", call.position)
            call.processing_mode = mode
            return call
        if self.kind() in ("name", "quoted") and self.key(2) == "(" and self.key() not in ("AS", "OVER", "IN"):
            raise self.source.error(
                "NOT_SUPPORTED",
                "Row pattern recognition is not supported by the embedded engine",
                self.token.position,
            )
        return None

    # -------------------------------------------------------------------------------------- JSON

    def json_function(self) -> tree.Expression | None:
        """json_exists / json_value / json_query (input [FORMAT JSON ..], path [PASSING ..] clauses)"""
        token = self.advance()
        self.need("(")
        clauses: dict[str, object] = {}
        call = tree.Call(token.position, token.key.lower(), [], named_arguments=clauses)
        call.arguments.append(self.json_input(clauses, "input_format"))
        self.need(",")
        if self.token.kind not in ("string", "unicode"):
            self.mismatched("<string>")
        call.arguments.append(self.primary())
        if self.take("AS"):
            clauses["path_name"] = self.identifier().name
        if self.take("PASSING"):
            passing: list[tuple[str, tree.Expression, bool]] = []
            while True:
                holder: dict[str, object] = {}
                value = self.json_input(holder, "format")
                self.need("AS")
                name = self.identifier()
                passing.append((name.name if name.quoted else name.name.upper(), value, "format" in holder))
                if not self.take(","):
                    break
            clauses["passing"] = passing
        if self.take("RETURNING"):
            clauses["returning"] = self.type_name()
            if self.take("FORMAT"):
                clauses["returning_format"] = self.json_format()
        self.json_clauses(clauses)
        self.need(")")
        return call

    def json_clauses(self, clauses: dict[str, object]) -> None:
        while self.token.key != ")":
            if self.take("WITHOUT"):
                self.take("ARRAY")
                self.need("WRAPPER")
                clauses["wrapper"] = "WITHOUT"
            elif self.take("WITH"):
                mode = "CONDITIONAL" if self.take("CONDITIONAL") else "UNCONDITIONAL"
                self.take("UNCONDITIONAL")
                self.take("ARRAY")
                self.need("WRAPPER")
                clauses["wrapper"] = mode
            elif self.token.key in ("KEEP", "OMIT"):
                clauses["quotes"] = self.advance().key
                self.need("QUOTES")
                if self.take("ON", "SCALAR"):
                    self.take("STRING")
                    self.take("TEXT")
            else:
                behaviour = self.json_behaviour()
                self.need("ON")
                if self.take("EMPTY"):
                    clauses["on_empty"] = behaviour
                else:
                    self.need("ERROR")
                    clauses["on_error"] = behaviour

    def json_behaviour(self) -> object:
        if self.take("DEFAULT"):
            return self.expression()
        for word in ("NULL", "ERROR", "TRUE", "FALSE", "UNKNOWN"):
            if self.take(word):
                return word
        self.need("EMPTY")
        if self.take("OBJECT"):
            return "EMPTY OBJECT"
        self.take("ARRAY")
        return "EMPTY ARRAY"

    def json_input(self, clauses: dict[str, object], key: str) -> tree.Expression:
        value = self.expression()
        if self.token.key == "FORMAT" and self.key() == "JSON":
            self.advance()
            clauses[key] = self.json_format()
        return value

    def json_format(self) -> str:
        self.need("JSON")
        if self.take("ENCODING"):
            return self.advance().key
        return "JSON"

    def json_array(self) -> tree.Expression:
        token = self.advance()
        self.need("(")
        clauses: dict[str, object] = {}
        call = tree.Call(token.position, "json_array", [], named_arguments=clauses)
        formats: list[bool] = []
        while self.token.key not in (")", "NULL", "ABSENT", "RETURNING") or (
            self.token.key == "NULL" and self.key() != "ON"
        ):
            holder: dict[str, object] = {}
            call.arguments.append(self.json_input(holder, "format"))
            formats.append("format" in holder)
            if not self.take(","):
                break
        clauses["formats"] = formats
        self.json_constructor_clauses(clauses)
        return call

    def json_object(self) -> tree.Expression:
        token = self.advance()
        self.need("(")
        clauses: dict[str, object] = {}
        call = tree.Call(token.position, "json_object", [], named_arguments=clauses)
        formats: list[bool] = []
        while self.token.key not in (")", "NULL", "ABSENT", "RETURNING", "WITH", "WITHOUT"):
            holder: dict[str, object] = {}
            if self.token.key == "KEY" and self.key() not in (":", "VALUE", ","):
                self.advance()
            call.arguments.append(self.value_expression())
            if not (self.take(":") or self.take("VALUE")):
                self.mismatched(":", "VALUE")
            call.arguments.append(self.json_input(holder, "format"))
            formats.append("format" in holder)
            if not self.take(","):
                break
        clauses["formats"] = formats
        self.json_constructor_clauses(clauses)
        return call

    def json_constructor_clauses(self, clauses: dict[str, object]) -> None:
        while self.token.key != ")":
            if self.take("NULL", "ON", "NULL"):
                clauses["nulls"] = "NULL"
            elif self.take("ABSENT", "ON", "NULL"):
                clauses["nulls"] = "ABSENT"
            elif self.token.key in ("WITH", "WITHOUT"):
                clauses["unique"] = self.advance().key == "WITH"
                self.need("UNIQUE")
                self.take("KEYS")
            elif self.take("RETURNING"):
                clauses["returning"] = self.type_name()
                if self.take("FORMAT"):
                    clauses["returning_format"] = self.json_format()
            else:
                self.mismatched(")")
        self.need(")")


def _integer(text: str) -> int:
    return int(text.replace("_", ""), 0) if text[:2].lower() in ("0x", "0b", "0o") else int(text.replace("_", ""))


def _number(token: Token, position: int, *, negative: bool) -> tree.Expression:
    sign = "-" if negative else ""
    if token.kind == "integer":
        value = _integer(token.text)
        return tree.IntegerLiteral(position, -value if negative else value)
    if token.kind == "decimal":
        return tree.DecimalLiteral(position, sign + token.text.replace("_", ""))
    return tree.DoubleLiteral(position, sign + token.text.replace("_", ""))


_SPECIAL_FORMS: dict[str, Callable[[Parser], tree.Expression | None]] = {
    "NULL": Parser.null,
    "TRUE": Parser.boolean,
    "FALSE": Parser.boolean,
    "CASE": Parser.case,
    "CAST": Parser.cast,
    "TRY_CAST": Parser.cast,
    "ARRAY": Parser.array,
    "ROW": Parser.row,
    "INTERVAL": Parser.interval,
    "DOUBLE": Parser.double_precision,
    "EXISTS": Parser.exists,
    "EXTRACT": Parser.extract,
    "POSITION": Parser.position_in,
    "SUBSTRING": Parser.substring,
    "TRIM": Parser.trim,
    "NORMALIZE": Parser.normalize,
    "GROUPING": Parser.grouping,
    "LISTAGG": Parser.listagg,
    "RUNNING": Parser.running_or_final,
    "FINAL": Parser.running_or_final,
    "JSON_EXISTS": Parser.json_function,
    "JSON_VALUE": Parser.json_function,
    "JSON_QUERY": Parser.json_function,
    "JSON_ARRAY": Parser.json_array,
    "JSON_OBJECT": Parser.json_object,
    **dict.fromkeys(_CURRENT, Parser.current),
}

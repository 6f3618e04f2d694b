r"""The Expression of GetPartitions, read into a tree.

    expression := term { OR term }          term := factor { AND factor }
    factor     := NOT factor | '(' expression ')' | condition
    condition  := key (= | <> | != | < | <= | > | >=) literal | literal (= | ..) key
                | key [NOT] IN '(' literal {',' literal} ')'
                | key [NOT] BETWEEN literal AND literal
                | key [NOT] LIKE literal
                | key IS [NOT] NULL
    literal    := number | 'text' ('' is one quote) | (DATE | TIMESTAMP | DECIMAL) 'text' | '(' literal ')'
    key        := name | "name" | `name`

The grammar is that of the API reference (GetPartitions, parameter Expression). A negation is pushed down to the
conditions while reading, so the tree has none: `NOT (a = 1 OR b < 2)` is read as `a <> 1 AND b >= 2`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

NESTING_LIMIT = 64

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+"|`[^`]+`)
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[\w.$]+)
      | (?P<operator><>|!=|<=|>=|[=<>(),])
    )""",
    re.VERBOSE,
)
_NEGATED = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_KEYWORDS = frozenset({"and", "or", "not", "in", "between", "like", "is", "null"})
_TYPE_WORDS = frozenset({"date", "timestamp", "decimal"})


class UnsupportedExpressionError(ValueError):
    """Text outside the grammar."""


@dataclass(frozen=True)
class Comparison:
    """`key operator literal`; operator is one of = <> < <= > >=; the literal as its text."""

    key: str
    operator: str
    literal: str


@dataclass(frozen=True)
class Membership:
    """`key [NOT] IN (literals)`."""

    key: str
    literals: tuple[str, ...]
    is_negated: bool


@dataclass(frozen=True)
class Likeness:
    """`key [NOT] LIKE pattern`: % any text, _ any one character."""

    key: str
    pattern: str
    is_negated: bool


@dataclass(frozen=True)
class Nullness:
    """`key IS [NOT] NULL`."""

    key: str
    is_negated: bool


@dataclass(frozen=True)
class Conjunction:
    """All of the parts."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Disjunction:
    """Any of the parts."""

    parts: tuple[Expression, ...]


Expression = Comparison | Membership | Likeness | Nullness | Conjunction | Disjunction


def parse(text: str) -> Expression:
    """The tree of an expression; raises UnsupportedExpressionError with Glue's message."""
    try:
        return _Reader(_tokens(text)).read()
    except UnsupportedExpressionError:
        raise UnsupportedExpressionError(f"Unsupported expression '{text}'") from None


@dataclass(frozen=True)
class _Token:
    kind: str
    value: str

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.value.lower() == word


_END = _Token("end", "")


def _tokens(text: str) -> list[_Token]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise UnsupportedExpressionError(text)
        value = match[match.lastgroup]
        if match.lastgroup == "text":
            value = value[1:-1].replace("''", "'")
        elif match.lastgroup == "quoted":
            value = value[1:-1].replace('""', '"') if value[0] == '"' else value[1:-1]
        elif value == "!=":
            value = "<>"
        found.append(_Token(match.lastgroup, value))
        at = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def read(self) -> Expression:
        expression = self._any_of(is_negated=False)
        if self._peek() is not _END:
            raise UnsupportedExpressionError
        return expression

    def _peek(self, ahead: int = 0) -> _Token:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else _END

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _takes_word(self, word: str) -> bool:
        if self._peek().is_word(word):
            self._at += 1
            return True
        return False

    def _takes_operator(self, operator: str) -> bool:
        if self._peek() == _Token("operator", operator):
            self._at += 1
            return True
        return False

    def _expect_operator(self, operator: str) -> None:
        if not self._takes_operator(operator):
            raise UnsupportedExpressionError

    def _any_of(self, *, is_negated: bool) -> Expression:
        return self._joined("or", self._all_of, Conjunction if is_negated else Disjunction, is_negated)

    def _all_of(self, *, is_negated: bool) -> Expression:
        return self._joined("and", self._factor, Disjunction if is_negated else Conjunction, is_negated)

    def _joined(
        self,
        word: str,
        part: Callable[..., Expression],
        join: type[Conjunction] | type[Disjunction],
        is_negated: bool,
    ) -> Expression:
        parts = [part(is_negated=is_negated)]
        while self._takes_word(word):
            parts.append(part(is_negated=is_negated))
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _factor(self, *, is_negated: bool) -> Expression:
        self._depth += 1
        if self._depth > NESTING_LIMIT:
            raise UnsupportedExpressionError
        try:
            if self._takes_word("not"):
                return self._factor(is_negated=not is_negated)
            if self._peek() == _Token("operator", "(") and not self._literal_ahead():
                self._at += 1
                expression = self._bracketed(is_negated)
                self._expect_operator(")")
                return expression
            return self._condition(None, is_negated)
        finally:
            self._depth -= 1

    def _bracketed(self, is_negated: bool) -> Expression:
        return self._any_of(is_negated=is_negated)

    def _literal_ahead(self) -> bool:
        """Whether brackets here hold nothing but a literal: `('2026') = dt`."""
        ahead = 0
        while self._peek(ahead) == _Token("operator", "("):
            ahead += 1
        return self._peek(ahead).kind in {"text", "number"} and self._peek(ahead + 1) == _Token("operator", ")")

    def _condition(self, key: str | None, is_negated: bool) -> Expression:
        if self._peek().kind in {"text", "number"} or self._literal_ahead() or self._typed_literal_ahead():
            literal = self._literal()
            operator = _MIRRORED[self._comparison_operator()]
            return Comparison(self._key(), _NEGATED[operator] if is_negated else operator, literal)
        key = self._key()
        if self._takes_word("is"):
            negated_here = self._takes_word("not")
            if not self._takes_word("null"):
                raise UnsupportedExpressionError
            return Nullness(key, negated_here != is_negated)
        negated_here = self._takes_word("not") != is_negated
        was_not = negated_here != is_negated
        if self._takes_word("in"):
            return Membership(key, self._literals(), negated_here)
        if self._takes_word("like"):
            return Likeness(key, self._literal(), negated_here)
        if self._takes_word("between"):
            return self._between(key, negated_here)
        if was_not:
            raise UnsupportedExpressionError
        operator = self._comparison_operator()
        return Comparison(key, _NEGATED[operator] if is_negated else operator, self._literal())

    def _between(self, key: str, is_negated: bool) -> Expression:
        low = self._literal()
        if not self._takes_word("and"):
            raise UnsupportedExpressionError
        high = self._literal()
        if is_negated:
            return Disjunction((Comparison(key, "<", low), Comparison(key, ">", high)))
        return Conjunction((Comparison(key, ">=", low), Comparison(key, "<=", high)))

    def _comparison_operator(self) -> str:
        token = self._next()
        if token.kind != "operator" or token.value not in _NEGATED:
            raise UnsupportedExpressionError
        return token.value

    def _key(self) -> str:
        token = self._next()
        if token.kind == "quoted" or (token.kind == "word" and token.value.lower() not in _KEYWORDS):
            return token.value.lower()
        raise UnsupportedExpressionError

    def _typed_literal_ahead(self) -> bool:
        token = self._peek()
        return token.kind == "word" and token.value.lower() in _TYPE_WORDS and self._peek(1).kind == "text"

    def _literals(self) -> tuple[str, ...]:
        self._expect_operator("(")
        literals = [self._literal()]
        while self._takes_operator(","):
            literals.append(self._literal())
        self._expect_operator(")")
        return tuple(literals)

    def _literal(self) -> str:
        opened = 0
        while self._takes_operator("("):
            opened += 1
        if self._typed_literal_ahead():
            self._at += 1
        token = self._next()
        if token.kind not in {"text", "number"}:
            raise UnsupportedExpressionError
        for _ in range(opened):
            self._expect_operator(")")
        return token.value

"""The registry of Trino functions: signature text -> emission of DuckDB SQL.

    scalar("length(varchar(x)) -> bigint", "length({0})")                          template
    scalar("cardinality(array(E)) -> bigint", "len({0})")                          polymorphic
    scalar("filter(array(E), function(E,boolean)) -> array(E)", "list_filter({0}, {1})")
    macro("trino_sign(x)", "CASE WHEN x < 0 THEN -1 WHEN x > 0 THEN 1 ELSE 0 END")  a DuckDB macro for templates
    @python("luhn_check(varchar) -> boolean")                                      a Python function
    @emits("concat(array(E)...) -> array(E)")                                      a callable (Invocation) -> SQL
    aggregate("count(T) -> bigint", "count({0})")                                  DISTINCT, FILTER, OVER are added
    @special("coalesce")                                                           the whole call, arguments unanalysed

Signature text: type variables are upper case (`E`, `K`, `T1`), number variables lower case inside the parentheses of
varchar/char/decimal/timestamp; `T...` repeats the last parameter; `where E: orderable, K: comparable` constrains. A
result that depends on numbers (`decimal(p, s)` arithmetic) is computed by `result=`.

A scalar function answers NULL for a NULL argument unless its emission says otherwise: that is DuckDB's convention too,
and Python functions follow it unless `null_call=True`.
"""

from __future__ import annotations

import decimal
import functools
import hashlib
import importlib
import inspect
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embedded.sql.errors import TrinoError
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed, is_repeatable, once
from embedded.sql.types import (
    MAXIMUM_VARCHAR_LENGTH,
    UNKNOWN,
    VARCHAR,
    TrinoType,
    can_coerce,
    char,
    common_super_type,
    decimal_of,
    is_comparable,
    is_orderable,
    row,
    varchar,
)
from embedded.sql.types import (
    decimal as decimal_type,
)

if TYPE_CHECKING:
    import duckdb

    from embedded.sql import tree
    from embedded.sql.analysis import Analyser

#: The modules of functions; a missing one is a programming error.
FAMILIES = (
    "conditional",
    "string",
    "format",
    "regexp",
    "math",
    "decimal",
    "bitwise",
    "datetime",
    "json",
    "array",
    "map",
    "row",
    "lambda_",
    "aggregate",
    "window",
    "conversion",
    "binary",
    "url",
    "uuid_ip",
    "geography",
    "unsupported",
)

Bindings = dict[str, Any]  # type variable -> TrinoType, number variable -> int
Emission = Callable[["Invocation"], str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A type in a signature: a variable, or a base with number and element patterns."""

    variable: str | None = None
    base: str = ""
    numbers: tuple[int | str, ...] = ()
    elements: tuple[Pattern, ...] = ()
    text: str = ""

    @property
    def is_concrete(self) -> bool:
        return (
            self.variable is None
            and all(isinstance(number, int) for number in self.numbers)
            and all(element.is_concrete for element in self.elements)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    name: str
    kind: str  # scalar aggregate window
    parameters: tuple[Pattern, ...]
    is_variadic: bool
    result_pattern: Pattern | None
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None
    constraints: Mapping[str, str]
    emit: Emission
    display: str
    is_volatile: bool = False
    is_generic: bool = False
    is_hidden: bool = False


@dataclass(slots=True)
class Invocation:
    """One call being emitted: `arguments` are coerced to the parameter types, `result` is the call's Trino type."""

    function: Function
    arguments: list[Typed]
    result: TrinoType
    bindings: Bindings
    analyser: Analyser
    node: tree.Expression
    modifiers: Modifiers | None = None

    def __getitem__(self, index: int) -> str:
        return self.arguments[index].sql

    def __len__(self) -> int:
        return len(self.arguments)

    @property
    def physical(self) -> str:
        """DuckDB type of the result."""
        return physical_type(self.result)

    def python(self, function: Callable[..., object], arguments: list[Typed] | None = None, **options: Any) -> str:
        """A call of a Python function with these arguments; registered under a name made of its physical types."""
        used = self.arguments if arguments is None else arguments
        return python_call(self.analyser, function, used, self.result, **options)

    def aggregate(self, name: str, *arguments: str, order_by: str | None = None) -> str:
        """`name(arguments)` with this call's DISTINCT, ORDER BY, FILTER, IGNORE NULLS and OVER."""
        return (self.modifiers or Modifiers()).apply(name, arguments, order_by)

    def error(self, name: str, message: str) -> TrinoError:
        return self.analyser.error(name, message, self.node)


@dataclass(slots=True)
class Modifiers:
    """What stands around an aggregate or window call, as DuckDB SQL."""

    distinct: bool = False
    order_by: str = ""  # 'x ASC NULLS LAST, ...'
    filter: str = ""
    over: str = ""  # 'OVER (...)'
    ignore_nulls: bool = False

    def apply(self, name: str, arguments: tuple[str, ...], order_by: str | None = None) -> str:
        order = self.order_by if order_by is None else order_by
        inside = ("DISTINCT " if self.distinct else "") + ", ".join(arguments)
        if order:
            inside += f" ORDER BY {order}"
        if self.ignore_nulls:
            inside += " IGNORE NULLS"
        sql = f"{name}({inside})"
        if self.filter:
            sql += f" FILTER (WHERE {self.filter})"
        if self.over:
            sql += f" {self.over}"
        return sql


# --------------------------------------------------------------------------------------------- signatures

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*|\d+|\.\.\.|[(),])")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*")
_WITH_TIME_ZONE = " with time zone"


def _parse_pattern(text: str) -> Pattern:
    pattern, rest = _pattern_at(_TOKEN.findall(text), 0)
    if rest != len(_TOKEN.findall(text)):
        raise ValueError(f"unreadable type in a signature: {text}")
    return pattern


def _pattern_at(tokens: list[str], at: int) -> tuple[Pattern, int]:
    name = tokens[at]
    at += 1
    if _VARIABLE.fullmatch(name):
        return Pattern(variable=name, text=name), at
    base = name
    if name == "jsonpath":
        # a varchar that Trino's messages call by the type it is turned into
        return Pattern(base="varchar", text="JsonPath"), at
    if name == "interval":
        base = " ".join(tokens[at - 1 : at + 3])
        return Pattern(base=base, text=base), at + 3
    numbers: list[int | str] = []
    elements: list[Pattern] = []
    if at < len(tokens) and tokens[at] == "(":
        at += 1
        while True:
            token = tokens[at]
            if base in ("varchar", "char", "decimal", "time", "timestamp"):
                numbers.append(int(token) if token.isdigit() else token)
                at += 1
            else:
                element, at = _pattern_at(tokens, at)
                elements.append(element)
            if tokens[at] == ",":
                at += 1
                continue
            at += 1  # the closing parenthesis
            break
    if tokens[at : at + 3] == ["with", "time", "zone"]:
        base += _WITH_TIME_ZONE
        at += 3
    inside = ", ".join(map(str, numbers)) if numbers else ", ".join(element.text for element in elements)
    if base == "function" or base == "decimal":
        inside = inside.replace(", ", ",")
    short = base.removesuffix(_WITH_TIME_ZONE)
    text = short + (f"({inside})" if inside else "") + (_WITH_TIME_ZONE if short != base else "")
    return Pattern(base=base, numbers=tuple(numbers), elements=tuple(elements), text=text), at


def _split_parameters(text: str) -> list[str]:
    parts: list[str] = []
    depth = 0
    current = ""
    for character in text:
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
            continue
        depth += (character == "(") - (character == ")")
        current += character
    if current.strip():
        parts.append(current)
    return [part.strip() for part in parts]


_SIGNATURE = re.compile(
    r"\s*(?P<name>[^\s(]+)\((?P<parameters>.*)\)\s*->\s*(?P<result>.+?)(?:\s+where\s+(?P<where>.+))?\s*"
)


def _function(
    signature: str,
    kind: str,
    emit: Emission,
    *,
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None = None,
    volatile: bool = False,
    hidden: bool = False,
) -> Function:
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise ValueError(f"unreadable signature: {signature}")
    parameter_texts = _split_parameters(match["parameters"])
    is_variadic = bool(parameter_texts) and parameter_texts[-1].endswith("...")
    parameters = tuple(_parse_pattern(text.removesuffix("...")) for text in parameter_texts)
    constraints: dict[str, str] = {}
    for part in (match["where"] or "").split(","):
        if part.strip():
            variable, _, constraint = part.partition(":")
            constraints[variable.strip()] = constraint.strip()
    name = match["name"]
    shown = ", ".join(parameter.text for parameter in parameters)
    variables = sorted({v for parameter in parameters for v in _variables(parameter)})
    described = [f"{v}:{constraints[v]}" if v in constraints else v for v in variables]
    display = f"{name}({shown})" + (" " + ", ".join(described) if described else "")
    return Function(
        name=name,
        kind=kind,
        parameters=parameters,
        is_variadic=is_variadic,
        result_pattern=None if result is not None else _parse_pattern(match["result"]),
        result=result,
        constraints=constraints,
        emit=emit,
        display=display,
        is_volatile=volatile,
        is_generic=any(not parameter.is_concrete for parameter in parameters),
        is_hidden=hidden,
    )


def _variables(pattern: Pattern) -> set[str]:
    if pattern.variable is not None:
        return {pattern.variable}
    return {variable for element in pattern.elements for variable in _variables(element)}


# --------------------------------------------------------------------------------------------- binding


def _bind(pattern: Pattern, actual: TrinoType, bindings: Bindings, *, exact: bool) -> bool:
    variable = pattern.variable
    if variable is not None:
        bound = bindings.get(variable)
        if bound is None:
            bindings[variable] = actual
            return True
        if bound == actual:
            return True
        if exact:
            return False
        common = common_super_type(bound, actual)
        if common is None:
            return False
        bindings[variable] = common
        return True
    if actual.base == pattern.base:
        if pattern.numbers:
            if not _bind_numbers(pattern, actual, bindings, exact=exact):
                return False
        elif pattern.base == "varchar" and actual.length is not None and exact:
            return False
        elif pattern.base == "decimal" or not pattern.elements:
            return True
        if len(pattern.elements) != len(actual.elements):
            return pattern.base == "row" and not pattern.elements
        return all(
            _bind(part, element, bindings, exact=exact)
            for part, element in zip(pattern.elements, actual.elements, strict=True)
        )
    if exact:
        return False
    if actual.base == "unknown":
        return True
    if pattern.is_concrete:
        return can_coerce(actual, _substitute(pattern, bindings))
    return _bind_across(pattern, actual, bindings)


def _bind_numbers(pattern: Pattern, actual: TrinoType, bindings: Bindings, *, exact: bool) -> bool:
    numbers: tuple[int, ...] = actual.numbers
    if not numbers and actual.base == "varchar":
        numbers = (MAXIMUM_VARCHAR_LENGTH + 1,)
    for part, number in zip(pattern.numbers, numbers, strict=True):
        if isinstance(part, int):
            if part != number and exact:
                return False
            continue
        bound = bindings.get(part)
        if bound is None:
            bindings[part] = number
        elif bound != number:
            if exact:
                return False
            bindings[part] = max(bound, number)
    return True


def _bind_across(pattern: Pattern, actual: TrinoType, bindings: Bindings) -> bool:
    """Coercion to a parametric type: integer to decimal(p,s), date to timestamp(p), char(n) to varchar(x)."""
    if pattern.base == "decimal" and actual.is_integer:
        return _bind_numbers(pattern, decimal_of(actual), bindings, exact=False)
    if pattern.base == "varchar" and actual.base == "char":
        return _bind_numbers(pattern, varchar(actual.numbers[0]), bindings, exact=False)
    if pattern.base == "char" and actual.base == "varchar" and actual.length is not None:
        return False
    if pattern.base in ("timestamp", "timestamp with time zone") and actual.base == "date":
        return _bind_numbers(pattern, TrinoType(pattern.base, (0,)), bindings, exact=False)
    if pattern.base == "timestamp with time zone" and actual.base == "timestamp":
        return _bind_numbers(pattern, TrinoType(pattern.base, actual.numbers), bindings, exact=False)
    if pattern.base == "time with time zone" and actual.base == "time":
        return _bind_numbers(pattern, TrinoType(pattern.base, actual.numbers), bindings, exact=False)
    return False


def _substitute(pattern: Pattern, bindings: Bindings) -> TrinoType:
    if pattern.variable is not None:
        found = bindings.get(pattern.variable, UNKNOWN)
        assert isinstance(found, TrinoType)
        return found
    if pattern.base == "varchar":
        if not pattern.numbers:
            return VARCHAR
        length = pattern.numbers[0] if isinstance(pattern.numbers[0], int) else bindings.get(pattern.numbers[0])
        return varchar(length)
    if pattern.numbers:
        default = {"char": 1, "decimal": 0}.get(pattern.base, 0)
        numbers = [part if isinstance(part, int) else bindings.get(part, default) for part in pattern.numbers]
        if pattern.base == "decimal":
            return decimal_type(max(1, numbers[0]), numbers[1])
        if pattern.base == "char":
            return char(numbers[0])
        return TrinoType(pattern.base, tuple(numbers))
    if pattern.base in ("timestamp", "time", "timestamp with time zone", "time with time zone"):
        return TrinoType(pattern.base, (3,))
    elements = tuple(_substitute(element, bindings) for element in pattern.elements)
    return row(*elements) if pattern.base == "row" else TrinoType(pattern.base, (), elements)


@dataclass(frozen=True, slots=True)
class Match:
    function: Function
    parameters: tuple[Pattern, ...]
    types: tuple[TrinoType | None, ...]  # None where a lambda stands: its types follow from the bindings
    bindings: Bindings = field(compare=False)


#: An argument's type, or the number of parameters of a lambda.
ArgumentType = TrinoType | int


def _match(function: Function, arguments: tuple[ArgumentType, ...], *, exact: bool) -> Match | None:
    patterns = function.parameters
    if function.is_variadic:
        fixed = len(patterns) - 1
        if len(arguments) < fixed:
            return None
        patterns = patterns[:fixed] + (patterns[-1],) * (len(arguments) - fixed)
    elif len(patterns) != len(arguments):
        return None
    bindings: Bindings = {}
    for pattern, argument in zip(patterns, arguments, strict=True):
        if isinstance(argument, int):
            if pattern.base != "function" or len(pattern.elements) - 1 != argument:
                return None
        elif pattern.base == "function" or not _bind(pattern, argument, bindings, exact=exact):
            return None
    # a variable first met as unknown takes the type it met later: bind once more against what is known now
    types: list[TrinoType | None] = []
    for pattern, argument in zip(patterns, arguments, strict=True):
        if isinstance(argument, int):
            types.append(None)
            continue
        concrete = _substitute(pattern, bindings)
        if pattern.base == "decimal" and not pattern.numbers:
            concrete = argument if argument.base == "decimal" else decimal_of(argument)
        elif pattern.base == "row" and not pattern.elements:
            concrete = argument
        elif pattern.base in ("timestamp", "time", "timestamp with time zone") and not pattern.numbers:
            concrete = argument if argument.base == pattern.base else concrete
        if exact and concrete != argument and argument.base != "unknown":
            return None
        if not can_coerce(argument, concrete):
            return None
        types.append(concrete)
    for variable, constraint in function.constraints.items():
        bound = bindings.get(variable)
        if isinstance(bound, TrinoType):
            if constraint == "orderable" and not is_orderable(bound):
                return None
            if constraint == "comparable" and not is_comparable(bound):
                return None
    return Match(function, patterns, tuple(types), bindings)


def _is_more_specific(one: Match, other: Match) -> bool:
    """Whether `other` as declared would also take what `one` takes: Trino's rule of the most specific function."""
    arguments: list[ArgumentType] = [
        found if found is not None else len(pattern.elements) - 1
        for found, pattern in zip(one.types, one.parameters, strict=True)
    ]
    return _match(other.function, tuple(arguments), exact=False) is not None


_functions: dict[str, list[Function]] = {}
_specials: dict[str, Callable[[Analyser, tree.Call], Typed]] = {}
_macros: dict[str, str] = {}
_resolutions: dict[tuple[str, tuple[ArgumentType, ...]], Match] = {}
_loaded = False
_load_lock = threading.Lock()


def load() -> None:
    """Imports the families, once."""
    global _loaded
    if _loaded:
        return
    with _load_lock:
        if not _loaded:
            for family in FAMILIES:
                importlib.import_module(f"embedded.sql.functions.{family}")
            _loaded = True


def function_kind(name: str) -> str | None:
    """scalar, aggregate, window, special or None."""
    load()
    found = _functions.get(name)
    return found[0].kind if found else ("special" if name in _specials else None)


def special_form(name: str) -> Callable[[Analyser, tree.Call], Typed] | None:
    load()
    return _specials.get(name)


def names_by_kind() -> dict[str, set[str]]:
    """Names of all functions: scalar, aggregate, window, and special forms whose arguments are not plain values."""
    load()
    forms = set(_specials) - _refused
    names: dict[str, set[str]] = {"scalar": set(), "aggregate": set(), "window": set(), "special form": forms}
    for name, overloads in _functions.items():
        for function in overloads:
            names[function.kind].add(name)
    return names


def candidates(name: str) -> list[Function]:
    load()
    return _functions.get(name, [])


def resolve(name: str, arguments: tuple[ArgumentType, ...]) -> Match | str | None:
    """The function for these argument types: a Match, None when nothing fits, 'ambiguous' when several do."""
    cached = _resolutions.get((name, arguments))
    if cached is not None:
        return cached
    load()
    found = _resolve(_functions.get(name, []), arguments)
    if isinstance(found, Match):
        if len(_resolutions) > 20_000:
            _resolutions.clear()
        _resolutions[(name, arguments)] = found
    return found


def _resolve(functions: list[Function], arguments: tuple[ArgumentType, ...]) -> Match | str | None:
    for generic in (False, True):
        exact = [
            match
            for function in functions
            if function.is_generic == generic and (match := _match(function, arguments, exact=True)) is not None
        ]
        if exact:
            return exact[0] if len(exact) == 1 else _most_specific(exact, arguments)
    coerced = [match for function in functions if (match := _match(function, arguments, exact=False)) is not None]
    if not coerced:
        return None
    return _most_specific(coerced, arguments)


def _most_specific(matches: list[Match], arguments: tuple[ArgumentType, ...]) -> Match | str:
    if len(matches) == 1:
        return matches[0]
    best = [one for one in matches if all(other is one or _is_more_specific(one, other) for other in matches)]
    if best:
        return best[0]
    if any(argument == UNKNOWN for argument in arguments):
        plain = [one for one in matches if not one.function.is_generic]
        if len(plain) == 1:
            return plain[0]
        results = {str(result_type(match, match.bindings)) for match in matches}
        if len(results) == 1:
            return matches[0]
    return "ambiguous"


def result_type(match: Match, bindings: Bindings) -> TrinoType:
    function = match.function
    if function.result is not None:
        return function.result(bindings, tuple(t if t is not None else UNKNOWN for t in match.types))
    assert function.result_pattern is not None
    return _substitute(function.result_pattern, bindings)


def lambda_types(match: Match, index: int, bindings: Bindings) -> tuple[TrinoType, ...]:
    """The types of the parameters of the lambda at this argument."""
    return tuple(_substitute(element, bindings) for element in match.parameters[index].elements[:-1])


def argument_type(match: Match, index: int, bindings: Bindings) -> TrinoType:
    """The type an argument is coerced to; wider than at first where a lambda's answer widened a variable."""
    pattern, found = match.parameters[index], match.types[index]
    assert found is not None
    return _substitute(pattern, bindings) if _variables(pattern) else found


def bind_lambda_result(match: Match, index: int, body: TrinoType, bindings: Bindings) -> TrinoType | None:
    """Binds the lambda's result; returns the type the body has to be coerced to, None when it does not fit."""
    pattern = match.parameters[index].elements[-1]
    bound = bindings.get(pattern.variable) if pattern.variable is not None else None
    if bound is not None and body not in (bound, UNKNOWN):
        # Trino coerces arguments, not what a lambda answers; but it may widen the variable and try again
        wider = common_super_type(bound, body)
        if wider is None or wider == bound:
            return None
    if not _bind(pattern, body, bindings, exact=False):
        return None
    target = _substitute(pattern, bindings)
    return target if can_coerce(body, target) else None


# --------------------------------------------------------------------------------------------- registration

_PLACEHOLDER = re.compile(r"\{(\d+|\*|[A-Za-z][A-Za-z0-9]*)(\.type|\.body)?\}")


def _template(template: str) -> Emission:
    """SQL with {0}, {1} .. the arguments, {*} all of them, {0.type} an argument's DuckDB type, {result} and {E} too.

    An argument that stands twice in the template is bound first when it is long (see typed.once).
    """
    counts: dict[str, int] = {}
    for match in _PLACEHOLDER.finditer(template):
        if not match.group(2):
            counts[match.group(1)] = counts.get(match.group(1), 0) + 1
    repeated = [int(key) for key, count in counts.items() if count > 1 and key.isdigit()]

    def emit(call: Invocation) -> str:
        arguments = call.arguments
        is_bound = any(
            arguments[index].parameters is None
            and not arguments[index].is_simple
            and not is_repeatable(arguments[index].sql)
            for index in repeated
        )
        # once something is bound everything is: an aggregate or sub-query may not stand inside a lambda
        bound = [
            index
            for index, argument in enumerate(arguments)
            if is_bound and argument.parameters is None and not argument.is_simple
        ]

        def replace(match: re.Match[str]) -> str:
            key, suffix = match.group(1), match.group(2)
            if key == "*":
                return ", ".join(argument.sql for argument in arguments)
            if key == "result":
                return call.physical
            if not key.isdigit():
                variable = call.bindings[key]
                return physical_type(variable) if isinstance(variable, TrinoType) else str(variable)
            argument = arguments[int(key)]
            if suffix == ".type":
                return argument.physical
            if argument.parameters is not None:
                return argument.sql if suffix == ".body" else argument.lambda_sql
            return f"once_.a{key}" if int(key) in bound else argument.sql

        if "{*}" in template:
            bound = []
        sql = _PLACEHOLDER.sub(replace, template)
        if not bound:
            return sql
        fields = ", ".join(f"a{index} := {arguments[index].sql}" for index in bound)
        return f"(list_transform([struct_pack({fields})], lambda once_: {sql})[1])"

    return emit


def _register(function: Function) -> None:
    _functions.setdefault(function.name, []).append(function)


def _emission(emission: str | Emission) -> Emission:
    return _template(emission) if isinstance(emission, str) else emission


def scalar(
    signature: str,
    emission: str | Emission,
    *,
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None = None,
    volatile: bool = False,
    hidden: bool = False,
) -> None:
    """Registers a scalar function (or an operator: names such as `+`)."""
    _register(_function(signature, "scalar", _emission(emission), result=result, volatile=volatile, hidden=hidden))


def aggregate(
    signature: str,
    emission: str | Emission,
    *,
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None = None,
) -> None:
    """Registers an aggregate. A template is `duckdb_function({0}, {1})` or `CAST(@duckdb_function({0}) AS {result})`:

    the call after `@` (or the whole template) gets DISTINCT, ORDER BY, FILTER and OVER.
    """
    emit = _aggregate_template(emission) if isinstance(emission, str) else emission
    _register(_function(signature, "aggregate", emit, result=result))


def window(signature: str, emission: str | Emission) -> None:
    """Registers a function that needs OVER. Template as for aggregates."""
    emit = _aggregate_template(emission) if isinstance(emission, str) else emission
    _register(_function(signature, "window", emit))


def _aggregate_template(template: str) -> Emission:
    marked = template if "@" in template else "@" + template
    start = marked.index("@")
    opening = marked.index("(", start)
    depth = 0
    for end in range(opening, len(marked)):
        depth += (marked[end] == "(") - (marked[end] == ")")
        if depth == 0:
            break
    name = marked[start + 1 : opening]
    inner = [_template(part) for part in _split_parameters(marked[opening + 1 : end])]
    before, after = marked[:start], marked[end + 1 :]
    around = _template(before + "{result}" + after) if "{" in before + after else None

    def emit(call: Invocation) -> str:
        sql = call.aggregate(name, *(part(call) for part in inner))
        if around is None:
            return before + sql + after
        marker = "\x00"
        return _template(before + marker + after)(call).replace(marker, sql)

    return emit


def emits(
    *signatures: str,
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None = None,
    kind: str = "scalar",
    volatile: bool = False,
) -> Callable[[Emission], Emission]:
    """Registers the decorated callable (Invocation) -> SQL under each signature."""

    def register(emit: Emission) -> Emission:
        for signature in signatures:
            _register(_function(signature, kind, emit, result=result, volatile=volatile))
        return emit

    return register


def special(*names: str) -> Callable[[Callable[[Analyser, tree.Call], Typed]], Callable[[Analyser, tree.Call], Typed]]:
    """Registers (analyser, call node) -> Typed for a call whose arguments are not plain values (IF, json_value)."""

    def register(form: Callable[[Analyser, tree.Call], Typed]) -> Callable[[Analyser, tree.Call], Typed]:
        for name in names:
            _specials[name] = form
        return form

    return register


_refused: set[str] = set()


def refuse(*names: str) -> None:
    """Functions that Trino has and this engine has not: NOT_SUPPORTED by name instead of an unknown function."""

    def refused(analyser: Analyser, node: tree.Call) -> Typed:
        message = f"Function '{node.name}' is not supported by the embedded engine"
        raise analyser.error("NOT_SUPPORTED", message, node)

    _refused.update(names)
    special(*names)(refused)


CastRule = Callable[["Analyser", Typed, TrinoType], str | None]  # None: no such cast
_cast_rules: dict[tuple[str, str], CastRule] = {}


def cast(*pairs: tuple[str, str]) -> Callable[[CastRule], CastRule]:
    """Registers (analyser, value, target type) -> SQL for CAST between these base types: @cast(("varchar", "date")).

    The value is never of the target type already, nor implicitly coercible. TRY_CAST wraps the SQL in TRY.
    """

    def register(rule: CastRule) -> CastRule:
        for pair in pairs:
            _cast_rules[pair] = rule
        return rule

    return register


def cast_rule(source: str, target: str) -> CastRule | None:
    load()
    return _cast_rules.get((source, target))


def alias(name: str, existing: str) -> None:
    """Another Trino name for functions registered so far."""
    import dataclasses

    for function in _functions[existing]:
        display = name + function.display[len(existing) :]
        _register(dataclasses.replace(function, name=name, display=display))


def macro(head: str, body: str) -> None:
    """A DuckDB macro, created by `install`: macro("trino_pad(text, size)", "rpad(text, size, ' ')")."""
    name = head.partition("(")[0]
    if not name.startswith("trino_"):
        raise ValueError(f"macros are called trino_*: {name}")
    _macros[name] = f"CREATE OR REPLACE TEMP MACRO {head} AS {body}".replace("TEMP ", "")


# --------------------------------------------------------------------------------------------- Python functions


@dataclass(frozen=True, slots=True)
class PythonFunction:
    name: str
    function: Callable[..., object]
    argument_types: tuple[str, ...]
    result_type: str
    null_call: bool
    volatile: bool
    arrow: bool


_python_functions: dict[str, PythonFunction] = {}


def python_call(
    analyser: Analyser,
    function: Callable[..., object],
    arguments: list[Typed],
    result: TrinoType,
    *,
    null_call: bool = False,
    volatile: bool = False,
    arrow: bool = False,
    key: str = "",
) -> str:
    """SQL that calls a Python function on these arguments. `key` tells apart closures of one function.

    The function gets DuckDB's Python values of the physical types and raises TrinoError. Without null_call a NULL
    argument answers NULL without a call; with it None is handed in (and may come back).
    """
    types = tuple(argument.physical for argument in arguments)
    physical = physical_type(result)
    identity = "|".join((function.__module__, function.__qualname__, key, *types, physical))
    digest = hashlib.blake2s(identity.encode(), digest_size=6).hexdigest()
    name = f"py_{re.sub('[^a-z0-9_]', '_', function.__name__.lower())}_{digest}"
    if name not in _python_functions:
        _python_functions[name] = PythonFunction(name, function, types, physical, null_call, volatile, arrow)
    analyser.functions.add(name)
    call = f"{name}({', '.join(argument.sql for argument in arguments)})"
    if arrow:
        return call
    return f"CAST({call} AS {physical})" if _holds_floats(physical) else _owned(call, types, physical)


def physical_python_call(
    analyser: Analyser,
    function: Callable[..., object],
    arguments: Sequence[str],
    types: tuple[str, ...],
    physical: str,
) -> str:
    """As python_call, over SQL arguments of these DuckDB types: for values that are not of one Trino type."""
    identity = "|".join((function.__module__, function.__qualname__, *types, physical))
    digest = hashlib.blake2s(identity.encode(), digest_size=6).hexdigest()
    name = f"py_{function.__name__.lower()}_{digest}"
    if name not in _python_functions:
        _python_functions[name] = PythonFunction(name, function, types, physical, False, False, False)
    analyser.functions.add(name)
    call = f"{name}({', '.join(arguments)})"
    return f"CAST({call} AS {physical})" if _holds_floats(physical) else _owned(call, types, physical)


def python(
    *signatures: str,
    null_call: bool = False,
    volatile: bool = False,
    arrow: bool = False,
    result: Callable[[Bindings, tuple[TrinoType, ...]], TrinoType] | None = None,
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Registers the decorated Python function under each signature."""

    def register(function: Callable[..., object]) -> Callable[..., object]:
        def emit(call: Invocation) -> str:
            return python_call(
                call.analyser,
                function,
                call.arguments,
                call.result,
                null_call=null_call,
                volatile=volatile,
                arrow=arrow,
            )

        for signature in signatures:
            _register(_function(signature, "scalar", emit, result=result, volatile=volatile))
        return function

    return register


def raise_error(text: str) -> str:
    """`trino_error('NAME: message')` in SQL: the one way for emitted SQL to fail. Never answers."""
    name, _, message = text.partition(": ")
    raise TrinoError(name, message)


_FIXED_PYTHON_FUNCTIONS: dict[str, tuple[Callable[..., object], list[str], str]] = {
    "trino_error": (raise_error, ["VARCHAR"], "VARCHAR"),
}


def sql_function(name: str, arguments: list[str], result: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a Python function under a fixed DuckDB name (`trino_*`), for macros and templates to call.

    NULL in, NULL out; argument and result types are DuckDB type texts.
    """
    if not name.startswith("trino_"):
        raise ValueError(f"SQL functions are called trino_*: {name}")

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _FIXED_PYTHON_FUNCTIONS[name] = (function, arguments, result)
        return function

    return register


def error_sql(name: str, message_sql: str, physical: str) -> str:
    """SQL that fails with this Trino error; `message_sql` is a DuckDB expression. Typed as `physical`."""
    return f"CAST(trino_error({_prefixed(name, message_sql)}) AS {physical})"


def _prefixed(name: str, message_sql: str) -> str:
    if message_sql.startswith("'"):
        return f"'{name}: {message_sql[1:]}"
    return f"'{name}: ' || {message_sql}"


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates macros and the fixed Python functions on a DuckDB instance."""
    load()
    pending = dict(_macros)
    for name, (function, arguments, result) in _FIXED_PYTHON_FUNCTIONS.items():
        parameters = ", ".join(f"a{index}" for index in range(len(arguments)))
        if _holds_floats(result):
            inner, body = f"{name}_text", f"CAST({name}_text({parameters}) AS {result})"
        else:
            inner, body = f"{name}_column", _owned(f"{name}_column({parameters})", arguments, result)
            if body == f"{inner}({parameters})":
                inner, body = name, ""
        _create(connection, PythonFunction(inner, function, tuple(arguments), result, False, False, False))
        if not body:
            continue
        pending[name] = f"CREATE OR REPLACE MACRO {name}({parameters}) AS {body}"
    while pending:
        # a macro may call another that is not created yet: go round until all are there
        postponed: dict[str, str] = {}
        for name, sql in pending.items():
            try:
                connection.execute(sql)
            except Exception:
                postponed[name] = sql
        if len(postponed) == len(pending):
            connection.execute(next(iter(postponed.values())))
        pending = postponed


_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
_FLOAT = re.compile(r"\b(?:DOUBLE|FLOAT)\b")


def _holds_floats(physical: str) -> bool:
    """Whether answers can hold NaN, which DuckDB reads as NULL in the answer of a native Python function.

    Such a function answers its floats as text (exact: repr), and its caller casts.
    """
    return _FLOAT.search(physical) is not None


def _floats_as_text(value: object) -> object:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return [_floats_as_text(part) for part in value]
    if isinstance(value, tuple):
        return tuple(_floats_as_text(part) for part in value)
    if isinstance(value, dict):
        return {_floats_as_text(key): _floats_as_text(part) for key, part in value.items()}
    return value


#: Python's own context keeps 28 digits, and each thread of DuckDB starts with it; Trino's decimals have 38.
_WIDE = decimal.Context(prec=800)


def _adapted(function: PythonFunction) -> Callable[..., object]:
    """The function as DuckDB calls it: any number of arguments, NULL in - NULL out unless `null_call`, NaN kept.

    DuckDB's own NULL convention would refuse None as an answer.
    """
    call, null_call, has_floats = function.function, function.null_call, _holds_floats(function.result_type)

    def answer(*arguments: object) -> object:
        if not null_call and None in arguments:
            return None
        with decimal.localcontext(_WIDE):
            found = call(*arguments)
        return _floats_as_text(found) if has_floats else found

    # DuckDB counts the parameters of the signature
    places = [inspect.Parameter(f"a{index}", _POSITIONAL) for index in range(len(function.argument_types))]
    answer.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]  # functions take attributes
    return answer


_PLAIN_TYPE = r"(?:VARCHAR|BLOB|BOOLEAN|TINYINT|SMALLINT|INTEGER|BIGINT|DOUBLE|FLOAT)"
_NUMBER_TYPE = r"(?:BOOLEAN|TINYINT|SMALLINT|INTEGER|BIGINT)"
_PLAIN_ARGUMENT = re.compile(rf"{_PLAIN_TYPE}(?:\[\])?")
_NUMBERS_RESULT = rf"STRUCT\(\w+ {_NUMBER_TYPE}(?:, \w+ {_NUMBER_TYPE})*\)"
_PLAIN_RESULT = re.compile(rf"VARCHAR|BLOB|DOUBLE|FLOAT|{_NUMBER_TYPE}|{_NUMBERS_RESULT}")


def _is_batched(arguments: Sequence[str], result: str) -> bool:
    """Whether values can travel by Arrow: the same Python values, at a hundredth of a native call's cost.

    Texts inside nested answers cannot: DuckDB forgets who owns them.
    """
    return (
        bool(arguments)
        and all(_PLAIN_ARGUMENT.fullmatch(argument) for argument in arguments)
        and _PLAIN_RESULT.fullmatch(result) is not None
    )


def _owned(call: str, arguments: Sequence[str], result: str) -> str:
    """The call with its text copied into DuckDB's own memory: COALESCE and others outlive an Arrow answer."""
    if not _is_batched(arguments, result):
        return call
    copy = {"VARCHAR": f"{call} || ''", "BLOB": f"{call} || CAST('' AS BLOB)"}.get(result)
    return call if copy is None else f"CAST({copy} AS {result})"


def _batched(answer: Callable[..., object], result_type: str, arity: int) -> Callable[..., object]:
    """`answer`, a function of one row, over Arrow columns."""
    import pyarrow  # slow to import, and most queries need no Python

    arrow_type: Any = _arrow_type(result_type)

    def answers(*columns: Any) -> object:
        with decimal.localcontext(_WIDE):
            found = [answer(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
        return pyarrow.array(found, type=arrow_type)

    places = [inspect.Parameter(f"a{index}", _POSITIONAL) for index in range(arity)]
    answers.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]  # functions take attributes
    return answers


@functools.cache
def _arrow_type(physical: str) -> object:
    import duckdb

    with duckdb.connect() as connection:
        return connection.execute(f"SELECT CAST(NULL AS {physical}) AS value").to_arrow_table().schema.field(0).type


def _create(connection: duckdb.DuckDBPyConnection, function: PythonFunction) -> None:
    import duckdb

    call, result_type = function.function, function.result_type
    is_arrow = function.arrow
    if not is_arrow:
        call = _adapted(function)
        result_type = _FLOAT.sub("VARCHAR", result_type)
        if _is_batched(function.argument_types, function.result_type):
            call, is_arrow = _batched(call, result_type, len(function.argument_types)), True
    try:
        # duckdb's stub does not know that it takes names and type texts
        create_function: Any = connection.create_function
        create_function(
            function.name,
            call,
            list(function.argument_types),
            result_type,
            type="arrow" if is_arrow else "native",
            null_handling="special" if function.null_call or not function.arrow else "default",
            side_effects=function.volatile,
        )
    except (duckdb.CatalogException, duckdb.NotImplementedException) as error:
        if "already" not in str(error):
            raise


def prepare(connection: duckdb.DuckDBPyConnection, names: frozenset[str]) -> None:
    """Registers Python functions a translation names, unless this instance has them."""
    for name in names:
        _create(connection, _python_functions[name])


__all__ = [
    "Bindings",
    "Function",
    "Invocation",
    "Modifiers",
    "aggregate",
    "alias",
    "emits",
    "error_sql",
    "install",
    "macro",
    "once",
    "prepare",
    "python",
    "python_call",
    "refuse",
    "resolve",
    "scalar",
    "special",
    "sql_function",
    "window",
]

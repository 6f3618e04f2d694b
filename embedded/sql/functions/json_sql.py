"""The SQL/JSON functions: json_exists, json_value, json_query, json_array, json_object.

The path is parsed with the query; each row's text is read and the path evaluated in Python (embedded.sql.json_path).
Values travel as texts beside their SQL types, which are known beforehand. What a clause (ON EMPTY, ON ERROR) answers is
decided where the path is evaluated; only a DEFAULT, which is an SQL expression, is left to SQL.

Rules: Trino's documentation of JSON functions, JsonExistsFunction, JsonValueFunction, JsonQueryFunction,
JsonArrayFunction, JsonObjectFunction and ExpressionAnalyzer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from embedded.sql import tree
from embedded.sql.errors import TrinoError
from embedded.sql.functions.json_cast import Refused, converter, scientific
from embedded.sql.functions.registry import python_call, scalar, special, sql_function
from embedded.sql.json_path import NO_ITEM, Item, JsonPath, PathError, PathSyntaxError, Scalar, document, parse_path
from embedded.sql.json_text import (
    FractionNumber,
    MalformedJson,
    WholeNumber,
    encodable,
    java_double_text,
    json_string,
    root_value,
)
from embedded.sql.physical import physical_type
from embedded.sql.typed import Typed, tried
from embedded.sql.types import BOOLEAN, VARBINARY, VARCHAR, TrinoType, parse_type, row

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_JSON_FUNCTIONS = frozenset({"json_query", "json_array", "json_object"})
_DATE_AND_TIME = frozenset({"date", "time", "time with time zone", "timestamp", "timestamp with time zone"})
_OUTCOME = row(VARCHAR, VARCHAR)


@dataclass(frozen=True, slots=True)
class _Argument:
    """A value on its way to Python: its text in SQL, and its type; None for JSON to be parsed."""

    sql: Typed
    type: TrinoType | None


def _json_argument(analyser: Analyser, node: tree.Expression, encoding: str) -> Typed:
    """A text or binary value to be read as JSON, as its text."""
    value = analyser.expression(node)
    if value.type.is_character or value.type.base == "unknown":
        if encoding == "JSON":
            return _as_text(analyser, value)
    elif value.type == VARBINARY:
        return Typed(f"trino_json_bytes({value.sql}, '{encoding}')", VARCHAR)
    format_name = "JSON" if encoding == "JSON" else f"JSON ENCODING {encoding}"
    raise analyser.error(
        "TYPE_MISMATCH", f"Cannot read input of type {value.type} as JSON using formatting {format_name}", node
    )


def _as_text(analyser: Analyser, value: Typed) -> Typed:
    from embedded.sql.functions.conversion import cast_sql

    sql = cast_sql(analyser, value, VARCHAR)
    assert sql is not None
    return Typed(sql, VARCHAR)


_ENCODINGS = {"JSON": "utf-8", "UTF8": "utf-8", "UTF16": "utf-16-le", "UTF32": "utf-32-le"}


@sql_function("trino_json_bytes", ["BLOB", "VARCHAR"], "VARCHAR")
def json_bytes(text: bytes, encoding: str) -> str:
    return text.decode(_ENCODINGS[encoding], "replace")


@sql_function("trino_json_encoded", ["VARCHAR", "VARCHAR"], "BLOB")
def json_encoded(text: str, encoding: str) -> bytes:
    return text.encode(_ENCODINGS[encoding])


def _argument(analyser: Analyser, node: tree.Expression, has_format: bool, dates: bool, purpose: str) -> _Argument:
    """`dates`: whether dates and times keep their type; else they become texts."""
    if has_format or (isinstance(node, tree.Call) and node.name in _JSON_FUNCTIONS):
        return _Argument(_json_argument(analyser, node, "JSON"), None)
    from embedded.sql.functions.conversion import cast_sql
    from embedded.sql.text import text_expression

    value = analyser.expression(node)
    base = value.type.base
    if value.type.is_numeric or base == "boolean" or (dates and base in _DATE_AND_TIME):
        return _Argument(Typed(text_expression(value.sql, value.type), VARCHAR), value.type)
    if value.type.is_character or base == "unknown":
        return _Argument(_as_text(analyser, value), VARCHAR)
    sql = cast_sql(analyser, value, VARCHAR)
    if sql is None:
        raise analyser.error("NOT_SUPPORTED", f"Unsupported type of {purpose}: {value.type}", node)
    return _Argument(Typed(sql, VARCHAR), VARCHAR)


def _scalar(text: str, trino_type: TrinoType) -> Scalar:
    """The value a text was made of."""
    if trino_type.is_integer:
        return Scalar(trino_type, int(text))
    if trino_type.base == "decimal":
        return Scalar(trino_type, Decimal(text))
    if trino_type.is_floating:
        return Scalar(trino_type, float(text))
    return Scalar(trino_type, text == "true" if trino_type.base == "boolean" else text)


# --------------------------------------------------------------------------------------------- texts of items


class _NoJson(Exception):
    """A value that JSON has no form for: a date, a time."""


def _item_text(item: Item) -> str:
    if isinstance(item, dict):
        return "{" + ",".join(f"{json_string(key)}:{_item_text(member)}" for key, member in item.items()) + "}"
    if isinstance(item, list):
        return "[" + ",".join(map(_item_text, item)) + "]"
    if not isinstance(item, Scalar):
        return "null"
    value = item.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = _float_text(item)
        return text if value - value == 0 else f'"{text}"'
    if isinstance(value, Decimal):
        return str(value).replace("E+", "E") if value.adjusted() < -6 else format(value, "f")
    if isinstance(value, int):
        return str(value)
    if not item.type.is_character:
        raise _NoJson(str(item.type))
    return json_string(str(value))


def _float_text(item: Scalar) -> str:
    from embedded.sql.functions.conversion import real_digits

    value = item.value
    assert isinstance(value, float)
    if item.type.base == "real" and value - value == 0 and value != 0:
        return java_double_text(float(real_digits(value)))
    return java_double_text(value)


# --------------------------------------------------------------------------------------------- path and parameters


@dataclass(frozen=True, slots=True)
class _Invocation:
    """A path with the names and types of its parameters."""

    function: str
    path: JsonPath
    path_text: str
    names: tuple[str, ...]
    types: tuple[TrinoType | None, ...]

    @property
    def parts(self) -> tuple[object, ...]:
        return self.path_text, *self.names, *self.types

    def items(self, text: str, values: Sequence[str | None]) -> list[Item]:
        """Raises TrinoError JSON_INPUT_CONVERSION_ERROR or PATH_EVALUATION_ERROR."""
        root = _parsed(text, f"malformed input argument to {self.function} function")
        parameters = {
            name: self._parameter(value, trino_type)
            for name, value, trino_type in zip(self.names, values, self.types, strict=True)
        }
        try:
            return self.path.evaluate(root, parameters)
        except PathError as error:
            raise TrinoError("PATH_EVALUATION_ERROR", f"path evaluation failed: {error}") from None

    def _parameter(self, value: str | None, trino_type: TrinoType | None) -> Item:
        if trino_type is not None:
            return None if value is None else _scalar(value, trino_type)
        if value is None:
            return NO_ITEM
        return _parsed(value, f"malformed JSON path parameter to {self.function} function")


def _parsed(text: str, message: str) -> Item:
    try:
        return document(root_value(text))
    except MalformedJson:
        raise TrinoError("JSON_INPUT_CONVERSION_ERROR", f"conversion to JSON failed: {message}") from None


def _invocation(analyser: Analyser, node: tree.Call, clauses: dict[str, object]) -> tuple[_Invocation, list[Typed]]:
    name = node.name.upper()
    arguments = [_json_argument(analyser, node.arguments[0], str(clauses.get("input_format", "JSON")))]
    passed: dict[str, TrinoType | None] = {}
    passing = clauses.get("passing", [])
    assert isinstance(passing, list)
    for parameter_name, expression, has_format in passing:
        if parameter_name in passed:
            message = f"{parameter_name} JSON path parameter is specified more than once"
            raise analyser.error("DUPLICATE_PARAMETER_NAME", message, expression)
        argument = _argument(analyser, expression, has_format, True, "JSON path parameter")
        passed[parameter_name] = argument.type
        arguments.append(argument.sql)
    path_node = node.arguments[1]
    path = _path(analyser, path_node, passed)
    path_text = str(analyser.expression(path_node).literal)
    return _Invocation(name, path, path_text, tuple(passed), tuple(passed.values())), arguments


def _path(analyser: Analyser, node: tree.Expression, passed: dict[str, TrinoType | None]) -> JsonPath:
    value = analyser.expression(node).literal
    assert isinstance(value, str)
    try:
        path = parse_path(value)
    except PathSyntaxError as error:
        raise analyser.error_at("SYNTAX_ERROR", error.message, node.position + 1 + error.at) from None
    except TrinoError as error:
        raise analyser.error(error.name, error.message, node) from None
    for name in sorted(path.names):
        if name not in passed:
            message = f"no value passed for parameter {name}"
            if any(other.lower() == name.lower() for other in passed):
                message += f'. Try quoting "{name}" in the PASSING clause to match case'
            raise analyser.error("INVALID_PATH", message, node)
    return path


def _call(
    analyser: Analyser,
    function: Callable[..., object],
    arguments: list[Typed],
    result: TrinoType,
    told_apart_by: Sequence[object],
) -> str:
    """A call of a closure; `told_apart_by` is all that it closes over, so that equal closures are registered once."""
    key = repr([str(part) for part in told_apart_by])
    return python_call(analyser, function, arguments, result, null_call=True, key=key)


def _behaviour(clause: object) -> str:
    """A clause ON EMPTY or ON ERROR: NULL, ERROR, ...; DEFAULT whatever the expression is."""
    return clause if isinstance(clause, str) else "DEFAULT"


def _clauses(node: tree.Call) -> dict[str, object]:
    return node.named_arguments or {}


# --------------------------------------------------------------------------------------------- json_exists


@special("json_exists")
def json_exists(analyser: Analyser, node: tree.Call) -> Typed:
    clauses = _clauses(node)
    invocation, arguments = _invocation(analyser, node, clauses)
    on_error = clauses.get("on_error", "FALSE")

    def exists(text: str | None, *values: str | None) -> bool | None:
        if text is None:
            return None
        try:
            return bool(invocation.items(text, values))
        except TrinoError:
            if on_error == "ERROR":
                raise
            return {"TRUE": True, "FALSE": False}.get(str(on_error))

    return Typed(_call(analyser, exists, arguments, BOOLEAN, [*invocation.parts, on_error]), BOOLEAN)


# --------------------------------------------------------------------------------------------- json_value


def _returned_type(node: tree.Call) -> TrinoType:
    returning = _clauses(node).get("returning")
    return parse_type(returning.text) if isinstance(returning, tree.TypeName) else VARCHAR


@special("json_value")
def json_value(analyser: Analyser, node: tree.Call) -> Typed:
    clauses = _clauses(node)
    returned = _returned_type(node)
    if not (
        returned.is_character or returned.is_numeric or returned.base == "boolean" or returned.base in _DATE_AND_TIME
    ):
        raise analyser.error("TYPE_MISMATCH", f"Invalid return type of function JSON_VALUE: {returned}", node)
    invocation, arguments = _invocation(analyser, node, clauses)
    on_empty, on_error = clauses.get("on_empty", "NULL"), clauses.get("on_error", "NULL")

    def outcome(text: str | None, *values: str | None) -> tuple[str, str | None]:
        """('value', text), ('null', None), and for a DEFAULT to follow ('empty', None) or ('error', None)."""
        if text is None:
            return "null", None
        try:
            items = invocation.items(text, values)
            if items:
                return _sql_value(items, returned)
        except TrinoError as error:
            if on_error == "ERROR" or error.name == "NOT_SUPPORTED":
                raise
            return ("null" if on_error == "NULL" else "error"), None
        if on_empty == "ERROR":
            raise _value_error("JSON path found no items")
        return ("null" if on_empty == "NULL" else "empty"), None

    def outcome_row(text: str | None, *values: str | None) -> dict[str, str | None]:
        state, value = outcome(text, *values)
        return {"f0": state, "f1": value}

    def plain(text: str | None, *values: str | None) -> str | None:
        return outcome(text, *values)[1]

    told_apart_by = [*invocation.parts, returned, _behaviour(on_empty), _behaviour(on_error)]
    defaults = [clause for clause in (on_empty, on_error) if isinstance(clause, tree.Node)]
    if not defaults:
        value = _call(analyser, plain, arguments, VARCHAR, told_apart_by)
        return Typed(_sql_of_text(analyser, value, returned, on_error == "ERROR"), returned)
    name = f"jv{node.position}_"
    cases = f"WHEN 'value' THEN {_sql_of_text(analyser, f'{name}.f1', returned, on_error == 'ERROR')}"
    for state, clause in (("empty", on_empty), ("error", on_error)):
        if isinstance(clause, tree.Node):
            default = _default(analyser, clause, returned, "EMPTY" if state == "empty" else "ERROR")
            cases += f" WHEN '{state}' THEN {default}"
    bound = _call(analyser, outcome_row, arguments, _OUTCOME, told_apart_by)
    return Typed(f"(list_transform([{bound}], lambda {name}: CASE {name}.f0 {cases} END)[1])", returned)


def _default(analyser: Analyser, node: tree.Node, returned: TrinoType, event: str) -> str:
    from embedded.sql.types import can_coerce

    assert isinstance(node, tree.Expression)
    value = analyser.expression(node)
    if not can_coerce(value.type, returned) and not (value.type.is_character and returned.is_character):
        message = f"Function JSON_VALUE default ON {event} result must evaluate to a {returned} (actual: {value.type})"
        raise analyser.error("TYPE_MISMATCH", message, node)
    from embedded.sql.functions.conversion import cast_sql

    sql = cast_sql(analyser, value, returned)
    assert sql is not None
    return sql


def _sql_of_text(analyser: Analyser, text: str, returned: TrinoType, fails: bool) -> str:
    """SQL of the value whose text Python answered. Of dates and times the text is as it stands in the JSON."""
    if returned.base not in _DATE_AND_TIME:
        return text if physical_type(returned) == "VARCHAR" else f"CAST({text} AS {physical_type(returned)})"
    from embedded.sql.functions.conversion import cast_sql

    sql = cast_sql(analyser, Typed(text, VARCHAR), returned)
    if sql is None:
        raise TrinoError("NOT_SUPPORTED", f"JSON_VALUE RETURNING {returned} is not supported by the embedded engine")
    return sql if fails else tried(sql, returned)


def _value_error(reason: str) -> TrinoError:
    return TrinoError("JSON_VALUE_RESULT_ERROR", f"cannot extract SQL scalar from JSON: {reason}")


def _sql_value(items: list[Item], returned: TrinoType) -> tuple[str, str | None]:
    if len(items) > 1:
        raise _value_error("JSON path found multiple items")
    item = items[0]
    if item is None:
        return "null", None
    if not isinstance(item, Scalar) or (item.is_json and item.type.base == "bigint" and not _is_bigint(item)):
        raise _value_error("JSON path found an item that cannot be converted to an SQL value")
    try:
        return "value", _cast_text(item, returned)
    except (TrinoError, Refused) as error:
        if isinstance(error, TrinoError) and error.name == "NOT_SUPPORTED":
            raise
        message = f"Cannot cast value of type {item.type} to declared return type of function JSON_VALUE: {returned}"
        raise _value_error(message) from None


def _is_bigint(item: Scalar) -> bool:
    return isinstance(item.value, int) and -(2**63) <= item.value < 2**63


def _cast_text(item: Scalar, target: TrinoType) -> str:
    """The text of CAST(item AS target), in a form that DuckDB casts from. Raises Refused or TrinoError."""
    source, value = item.type, item.value
    if target.is_character:
        return _character_text(item, target)
    if source.base in _DATE_AND_TIME:
        if source.base == target.base:
            return str(value)
        raise TrinoError("NOT_SUPPORTED", f"JSON_VALUE of {source} RETURNING {target} is not supported")
    if target.base in _DATE_AND_TIME:
        if not source.is_character:
            raise Refused
        return str(value)
    found = converter(target)(_token(item, target))
    return (
        str(found).lower()
        if isinstance(found, bool)
        else format(found, "f")
        if isinstance(found, Decimal)
        else str(found)
    )


def _token(item: Scalar, target: TrinoType) -> object:
    """The value as the casts from JSON take it, which are those from the SQL types."""
    value = item.value
    if isinstance(value, bool) or item.type.is_character:
        return value
    if isinstance(value, Decimal):
        if target.is_integer:
            return WholeNumber(int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP)))
        return FractionNumber(format(value, "f"))
    return WholeNumber(value) if isinstance(value, int) else FractionNumber(_float_text(item))


def _character_text(item: Scalar, target: TrinoType) -> str:
    value = item.value
    if item.type.is_character:
        text = encodable(str(value))
        if target.base == "char":
            return text[: target.numbers[0]].rstrip(" ")
        return text if target.length is None else text[: target.length]
    if target.base == "char":
        raise Refused
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = scientific(float(_float_text(item)))
    else:
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if target.length is not None and len(text) > target.length:
        raise Refused
    return text


# --------------------------------------------------------------------------------------------- json_query


@special("json_query")
def json_query(analyser: Analyser, node: tree.Call) -> Typed:
    clauses = _clauses(node)
    wrapper, quotes = clauses.get("wrapper", "WITHOUT"), clauses.get("quotes")
    if wrapper != "WITHOUT" and quotes is not None:
        message = f"{quotes} QUOTES behavior specified with WITH {wrapper} ARRAY WRAPPER behavior"
        raise analyser.error("INVALID_FUNCTION_ARGUMENT", message, node)
    invocation, arguments = _invocation(analyser, node, clauses)
    on_empty, on_error = str(clauses.get("on_empty", "NULL")), str(clauses.get("on_error", "NULL"))

    def query(text: str | None, *values: str | None) -> str | None:
        if text is None:
            return None
        try:
            items = invocation.items(text, values)
            if items:
                return _query_text(items, str(wrapper), quotes == "OMIT")
        except TrinoError as error:
            return _instead(on_error, error)
        return _instead(on_empty, _output_error("JSON path found no items"))

    told_apart_by = [*invocation.parts, wrapper, quotes, on_empty, on_error]
    return _output(analyser, node, _call(analyser, query, arguments, VARCHAR, told_apart_by))


def _output_error(reason: str) -> TrinoError:
    return TrinoError("JSON_OUTPUT_CONVERSION_ERROR", f"conversion from JSON failed: {reason}")


def _instead(behaviour: str, error: TrinoError) -> str | None:
    if behaviour == "ERROR":
        raise error
    return {"EMPTY ARRAY": "[]", "EMPTY OBJECT": "{}"}.get(behaviour)


def _query_text(items: list[Item], wrapper: str, omits_quotes: bool) -> str:
    is_container = len(items) == 1 and isinstance(items[0], list | dict)
    if wrapper == "UNCONDITIONAL" or (wrapper == "CONDITIONAL" and not is_container):
        items = [items]
    try:
        texts = [_item_text(item) for item in items]
    except _NoJson as refusal:
        message = f"JSON path returned a scalar SQL value of type {refusal} that cannot be represented as JSON"
        raise _output_error(message) from None
    except MalformedJson as error:
        raise _output_error(str(error)) from None
    if len(items) > 1:
        raise _output_error("JSON path found multiple items")
    item = items[0]
    if omits_quotes and isinstance(item, Scalar) and item.type.is_character:
        return encodable(str(item.value))
    return texts[0]


def _output(analyser: Analyser, node: tree.Call, text: str) -> Typed:
    """The JSON text as the type that RETURNING names."""
    from embedded.sql.functions.conversion import cast_sql

    returned = _returned_type(node)
    encoding = str(_clauses(node).get("returning_format", "JSON"))
    if returned == VARBINARY:
        return Typed(f"trino_json_encoded({text}, '{encoding}')", VARBINARY)
    if not returned.is_character:
        raise analyser.error("TYPE_MISMATCH", f"Cannot output JSON value as {returned} using formatting JSON", node)
    if encoding != "JSON":
        message = f"Cannot output JSON value as {returned} using formatting JSON ENCODING {encoding}"
        raise analyser.error("TYPE_MISMATCH", message, node)
    sql = cast_sql(analyser, Typed(text, VARCHAR), returned)
    assert sql is not None
    return Typed(sql, returned)


# --------------------------------------------------------------------------------------------- json_array, json_object


def _constructed(value: str | None, trino_type: TrinoType | None, function: str) -> str:
    """The JSON text of a value handed to a constructor."""
    if value is None:
        return "null"
    if trino_type is None:
        return _item_text(_parsed(value, f"malformed input argument to {function} function"))
    return _item_text(_scalar(value, trino_type))


def _values(analyser: Analyser, nodes: Sequence[tree.Expression], node: tree.Call) -> list[_Argument]:
    formats = _clauses(node).get("formats", [])
    assert isinstance(formats, list)
    purpose = f"value passed to {node.name.upper()} function"
    return [
        _argument(analyser, value, has_format, False, purpose) for value, has_format in zip(nodes, formats, strict=True)
    ]


@special("json_array")
def json_array(analyser: Analyser, node: tree.Call) -> Typed:
    arguments = _values(analyser, node.arguments, node)
    types = [argument.type for argument in arguments]
    keeps_nulls = _clauses(node).get("nulls", "ABSENT") == "NULL"

    def array(*values: str | None) -> str:
        pairs = zip(values, types, strict=True)
        texts = [_constructed(value, t, "JSON_ARRAY") for value, t in pairs if value is not None or keeps_nulls]
        return "[" + ",".join(texts) + "]"

    if not arguments:
        return _output(analyser, node, "'[]'")
    text = _call(analyser, array, [argument.sql for argument in arguments], VARCHAR, [*types, keeps_nulls])
    return _output(analyser, node, text)


@special("json_object")
def json_object(analyser: Analyser, node: tree.Call) -> Typed:
    keys = [_key(analyser, key) for key in node.arguments[::2]]
    arguments = _values(analyser, node.arguments[1::2], node)
    types = [argument.type for argument in arguments]
    clauses = _clauses(node)
    keeps_nulls, is_unique = clauses.get("nulls", "NULL") == "NULL", bool(clauses.get("unique", False))
    count = len(keys)

    def an_object(*values: str | None) -> str:
        members: dict[str, str] = {}
        for key, value, trino_type in zip(values[:count], values[count:], types, strict=True):
            if key is None:
                message = "null value passed for JSON object key to JSON_OBJECT function"
                raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)
            if value is None and not keeps_nulls:
                continue
            if key in members:
                if is_unique:
                    raise TrinoError("INVALID_FUNCTION_ARGUMENT", "duplicate key passed to JSON_OBJECT function")
                raise TrinoError("NOT_SUPPORTED", "cannot construct a JSON object with duplicate key")
            members[key] = _constructed(value, trino_type, "JSON_OBJECT")
        return "{" + ",".join(f"{json_string(key)}:{members[key]}" for key in java_hash_order(members)) + "}"

    if not keys:
        return _output(analyser, node, "'{}'")
    values = [*keys, *(argument.sql for argument in arguments)]
    return _output(analyser, node, _call(analyser, an_object, values, VARCHAR, [*types, keeps_nulls, is_unique]))


def _key(analyser: Analyser, node: tree.Expression) -> Typed:
    value = analyser.expression(node)
    if not value.type.is_character and value.type.base != "unknown":
        raise analyser.error("INVALID_FUNCTION_ARGUMENT", f"Invalid type of JSON object key: {value.type}", node)
    return _as_text(analyser, value)


def java_hash_order(keys: dict[str, str]) -> list[str]:
    """The order in which java.util.HashMap holds texts: Trino's JSON objects are such maps."""
    capacity = 16
    while len(keys) > capacity * 3 // 4:
        capacity *= 2
    places: dict[str, int] = {}
    for key in keys:
        units = key.encode("utf-16-be", "surrogatepass")
        digest = 0
        for at in range(0, len(units), 2):
            digest = (31 * digest + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
        places[key] = (digest ^ (digest >> 16)) & (capacity - 1)
    return sorted(keys, key=lambda key: places[key])


# --------------------------------------------------------------------------------------------- Trino's own conversions

#: A json2016 value is held as its text; a text that could not be read is this mark.
_UNREADABLE = "\x00"


@sql_function("trino_json2016", ["VARCHAR", "BOOLEAN"], "VARCHAR")
def json2016(text: str, fails: bool) -> str:
    try:
        return _item_text(document(root_value(text)))
    except MalformedJson:
        if fails:
            raise TrinoError("JSON_INPUT_CONVERSION_ERROR", "conversion to JSON failed: malformed JSON") from None
        return _UNREADABLE


@sql_function("trino_json2016_text", ["VARCHAR", "TINYINT", "BOOLEAN"], "VARCHAR")
def json2016_text(text: str, behaviour: int, omits_quotes: bool) -> str | None:
    if text == _UNREADABLE:
        if behaviour == 1:
            raise _output_error("JSON value cannot be serialized")
        return None if behaviour == 0 else ""
    return _query_text([document(root_value(text))], "WITHOUT", omits_quotes)


scalar("$varchar_to_json(varchar, boolean) -> json2016", "trino_json2016({0}, {1})", hidden=True)
scalar("$json_to_varchar(json2016, tinyint, boolean) -> varchar", "trino_json2016_text({0}, {1}, {2})", hidden=True)
for _name, _encoding in (("", "UTF8"), ("_utf8", "UTF8"), ("_utf16", "UTF16"), ("_utf32", "UTF32")):
    scalar(
        f"$varbinary{_name}_to_json(varbinary, boolean) -> json2016",
        f"trino_json2016(trino_json_bytes({{0}}, '{_encoding}'), {{1}})",
        hidden=True,
    )
    scalar(
        f"$json_to_varbinary{_name}(json2016, tinyint, boolean) -> varbinary",
        f"trino_json_encoded(trino_json2016_text({{0}}, {{1}}, {{2}}), '{_encoding}')",
        hidden=True,
    )

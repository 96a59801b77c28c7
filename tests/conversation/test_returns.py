"""Which positions a tool's result may fill, and how the model is told what it will be."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import BaseModel

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.returns import describe_return, may_come_from

INTEGER: Json = {"type": "integer"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
STRING: Json = {"type": "string"}
NULL: Json = {"type": "null"}
ENUM: Json = {"enum": ["a", "b"]}


def closed(**properties: Any) -> Json:
    return {"type": "object", "properties": properties}


# --- where a result may go ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "returns"),
    [
        (INTEGER, INTEGER),
        (INTEGER, NUMBER),
        (NUMBER, INTEGER),
        (INTEGER, closed(a=closed(b=INTEGER))),
        (INTEGER, {"type": "array", "items": closed(n=INTEGER)}),
        (INTEGER, {"type": "array", "prefixItems": [BOOLEAN, INTEGER]}),
        (INTEGER, {"type": "object", "additionalProperties": INTEGER}),
        (INTEGER, {"type": "object", "patternProperties": {"^n": INTEGER}}),
        (INTEGER, {"anyOf": [closed(n=INTEGER), NULL]}),
        (INTEGER, {"allOf": [closed(n=INTEGER), {"description": "d"}]}),
        (INTEGER, {"$ref": "#/$defs/N", "$defs": {"N": closed(n=INTEGER)}}),
        ({"$ref": "#/$defs/N", "$defs": {"N": INTEGER}}, closed(n=INTEGER)),
        ({"type": "array"}, closed(l={"type": "array", "items": BOOLEAN})),
        ({"anyOf": [INTEGER, NULL]}, INTEGER),
        (NULL, NULL),
    ],
)
def test_a_result_or_a_part_of_it_may_have_the_kind(position: Json, returns: Json) -> None:
    assert may_come_from(position, [BOOLEAN, returns])


@pytest.mark.parametrize(
    "returns",
    [
        None,
        {},
        STRING,
        closed(text=STRING),
        {"type": "object"},
        {"type": "array"},
        {"type": "object", "additionalProperties": True, "properties": {"a": BOOLEAN}},
        closed(a=True),
        {"$ref": "https://example.com/schema"},
        {"type": "strange"},
    ],
)
def test_what_says_nothing_may_hold_anything(returns: Json | None) -> None:
    """A text may hold JSON, and a path leads into that."""
    assert may_come_from(INTEGER, [returns])


@pytest.mark.parametrize(
    ("position", "returns"),
    [
        (INTEGER, BOOLEAN),
        (INTEGER, ENUM),
        (INTEGER, {"type": "string", "format": "date"}),
        (INTEGER, closed(a=BOOLEAN, b=closed(c=ENUM))),
        (INTEGER, {"type": "array", "items": BOOLEAN}),
        (INTEGER, False),
        (INTEGER, {"$ref": "#/$defs/T", "$defs": {"T": closed(left={"$ref": "#/$defs/T"}, on=BOOLEAN)}}),
        ({"anyOf": [INTEGER, NULL]}, {"anyOf": [BOOLEAN, NULL]}),
        ({"type": "object"}, {"type": "array", "items": INTEGER}),
    ],
)
def test_a_result_of_other_kinds_throughout_may_not(position: Json, returns: Any) -> None:
    assert not may_come_from(position, [returns])


def test_a_position_for_texts_takes_every_result_as_its_text() -> None:
    assert may_come_from(ENUM, [INTEGER])
    assert not may_come_from(ENUM, [])
    assert not may_come_from(INTEGER, [])


def test_shared_and_cyclic_schemas_are_read_once() -> None:
    schema: Json = BOOLEAN
    for _ in range(60):
        schema = closed(a=schema, b=schema)
    assert not may_come_from(INTEGER, [schema])


# --- what the model is told --------------------------------------------------------------------------


def told(returns: Any, **settings: Any) -> str:
    return describe_return("Does it.", returns, **settings).removeprefix("Does it.\nReturns ")


@pytest.mark.parametrize(
    ("returns", "text"),
    [
        (INTEGER, "integer"),
        ({"type": ["integer", "null"]}, "integer | null"),
        ({"anyOf": [INTEGER, NULL, INTEGER]}, "integer | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"enum": list(range(20))}, "one of 20 values"),
        ({"const": "ä"}, '"ä"'),
        ({"type": "array", "items": INTEGER}, "[integer]"),
        ({"type": "array", "prefixItems": [INTEGER, BOOLEAN]}, "[integer, boolean]"),
        ({"type": "array", "prefixItems": [INTEGER], "items": BOOLEAN}, "[integer, ...boolean]"),
        ({"type": "array"}, "array"),
        ({"type": "object"}, "object"),
        ({"type": "object", "additionalProperties": NUMBER}, "{[key]: number}"),
        ({"properties": {"a": INTEGER, "b c": {}}, "required": ["a"]}, '{a: integer, "b c"?: any}'),
        ({"allOf": [closed(a=INTEGER), closed(b=INTEGER)]}, "{a?: integer} & {b?: integer}"),
    ],
)
def test_the_type_is_told_in_short(returns: Json, text: str) -> None:
    assert told(returns) == text


def test_a_model_of_pydantic_is_told_with_its_parts() -> None:
    class Line(BaseModel):
        name: str
        price: float | None = None

    class Order(BaseModel):
        id: int
        lines: list[Line]

    assert told(Order.model_json_schema()) == "{id: integer, lines: [{name: string, price?: number | null}]}"


@pytest.mark.parametrize("returns", [None, {}, {"title": "Result"}, {"$ref": "#"}, {"$ref": "elsewhere"}])
def test_what_is_not_known_is_not_told(returns: Json | None) -> None:
    assert describe_return("Does it.", returns) == "Does it."


def test_a_tool_without_a_description_gets_the_line_alone() -> None:
    assert describe_return("", INTEGER) == "Returns integer"


def test_the_wording_may_be_replaced() -> None:
    assert describe_return("{type}", INTEGER, template="-> {type}") == "{type}\n-> integer"


def test_what_is_further_in_is_left_out_first() -> None:
    returns = closed(a=closed(b=closed(c=INTEGER)))
    assert told(returns) == "{a?: {b?: {c?: integer}}}"
    assert told(returns, max_chars=20) == "{a?: {b?: object}}"
    assert told(returns, max_chars=14) == "{a?: object}"
    assert told(returns, max_chars=8) == "{a?: ob…"


def test_a_wide_schema_that_holds_itself_is_told_in_bounded_time_and_length() -> None:
    node = closed(**{f"n{number}": {"$ref": "#/$defs/Node"} for number in range(1_000)})
    started = time.perf_counter()
    text = told({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    assert len(text) == 300
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "returns",
    [
        {"type": {"a": 1}},
        {"properties": [1]},
        {"type": "object", "properties": {"a": 7}, "required": 3},
        {"anyOf": {"a": 1}},
        {"enum": 3},
        {"items": None},
        {"allOf": []},
        {"anyOf": [{"anyOf": [{"$ref": "#"}]}]},
    ],
)
def test_strange_schemas_never_raise(returns: Json) -> None:
    assert describe_return("Does it.", returns).startswith("Does it.")
    assert may_come_from(INTEGER, [returns]) in {True, False}

"""Which positions of a JSON schema take strings and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest

from asyncfc.futures.schema import admits_only_strings

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NULL = {"type": "null"}


def at_x(schema: Any, **rest: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, **rest}


@pytest.mark.parametrize(
    "schema",
    [
        STRING,
        {"type": "string", "pattern": "a+", "maxLength": 3},
        {"type": ["string"]},
        {"type": ["string", "null"]},
        {"anyOf": [STRING, NULL]},
        {"oneOf": [STRING, {"type": ["null", "string"]}]},
        {"allOf": [{}, STRING]},
        {"type": ["string", "integer"], "anyOf": [STRING, {"type": "boolean"}]},
        {"enum": ["a", "b"]},
        {"enum": ["a", None]},
        {"const": "a"},
        {"type": "string", "enum": ["a", 1]},
        {"$ref": "#/$defs/S"},
        {"$ref": "#/$defs/alias"},
        {"$ref": "#/definitions/with~1slash~0tilde%20space"},
        {"$ref": "#/$defs/list/0"},
        {"$ref": "#/$defs/S", "description": "a path"},
        {"allOf": [{"$ref": "#/$defs/S"}], "default": "x"},
        {"anyOf": [STRING, False]},
    ],
)
def test_only_strings_null_apart(schema: Any) -> None:
    definitions = {"S": STRING, "alias": {"$ref": "#/$defs/S"}, "list": [STRING]}
    whole = at_x(schema, **{"$defs": definitions}, definitions={"with/slash~tilde space": STRING})
    assert admits_only_strings(whole, ("x",))


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        INTEGER,
        {"type": ["string", "integer"]},
        {"anyOf": [STRING, INTEGER]},
        {"anyOf": [STRING, {}]},
        {"anyOf": [STRING, True]},
        {"allOf": [STRING, INTEGER]},
        {"allOf": [{"type": ["string", "number"]}, {"type": ["string", "integer"]}]},
        {"$ref": "#/$defs/branching"},
        {"enum": ["a", 1]},
        {"enum": []},
        {"const": None},
        NULL,
        {"type": "str"},  # no type of JSON Schema: not understood
        {"type": ["string", "float"]},
        {"type": None},
        {"type": [["string"]]},
        {"$ref": "#/$defs/missing"},
        {"$ref": "#/$defs/list/7"},
        {"$ref": "#/type/deeper"},
        {"$ref": "https://example.org/string.json"},
        {"$ref": 5},
        {"$ref": "#/$defs/loop"},
        {"$ref": "#"},
        "string",
        None,
        ["string"],
    ],
)
def test_anything_else_or_not_understood(schema: Any) -> None:
    definitions = {
        "loop": {"$ref": "#/$defs/loop2"},
        "loop2": {"$ref": "#/$defs/loop"},
        "branching": {"anyOf": [{"$ref": "#/$defs/branching"}] * 3},
        "list": [STRING],
    }
    assert not admits_only_strings(at_x(schema, **{"$defs": definitions}), ("x",))


@pytest.mark.parametrize(
    ("schema", "location", "expected"),
    [
        ({"type": "array", "items": STRING}, (0,), True),
        ({"type": "array", "items": STRING}, (), False),
        ({"type": "array"}, (0,), False),
        ({"prefixItems": [INTEGER, STRING], "items": INTEGER}, (1,), True),
        ({"prefixItems": [INTEGER, STRING], "items": INTEGER}, (2,), False),
        ({"prefixItems": [INTEGER], "items": STRING}, (5,), True),
        ({"items": [INTEGER, STRING], "additionalItems": INTEGER}, (1,), True),
        ({"items": [INTEGER], "additionalItems": STRING}, (3,), True),
        ({"properties": {"a": STRING}}, ("a",), True),
        ({"properties": {"a": STRING}}, ("b",), False),
        ({"additionalProperties": STRING}, ("b",), True),
        ({"properties": {"a": INTEGER}, "additionalProperties": STRING}, ("a",), False),
        ({"additionalProperties": False}, ("b",), False),
        ({"patternProperties": {"^a": INTEGER}, "additionalProperties": STRING}, ("a",), False),
        (
            {"properties": {"a": {"type": "array", "items": {"properties": {"b": STRING}}}}},
            ("a", 3, "b"),
            True,
        ),
        # Optional containers: the branch that is no container does not count.
        ({"anyOf": [{"type": "array", "items": STRING}, NULL]}, (0,), True),
        ({"anyOf": [{"type": "array", "items": STRING}, STRING]}, (0,), True),
        ({"anyOf": [{"type": "array", "items": STRING}, {"type": "array", "items": INTEGER}]}, (0,), False),
        ({"allOf": [{"properties": {"a": STRING}}, {"properties": {"b": INTEGER}}]}, ("a",), True),
        ({"$ref": "#/$defs/node"}, ("name",), True),
        ({"$ref": "#/$defs/node"}, ("next", "next", "next", "name"), True),
        ({"$ref": "#/$defs/node"}, ("next",), False),
        (STRING, ("a",), False),
        ({"type": "object", "items": STRING}, (0,), False),
    ],
)
def test_the_position_is_found_by_keys_and_indices(
    schema: Any, location: tuple[str | int, ...], expected: bool
) -> None:
    node = {"properties": {"name": STRING, "next": {"anyOf": [{"$ref": "#/$defs/node"}, NULL]}}}
    assert admits_only_strings(at_x(schema, **{"$defs": {"node": node}}), ("x", *location)) is expected


def test_definitions_that_unfold_without_end_are_read_once_each() -> None:
    definitions = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 4} for n in range(40)}
    definitions["d40"] = STRING  # type: ignore[assignment]
    started = time.process_time()
    assert admits_only_strings(at_x({"$ref": "#/$defs/d0"}, **{"$defs": definitions}), ("x",))
    assert time.process_time() - started < 1.0  # unfolded it would be 4**40 parts


def test_a_schema_nested_without_end_is_not_understood() -> None:
    schema: Any = STRING
    for _ in range(5000):
        schema = {"anyOf": [schema]}
    assert not admits_only_strings(at_x(schema), ("x",))

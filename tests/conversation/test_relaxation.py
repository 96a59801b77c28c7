"""Schemas that admit handles: everything that fitted still fits, and a handle fits in every position."""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal

import anthropic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from openai.lib._pydantic import _ensure_strict_json_schema
from pydantic import BaseModel, Field

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.relaxation import handle_schema, relax
from asyncfc.futures.handle import DEFAULT_GRAMMAR, THIS, HandleGrammar, show_path

HANDLE = {"$ref": "#/$defs/handle"}
INTEGER: Json = {"type": "integer"}
STRING: Json = {"type": "string"}
NULL: Json = {"type": "null"}


def at_x(schema: Any, **rest: Any) -> Json:
    return {"type": "object", "properties": {"x": schema}, **rest}


def relaxed_x(schema: Any, **rest: Any) -> Any:
    return relax(at_x(schema, **rest), DEFAULT_GRAMMAR)["properties"]["x"]


# --- what changes, and what stays --------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        INTEGER,
        {"type": ["integer", "null"]},
        {"type": "object"},
        {"type": "array"},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^a"},
        {"type": "string", "maxLength": 3},
        {"type": "string", "minLength": 1},
        {"enum": [1, 2]},
        {"minimum": 1},
        {"properties": {"y": STRING}},
        {"allOf": [STRING, {"maxLength": 3}]},
        {"not": STRING},
        {"$ref": "#/$defs/Number"},
        {"$ref": "#/$defs/Node"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "#"},
    ],
)
def test_a_position_that_does_not_take_any_string_becomes_a_union(schema: Any) -> None:
    definitions = {"Number": {"type": "number"}, "Node": {"$ref": "#/$defs/Node"}}
    relaxed = relaxed_x(schema, **{"$defs": definitions})
    assert relaxed == {"anyOf": [schema, HANDLE]}


@pytest.mark.parametrize(
    "schema",
    [
        STRING,
        {"type": ["string", "integer"]},
        {"type": "string", "title": "X", "description": "d", "default": "", "examples": ["e"]},
        {},
        True,
        False,
        None,
        {"description": "anything"},
        {"anyOf": [STRING, INTEGER]},
        {"oneOf": [{"type": ["string", "null"]}, INTEGER]},
        {"allOf": [STRING, {"description": "d"}]},
        {"$ref": "#/$defs/Text"},
        {"$ref": "#/$defs/Alias", "description": "d"},
        {"const": "a"},
        {"type": "integer", "const": 1},
        {"$id": "elsewhere", "type": "integer", "properties": {"y": INTEGER}},
    ],
)
def test_a_position_that_takes_any_string_or_says_which_form_this_is_stays(schema: Any) -> None:
    whole = at_x(schema, **{"$defs": {"Text": STRING, "Alias": {"$ref": "#/$defs/Text"}}})
    assert relax(whole, DEFAULT_GRAMMAR) is whole


def test_an_existing_union_gets_one_form_more() -> None:
    schema = {"anyOf": [INTEGER, NULL], "default": None, "title": "X"}
    assert relaxed_x(schema) == {"anyOf": [INTEGER, NULL, HANDLE], "default": None, "title": "X"}


def test_a_union_beside_other_limits_is_wrapped_as_a_whole() -> None:
    schema = {"type": "integer", "anyOf": [{"minimum": 3}, {"maximum": 1}]}
    assert relaxed_x(schema) == {"anyOf": [schema, HANDLE]}


def test_what_is_said_of_the_position_stays_outside() -> None:
    schema = {"type": "integer", "title": "N", "description": "how many", "default": 3, "minimum": 1}
    form = {"type": "integer", "minimum": 1}
    assert relaxed_x(schema) == {
        "title": "N",
        "description": "how many",
        "default": 3,
        "anyOf": [form, HANDLE],
    }


def test_positions_further_in_change_under_every_word_that_holds_them() -> None:
    inner = {"anyOf": [INTEGER, HANDLE]}
    for word in ("items", "additionalProperties", "additionalItems"):
        assert relaxed_x({"type": "array", word: INTEGER})["anyOf"][0][word] == inner
    for word in ("prefixItems", "items"):
        assert relaxed_x({word: [INTEGER, STRING]})["anyOf"][0][word] == [inner, STRING]
    for word in ("properties", "patternProperties"):
        assert relaxed_x({word: {"y": INTEGER}})["anyOf"][0][word] == {"y": inner}
    part = {"properties": {"y": INTEGER}}
    for word in ("anyOf", "allOf"):
        relaxed = relaxed_x({"type": "object", word: [part]})
        assert relaxed["anyOf"][0][word] == [{"properties": {"y": inner}}]


def test_a_union_of_texts_and_lists_changes_inside_only() -> None:
    schema = {"anyOf": [STRING, {"type": "array", "items": INTEGER}]}
    items = {"anyOf": [INTEGER, HANDLE]}
    assert relaxed_x(schema) == {"anyOf": [STRING, {"type": "array", "items": items}]}


def test_definitions_change_inside_but_are_no_positions() -> None:
    for word in ("$defs", "definitions"):
        definitions = {"Node": at_x({"$ref": f"#/{word}/Node"}), "Count": INTEGER}
        relaxed = relax(at_x(STRING, **{word: definitions}), DEFAULT_GRAMMAR)
        assert relaxed[word]["Count"] == INTEGER
        assert relaxed[word]["Node"] == at_x({"anyOf": [{"$ref": f"#/{word}/Node"}, HANDLE]})


def test_the_root_is_never_wrapped() -> None:
    relaxed = relax({"$ref": "#/$defs/Args", "$defs": {"Args": at_x(INTEGER)}}, DEFAULT_GRAMMAR)
    assert relaxed["$ref"] == "#/$defs/Args"
    assert "anyOf" not in relaxed


def test_the_name_in_the_definitions_is_a_free_one() -> None:
    relaxed = relax(at_x(INTEGER, **{"$defs": {"handle": INTEGER, "handle_2": NULL}}), DEFAULT_GRAMMAR)
    assert relaxed["properties"]["x"]["anyOf"][1] == {"$ref": "#/$defs/handle_3"}
    assert relaxed["$defs"]["handle"] == INTEGER


def test_one_of_becomes_any_of_because_two_forms_may_fit_a_handle() -> None:
    forms = [at_x(INTEGER), at_x({"type": "boolean"})]
    relaxed = relax(at_x({"oneOf": forms}), DEFAULT_GRAMMAR)
    assert "oneOf" not in relaxed["properties"]["x"]
    assert fits(relaxed, {"x": {"x": "$k7qz_1"}})


def test_the_property_that_tells_the_forms_apart_stays() -> None:
    class Cat(BaseModel):
        kind: Literal["cat", "lion"]
        lives: int

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Args(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]
        kind: Literal["a", "b"]

    schema = Args.model_json_schema()
    relaxed = relax(schema, DEFAULT_GRAMMAR)
    assert relaxed["$defs"]["Cat"]["properties"]["kind"] == schema["$defs"]["Cat"]["properties"]["kind"]
    assert relaxed["$defs"]["Dog"]["properties"]["kind"] == schema["$defs"]["Dog"]["properties"]["kind"]
    assert HANDLE in relaxed["$defs"]["Cat"]["properties"]["lives"]["anyOf"]
    assert HANDLE in relaxed["properties"]["kind"]["anyOf"]
    assert fits(relaxed, {"pet": "$k7qz_1", "kind": "a"})


def test_a_reference_through_a_position_still_leads_there() -> None:
    whole = at_x({"type": "array", "items": INTEGER})
    whole["properties"]["y"] = {"$ref": "#/properties/x/items"}
    relaxed = relax(whole, DEFAULT_GRAMMAR)
    assert fits(relaxed, {"x": [1, "$k7qz_1"], "y": "$k7qz_1"})
    assert not fits(relaxed, {"y": True})
    assert relaxed["properties"]["x"]["type"] == "array"


def test_a_reference_through_a_union_still_leads_there() -> None:
    whole = at_x({"oneOf": [at_x(INTEGER), NULL]})
    whole["properties"]["y"] = {"$ref": "#/properties/x/oneOf/0"}
    relaxed = relax(whole, DEFAULT_GRAMMAR)
    assert fits(relaxed, {"y": {"x": 1}})
    assert not fits(relaxed, {"y": {"x": True}})


def test_only_chooses_the_positions_and_sees_where_references_lead() -> None:
    whole = at_x({"$ref": "#/$defs/N"}, **{"$defs": {"N": INTEGER}})
    whole["properties"]["y"] = {"type": "boolean"}
    seen: list[Json] = []

    def only(position: Json) -> bool:
        seen.append(position)
        return "$ref" in position

    relaxed = relax(whole, DEFAULT_GRAMMAR, only=only)
    assert relaxed["properties"] == {
        "x": {"anyOf": [{"$ref": "#/$defs/N"}, HANDLE]},
        "y": {"type": "boolean"},
    }
    assert seen[0]["$defs"] == {"N": INTEGER}
    assert relax(whole, DEFAULT_GRAMMAR, only=lambda _: False) is whole


def test_very_deep_schemas_change_down_to_a_bound() -> None:
    schema: Json = INTEGER
    for _ in range(5_000):
        schema = {"type": "array", "items": schema}
    relaxed = relaxed_x(schema)
    assert relaxed["anyOf"][0]["items"]["anyOf"][1] == HANDLE


def test_parts_that_occur_many_times_are_read_once() -> None:
    schema: Json = INTEGER
    for _ in range(90):
        schema = {"type": "object", "properties": {"a": schema, "b": schema}}
    assert relaxed_x(schema)["anyOf"][1] == HANDLE


def test_a_schema_that_holds_itself_ends() -> None:
    schema: Json = {"type": "object", "properties": {}}
    schema["properties"]["self"] = schema
    assert relaxed_x(schema)["anyOf"][1] == HANDLE


# --- the handle's own schema -------------------------------------------------------------------------

GRAMMARS = [
    DEFAULT_GRAMMAR,
    HandleGrammar(sigil="@ref-", separator="::", tag_length=6),
    HandleGrammar("$^|", "*"),
]


@pytest.mark.parametrize("grammar", GRAMMARS)
@given(data=st.data())
def test_the_pattern_fits_the_handles_of_all_sessions(data: st.DataObject, grammar: HandleGrammar) -> None:
    pattern = handle_schema(grammar)["pattern"]
    tag = data.draw(st.sampled_from([THIS, grammar.tag_for(data.draw(st.text(max_size=5)))]))
    key = st.text(string.ascii_letters + string.digits + "-_ äß", min_size=1, max_size=5)
    path = show_path(tuple(data.draw(st.lists(key | st.integers(-9, 99), max_size=3))))
    text = grammar.mint(tag, data.draw(st.integers(1, 10**6))) + path
    braced = f"{grammar.sigil}{{{text.removeprefix(grammar.sigil)}}}"
    assert re.search(pattern, text)
    assert re.search(pattern, braced)
    for other in (f"{text} ", f"x{text}", f"{braced[:-1]}", f"{text}}}", grammar.sigil + text, text[1:]):
        assert not re.search(pattern, other)


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_the_pattern_is_read_alike_in_every_dialect(grammar: HandleGrammar) -> None:
    pattern = handle_schema(grammar)["pattern"]
    assert "(?" not in pattern
    assert {match[1] for match in re.finditer(r"\\(.)", pattern)} <= set("$^|*.[]{}s")


# --- properties --------------------------------------------------------------------------------------


def fits(schema: Any, value: Any, root: Any = None) -> bool:
    """A small validator of JSON Schema: the words that the strategies below use."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    return all(_RULES[word](said, value, schema, root) for word, said in schema.items() if word in _RULES)


def _is(kind: str, value: Any) -> bool:
    if kind in {"integer", "number"}:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (kind == "number" or value % 1 == 0)
        )
    kinds = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}
    return isinstance(value, kinds[kind])


def _refers(ref: str, value: Any, schema: Json, root: Any) -> bool:
    target = root
    for step in ref.split("/")[1:]:
        target = target[int(step)] if isinstance(target, list) else target[step]
    return fits(target, value, root)


def _object_fits(said: Any, value: Any, schema: Json, root: Any) -> bool:
    if not isinstance(value, dict):
        return True
    known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
    return all(fits(known.get(name, rest), part, root) for name, part in value.items())


def _array_fits(said: Any, value: Any, schema: Json, root: Any) -> bool:
    if not isinstance(value, list):
        return True
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    return all(fits(first[n] if n < len(first) else rest, part, root) for n, part in enumerate(value))


_RULES: dict[str, Any] = {
    "type": lambda said, v, s, r: any(_is(kind, v) for kind in ([said] if isinstance(said, str) else said)),
    "enum": lambda said, v, s, r: v in said,
    "const": lambda said, v, s, r: v == said,
    "pattern": lambda said, v, s, r: not isinstance(v, str) or re.search(said, v) is not None,
    "maxLength": lambda said, v, s, r: not isinstance(v, str) or len(v) <= said,
    "minimum": lambda said, v, s, r: not _is("number", v) or v >= said,
    "required": lambda said, v, s, r: not isinstance(v, dict) or set(said) <= v.keys(),
    "properties": _object_fits,
    "additionalProperties": _object_fits,
    "items": _array_fits,
    "prefixItems": _array_fits,
    "anyOf": lambda said, v, s, r: any(fits(form, v, r) for form in said),
    "oneOf": lambda said, v, s, r: sum(fits(form, v, r) for form in said) == 1,
    "allOf": lambda said, v, s, r: all(fits(form, v, r) for form in said),
    "$ref": _refers,
}

LEAVES: list[tuple[Json, st.SearchStrategy[Any]]] = [
    (INTEGER, st.integers(-3, 3)),
    ({"type": "integer", "minimum": 0, "title": "N"}, st.integers(0, 3)),
    ({"type": "number", "description": "d"}, st.sampled_from([1, 1.5])),
    ({"type": ["integer", "null"]}, st.sampled_from([1, None])),
    ({"type": "boolean", "default": True}, st.booleans()),
    (STRING, st.text(max_size=3)),
    ({"type": "string", "pattern": "^a+$"}, st.just("aa")),
    ({"type": "string", "maxLength": 2}, st.text(max_size=2)),
    ({"type": "string", "enum": ["a", "b"]}, st.sampled_from("ab")),
    ({"$ref": "#/$defs/Scalar"}, st.integers(-3, 3)),
    ({"$ref": "#/$defs/Node"}, st.sampled_from([{}, {"next": {}}, {"next": {"next": {"n": 1}}, "n": 3}])),
]
DEFINITIONS: Json = {
    "Scalar": INTEGER,
    "Node": {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/Node"}, "n": {"$ref": "#/$defs/Scalar"}},
    },
}
Drawn = tuple[Json, Any]


def draw_part(draw: st.DrawFn, words: tuple[str, ...], depth: int) -> Drawn:
    """A schema and an instance of it (with `oneOf`: most likely one)."""
    forms = ("leaf", "object", "array", *words) if depth else ("leaf",)
    form = draw(st.sampled_from(forms))
    if form == "leaf":
        schema, values = draw(st.sampled_from(LEAVES))
        return schema, draw(values)
    if form == "object":
        return draw_object(draw, words, depth - 1)
    schema, value = draw_part(draw, words, depth - 1)
    if form == "array":
        first, one = draw_part(draw, words, 0)
        if draw(st.booleans()):
            return {"type": "array", "prefixItems": [first], "items": schema}, [one, value]
        return {"type": "array", "items": schema}, [value, value]
    if form == "allOf":
        return {"allOf": [schema, {"description": "d"}]}, value
    other, _ = draw_part(draw, words, depth - 1)
    return {form: draw(st.permutations([schema, other, NULL]))}, value


def draw_object(draw: st.DrawFn, words: tuple[str, ...], depth: int) -> Drawn:
    parts = {name: draw_part(draw, words, depth) for name in draw(st.sampled_from(["", "a", "ab"]))}
    required = draw(st.sampled_from([[], list(parts)]))
    schema: Json = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in parts.items()},
        "required": required,
    }
    value = {name: part for name, (_, part) in parts.items() if name in required or draw(st.booleans())}
    rest = draw(st.sampled_from(["not said", False, True, "schema"]))
    if rest == "schema":
        schema["additionalProperties"], value["z"] = draw_part(draw, words, 0)
    elif rest != "not said":
        schema["additionalProperties"] = rest
    return schema, value


@st.composite
def schemas_with_instances(draw: st.DrawFn, words: tuple[str, ...] = ("anyOf", "oneOf", "allOf")) -> Drawn:
    parts = {name: draw_part(draw, words, 2) for name in draw(st.sampled_from(["x", "xy"]))}
    schema = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in parts.items()},
        "required": list(parts),
        "$defs": DEFINITIONS,
    }
    value = {name: value for name, (_, value) in parts.items()}
    assume(fits(schema, value))
    return schema, value


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside, the outermost apart."""
    if way:
        yield way
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield from places(value[step], (*way, step))


def replaced(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    target = value
    for step in way[:-1]:
        target = target[step]
    target[way[-1]] = new
    return value


@given(schemas_with_instances())
def test_what_fitted_still_fits(drawn: Drawn) -> None:
    schema, value = drawn
    assert fits(relax(schema, DEFAULT_GRAMMAR), value)


@given(schemas_with_instances(), st.data())
def test_a_handle_fits_in_the_place_of_every_value(drawn: Drawn, data: st.DataObject) -> None:
    schema, value = drawn
    way = data.draw(st.sampled_from(list(places(value))))
    handle = data.draw(st.sampled_from(["$k7qz_1", "$this_12", "$k7qz_1.items[0].id", "${a1b2_7.n}"]))
    assert fits(relax(schema, DEFAULT_GRAMMAR), replaced(value, way, handle))


@given(schemas_with_instances(), st.data())
def test_other_texts_fit_nowhere_where_they_did_not(drawn: Drawn, data: st.DataObject) -> None:
    schema, value = drawn
    wrong = replaced(value, data.draw(st.sampled_from(list(places(value)))), "no handle")
    assert fits(relax(schema, DEFAULT_GRAMMAR), wrong) == fits(as_any_of(schema), wrong)


def as_any_of(schema: Any) -> Any:
    """With `oneOf` read as `anyOf`."""
    if isinstance(schema, list):
        return [as_any_of(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {"anyOf" if word == "oneOf" else word: as_any_of(part) for word, part in schema.items()}


@given(schemas_with_instances())
def test_relaxing_twice_is_relaxing_once_and_changes_no_input(drawn: Drawn) -> None:
    schema, _ = drawn
    before = copy.deepcopy(schema)
    relaxed = relax(schema, DEFAULT_GRAMMAR)
    assert schema == before
    assert relax(copy.deepcopy(relaxed), DEFAULT_GRAMMAR) == relaxed
    assert relax(copy.deepcopy(schema), DEFAULT_GRAMMAR) == relaxed


WORDS = [
    "type",
    "properties",
    "items",
    "anyOf",
    "oneOf",
    "allOf",
    "$ref",
    "$defs",
    "not",
    "enum",
    "const",
    "default",
]
GARBAGE = st.recursive(
    st.sampled_from(
        [None, True, 0, "", "string", "integer", "object", "#", "#/$defs/properties", "#/items/0"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*WORDS, "discriminator", "propertyName", "$id"]), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(WORDS), GARBAGE, max_size=4))
def test_strange_schemas_never_raise(schema: Json) -> None:
    before = copy.deepcopy(schema)
    relaxed = relax(schema, DEFAULT_GRAMMAR)
    assert schema == before
    assert relax(relaxed, DEFAULT_GRAMMAR) == relaxed


# --- what the providers' own libraries make of it ----------------------------------------------------


@given(schemas_with_instances(words=("anyOf",)))
def test_a_strict_schema_stays_strict_for_openai(drawn: Drawn) -> None:
    strict = _ensure_strict_json_schema(copy.deepcopy(drawn[0]), path=(), root={"$defs": DEFINITIONS})
    assume(_ensure_strict_json_schema(copy.deepcopy(strict), path=(), root=strict) == strict)
    relaxed = relax(strict, DEFAULT_GRAMMAR)
    assert _ensure_strict_json_schema(copy.deepcopy(relaxed), path=(), root=relaxed) == relaxed


@given(schemas_with_instances(words=("anyOf", "oneOf")))
def test_what_anthropic_transforms_it_still_does(drawn: Drawn) -> None:
    accepted = False
    with suppress(ValueError, AssertionError):  # it knows no list of types
        anthropic.transform_schema(copy.deepcopy(drawn[0]))
        accepted = True
    assume(accepted)
    transformed = anthropic.transform_schema(relax(drawn[0], DEFAULT_GRAMMAR))
    assert set(transformed["properties"]) == set(drawn[0]["properties"])


class Line(BaseModel):
    """A line of an order."""

    item: str
    count: int = Field(ge=1, description="how many")
    after: Line | None


def test_a_model_of_pydantic_stays_strict_for_openai() -> None:
    strict = _ensure_strict_json_schema(Line.model_json_schema(), path=(), root=Line.model_json_schema())
    relaxed = relax(strict, DEFAULT_GRAMMAR)
    assert _ensure_strict_json_schema(copy.deepcopy(relaxed), path=(), root=relaxed) == relaxed
    assert HANDLE in relaxed["$defs"]["Line"]["properties"]["count"]["anyOf"]

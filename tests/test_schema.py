from __future__ import annotations

import dataclasses
import enum
import functools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from asyncfc.tools import Tool

if TYPE_CHECKING:
    from elsewhere import Missing  # type: ignore[import-not-found]


class Opaque:
    """Pydantic knows nothing of it."""


class Broken:
    """Pydantic asks it, and it raises."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        raise AttributeError("not today")


class Waiting(BaseModel):
    later: NeverDefined  # type: ignore[name-defined]  # noqa: F821


class Colour(enum.Enum):
    RED = "red"


class Address(BaseModel):
    street: str


class Person(BaseModel):
    name: str
    home: Address
    friends: list[Person] = []


class Loose(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    what: Any = Opaque()
    size: int = 1


@dataclasses.dataclass
class Options:
    depth: int = 3


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    return Tool(function).schema


def property_of(annotation: Any) -> Any:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    made = schema_of(function)
    assert made["required"] == ["x"]
    return made["properties"]["x"]


def default_of(default: Any) -> Any:
    """The default that the schema tells, or the class `Opaque` if it tells none."""

    def function(x: Any = default) -> None: ...

    made = schema_of(function)
    assert made["required"] == []
    return made["properties"]["x"].get("default", Opaque)


# --- what cannot be described ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [Opaque, Broken, Waiting, "Missing", Callable[[int], int], list[Opaque], 7, Iterator["Missing"]],
)
def test_an_annotation_that_cannot_be_described_admits_anything(annotation: Any) -> None:
    assert property_of(annotation) == {}


def test_one_that_cannot_be_described_leaves_the_others_as_they_are() -> None:
    def function(a: Missing, b: int, c: Opaque, d: Broken, e: list[str]) -> Missing: ...

    properties = schema_of(function)["properties"]
    assert properties == {
        "a": {},
        "b": {"type": "integer"},
        "c": {},
        "d": {},
        "e": {"type": "array", "items": {"type": "string"}},
    }


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "default",
    [
        Opaque(),
        object,
        b"\xff",
        float("nan"),
        [1.0, float("-inf")],
        CYCLE,
        iter([1]),
        {1: "a", "1": "b"},
        10**5000,
    ],
    ids=lambda default: type(default).__name__,
)
def test_a_default_that_json_cannot_hold_is_left_out(default: Any) -> None:
    assert default_of(default) is Opaque


def test_a_default_in_use_is_not_used_up() -> None:
    once = iter([1, 2])
    assert default_of(once) is Opaque
    assert list(once) == [1, 2]


def test_a_model_with_a_default_that_json_cannot_hold_is_described_without_a_warning() -> None:
    def function(loose: Loose, size: int) -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = schema_of(function)
    assert made["$defs"]["Loose"]["properties"] == {
        "what": {"title": "What"},
        "size": {"title": "Size", "type": "integer", "default": 1},
    }


# --- what can -------------------------------------------------------------------------------------


def test_plain_parameters_are_described_in_order_and_those_without_default_are_required() -> None:
    def function(b: str, a: int, n: float = 0.5, flag: bool = False, *, k: list[int], bare=None) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001

    made = schema_of(function)
    assert list(made["properties"]) == ["b", "a", "n", "flag", "k", "bare"]
    assert made == {
        "type": "object",
        "properties": {
            "b": {"type": "string"},
            "a": {"type": "integer"},
            "n": {"type": "number", "default": 0.5},
            "flag": {"type": "boolean", "default": False},
            "k": {"type": "array", "items": {"type": "integer"}},
            "bare": {"default": None},
        },
        "required": ["b", "a", "k"],
        "additionalProperties": False,
    }


def test_a_tool_without_parameters_has_the_empty_object() -> None:
    empty = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert schema_of(lambda_free) == empty


def lambda_free() -> None: ...


def test_a_tool_that_takes_any_argument_says_so() -> None:
    def function(a: int, *args: int, **rest: str) -> None: ...

    made = schema_of(function)
    assert (list(made["properties"]), made["required"], made["additionalProperties"]) == (["a"], ["a"], True)


def test_positional_only_parameters_are_parameters_like_others() -> None:
    def function(a: int, b: int = 1, /) -> None: ...

    assert schema_of(function)["properties"] == {
        "a": {"type": "integer"},
        "b": {"type": "integer", "default": 1},
    }


def test_what_a_partial_or_a_method_bound_is_no_parameter() -> None:
    def function(a: int, b: str, c: int) -> None: ...

    made = schema_of(functools.partial(function, 1, c=3))
    assert made["properties"] == {"b": {"type": "string"}, "c": {"type": "integer", "default": 3}}
    assert made["required"] == ["b"]


def test_optional_parameters_admit_null() -> None:
    nullable = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert property_of(int | None) == nullable
    assert property_of("int | None") == nullable
    assert default_of(None) is None


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        (Any, {}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (
            Annotated[int, Field(gt=0, description="how many")],
            {"exclusiveMinimum": 0, "description": "how many"},
        ),
        (dict[str, list[int]], {"additionalProperties": {"items": {"type": "integer"}, "type": "array"}}),
        (tuple[int, str], {"minItems": 2, "maxItems": 2}),
    ],
)
def test_richer_annotations_are_described(annotation: Any, described: dict[str, Any]) -> None:
    assert property_of(annotation).items() >= described.items()


@pytest.mark.parametrize(
    ("default", "told"),
    [
        ("text", "text"),
        (Colour.RED, "red"),
        ({3, 1}, [1, 3]),
        ((1, [2]), [1, [2]]),
        (Address(street="s"), {"street": "s"}),
        (dataclasses.make_dataclass("D", ["x"])(5), {"x": 5}),
        ({"ü": None}, {"ü": None}),
    ],
)
def test_a_default_is_told_as_json(default: Any, told: Any) -> None:
    assert default_of(default) == told


def test_a_default_is_a_snapshot() -> None:
    default = {"a": [1]}

    def function(x: Any = default) -> None: ...

    made = schema_of(function)
    made["properties"]["x"]["default"]["a"].append(2)
    assert default == {"a": [1]}


# --- shared definitions ---------------------------------------------------------------------------


def test_models_are_defined_once_and_shared() -> None:
    def function(owner: Person, others: list[Person], at: Address | None = None) -> None: ...

    made = schema_of(function)
    assert set(made["$defs"]) == {"Person", "Address"}
    assert made["properties"]["owner"] == {"$ref": "#/$defs/Person"}
    assert made["properties"]["others"]["items"] == {"$ref": "#/$defs/Person"}
    assert made["properties"]["at"]["anyOf"][0] == {"$ref": "#/$defs/Address"}
    assert made["$defs"]["Person"]["properties"]["friends"]["items"] == {"$ref": "#/$defs/Person"}


def test_two_models_of_one_name_keep_apart() -> None:
    def other() -> type[BaseModel]:
        class Address(BaseModel):
            zip: int

        return Address

    def function(a: Address, b: Any) -> None: ...

    function.__annotations__["b"] = other()
    made = schema_of(function)
    refs = [made["properties"][name]["$ref"].rpartition("/")[2] for name in "ab"]
    assert [set(made["$defs"][ref]["properties"]) for ref in refs] == [{"street"}, {"zip"}]


def test_dataclasses_are_described() -> None:
    def function(options: Options) -> None: ...

    made = schema_of(function)
    assert made["$defs"]["Options"]["properties"]["depth"]["default"] == 3


def test_the_schema_is_made_once() -> None:
    made = Tool(lambda_free)
    assert made.schema is made.schema


LEAVES = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3)


@given(LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(LEAVES, LEAVES, max_size=3))
def test_whatever_the_default_the_schema_is_strict_json(default: Any) -> None:
    def function(x: Any = default) -> None: ...

    json.dumps(schema_of(function), allow_nan=False)

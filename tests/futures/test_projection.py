"""The snapshot of a result: fresh JSON, or a failure that names the place, or no JSON form at all."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import re
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import ProjectionError
from asyncfc.futures import projection
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.projection import MAX_DEPTH, NoJsonForm, project


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


class Colour(enum.Enum):
    RED = "red"
    ODD = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    BOB = "bob"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it holds"

    __repr__ = __str__


class Number(int):
    def __int__(self) -> int:
        return -1

    __index__ = __int__


class Fraction(float):
    def __float__(self) -> float:
        return -1.0


class Tags(set[str]):
    pass


class Odd(Mapping[Any, Any]):
    def __init__(self, **items: Any) -> None:
        self._items = items

    def __getitem__(self, key: Any) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@dataclasses.dataclass
class Point:
    x: Any
    tags: set[str] = dataclasses.field(default_factory=lambda: {"b", "a"})


class Model(pydantic.BaseModel):
    name: str = "n"
    when: dt.date = dt.date(2026, 1, 2)
    inner: Any = None


BIG = [number * number * 10**9 + 7 for number in range(30)]

Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024  # what libraries return


# --- what fails, by name and with the path ------------------------------------------------------------


def failure(value: Any) -> str:
    with pytest.raises(ProjectionError) as caught:
        project(value)
    return str(caught.value)


def test_a_cycle_is_named_with_the_way_around_it() -> None:
    state: dict[str, Any] = {"orders": [{"id": 1}]}
    state["orders"][0]["owner"] = state
    assert failure(state).endswith("at .orders[0].owner: a cycle, this is its top level again")
    inner: list[Any] = []
    inner.append((inner,))
    assert failure({"a": {"b": inner}}).endswith("at .a.b[0][0]: a cycle, this is .a.b again")


def test_a_cycle_through_dataclasses_and_odd_mappings_is_a_cycle() -> None:
    @dataclasses.dataclass
    class Node:
        next: Any = None

    chain: Any = None
    for _ in range(MAX_DEPTH + 1):
        chain = Node(chain)
    assert f"more than {MAX_DEPTH} containers" in failure(chain)
    node = Node()
    node.next = {1: node}
    assert failure([node]).endswith("at [0].next.1: a cycle, this is [0] again")


def test_a_cycle_inside_a_model_fails() -> None:
    class Model(pydantic.BaseModel):
        inner: Any = None

    model = Model()
    model.inner = [model]
    assert "at .a: a cycle" in failure({"a": model})


def test_too_many_containers_inside_each_other_fail() -> None:
    assert project(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert f"more than {MAX_DEPTH} containers inside each other" in failure(nested(MAX_DEPTH + 1))
    assert len(failure(nested(100_000))) < 500


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1: "a", "1": "b"}, "at its top level: the keys '1' (int) and '1' (str) are both '1' in JSON"),
        (
            {"x": [{None: 1, "null": 2}]},
            "at .x[0]: the keys 'None' (NoneType) and 'null' (str) are both 'null'",
        ),
        ({"true": 1, True: 2}, "the keys 'true' (str) and 'True' (bool) are both 'true'"),
        ({1.0: 1, "1.0": 2}, "the keys '1.0' (float) and '1.0' (str)"),
        ({uuid.UUID(int=1): 1, str(uuid.UUID(int=1)): 2}, "(UUID) and"),
        ({"n": [0, 10**4300]}, "at .n[1]: an integer of more than 4300 digits"),
        ({-(10**4300)}, "more than 4300 digits"),
        ([Model(inner=10**4300)], "at [0].inner: an integer of more than 4300 digits"),
        ({1: {"a": {10**4300: 1}}}, "at .1.a: an integer of more than 4300 digits"),
    ],
)
def test_structural_faults_are_named_with_their_place(value: Any, message: str) -> None:
    assert message in failure(value)


def test_integers_up_to_the_limit_pass() -> None:
    for number in (10**4300 - 1, 1 - 10**4300):
        assert json.loads(canonical_text(project([number]))) == [number]


def test_a_small_value_that_unfolds_without_end_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "MAX_ITEMS", 2000)
    laughs: Any = "ha"
    for _ in range(60):
        laughs = [laughs, laughs]
    assert "more than 2000 items in all" in failure({"laughs": laughs})
    assert project(["ha"] * 1990) == ["ha"] * 1990
    assert "more than 2000 items" in failure(["ha"] * 1991)
    assert "more than 2000 items" in failure([[]] * 190)


def test_a_long_path_is_shortened() -> None:
    assert len(failure({"k" * 10_000: {1: 1, "1": 1}})) < 500


# --- what has no JSON form ----------------------------------------------------------------------------


def endless() -> Iterator[int]:
    number = 0
    while True:
        yield (number := number + 1)


class Plain:
    pass


@pytest.mark.parametrize(
    "leaf",
    [
        Plain(), object(), Plain, len, ValueError("x"), range(3), b"\xff", memoryview(b"a"),
        types.SimpleNamespace(a=1), endless(), iter([1]), map(str, [1]), Ellipsis, NotImplemented,
    ],
    ids=lambda leaf: type(leaf).__name__,
)  # fmt: skip
def test_a_leaf_without_a_json_form_leaves_the_whole_without_one(leaf: Any) -> None:
    for value in (leaf, {"a": [1, leaf]}, [{"b": (leaf,)}]):
        with pytest.raises(NoJsonForm):
            project(value)


def test_an_iterator_is_not_used_up() -> None:
    numbers = iter([1, 2])
    with pytest.raises(NoJsonForm):
        project({"numbers": numbers})
    assert list(numbers) == [1, 2]


@pytest.mark.parametrize("key", [(1, 2), frozenset("a"), Plain(), b"\xff", None])
def test_a_key_without_text_leaves_the_whole_without_a_json_form(key: Any) -> None:
    if key is None:
        assert project({key: 1}) == {"null": 1}
        return
    with pytest.raises(NoJsonForm):
        project({"a": {key: 1}})


def test_what_an_object_says_of_its_class_is_not_believed() -> None:
    class Liar:
        @property
        def __class__(self) -> Any:
            return dict

        @__class__.setter
        def __class__(self, value: Any) -> None: ...

    with pytest.raises(NoJsonForm):
        project([Liar()])


# --- what becomes of the rest -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, "a", None), [1, "a", None]),
        (Pair(1, (2,)), [1, [2]]),
        (collections.deque([1, 2]), [1, 2]),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset([10, 9, 2]), [10, 2, 9]),  # by text
        ({1, "1", (1,)}, [1, "1", [1]]),
        ({*BIG, *map(str, BIG)}, [item for number in sorted(BIG, key=str) for item in (number, str(number))]),
        (Tags("ba"), ["a", "b"]),
        ({frozenset("ab"), frozenset("c")}, [["a", "b"], ["c"]]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ({"b": 1, "a": 2}.values(), [1, 2]),
        ({"b": 1, "a": 2}.items(), [["b", 1], ["a", 2]]),
        ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
        ({1.5: 1, -0.0: 2, math.inf: 3}, {"1.5": 1, "-0.0": 2, "Infinity": 3}),
        ({Text("k"): Text("v")}, {"k": "v"}),
        ({Level.HIGH: Level.HIGH, Name.BOB: Name.BOB}, {"3": 3, "bob": "bob"}),
        ([Colour.RED, Colour.ODD], ["red", [1, 2]]),
        ([Number(5), Fraction(0.5)], [5, 0.5]),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (Odd(a=Odd(b=1)), {"a": {"b": 1}}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Point(Point(1)), {"x": {"x": 1, "tags": ["a", "b"]}, "tags": ["a", "b"]}),
        ({"m": Model(inner=[Model()])}, {"m": {"name": "n", "when": "2026-01-02", "inner": [
            {"name": "n", "when": "2026-01-02", "inner": None}]}}),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00Z"),
        (decimal.Decimal("1.10"), "1.10"),
        (pathlib.Path("a") / "b", str(pathlib.Path("a") / "b")),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"text", "text"),
        ({dt.date(2026, 1, 2): 1}, {"2026-01-02": 1}),
        (["\ud800", "\x00", "é"], ["\ud800", "\x00", "é"]),
        (Point("\ud800", set()), {"x": "\ud800", "tags": []}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_become_plain_json(value: Any, expected: Any) -> None:
    result = project(value)
    assert result == expected
    assert canonical_text(result) == canonical_text(expected)
    assert types_of(result) <= {dict, list, str, int, float, bool, type(None)}


def types_of(value: Any) -> set[type]:
    if type(value) is dict:
        return {dict}.union(*map(types_of, value), *map(types_of, value.values()))
    return {type(value)}.union(*map(types_of, value)) if type(value) is list else {type(value)}


def test_nan_and_infinities_stay_floats() -> None:
    nan, infinity = project([math.nan, math.inf])
    assert math.isnan(nan)
    assert infinity == math.inf


def test_key_order_is_kept() -> None:
    assert list(project({"b": 1, 2: 1, "a": 1})) == ["b", "2", "a"]


def test_the_result_is_a_snapshot() -> None:
    inner: list[Any] = [1]
    live = {"inner": inner, "pair": (inner, inner)}
    snapshot = project(live)
    inner.append(2)
    live["more"] = []
    assert snapshot == {"inner": [1], "pair": [[1], [1]]}
    snapshot["pair"][0].append(3)
    assert snapshot == {"inner": [1], "pair": [[1, 3], [1]]}


def test_exceptions_of_the_value_itself_pass_through() -> None:
    class Broken(pydantic.BaseModel):
        @pydantic.model_serializer
        def write(self) -> Any:
            raise KeyError("inside")

    class Shape(pydantic.BaseModel):
        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            raise ValueError("no area")

    class Interrupted(pydantic.BaseModel):
        @pydantic.model_serializer
        def write(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyError, match="inside"):
        project([Broken()])
    with pytest.raises(ValueError, match="no area"):
        project([Shape()])
    with pytest.raises(KeyboardInterrupt):
        project([Interrupted()])


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(JSON)
def test_json_projects_to_itself(value: Any) -> None:
    result = project(value)
    assert repr(result) == repr(value)
    assert result is not value or type(value) not in (list, dict)


@given(
    st.dictionaries(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from("ab1"),
        st.none(),
        max_size=4,
    )
)
def test_keys_become_what_json_makes_of_them_or_collide(value: dict[Any, Any]) -> None:
    texts = [re.sub(r'^"|"(?=:)|:.*', "", json.dumps({key: 0})[1:-1]) for key in value]
    if len(set(texts)) == len(texts):
        assert list(project(value)) == texts
    else:
        assert "in JSON" in failure(value)


@given(st.sets(st.integers() | st.text(max_size=3) | st.frozensets(st.integers(), max_size=3), max_size=6))
def test_the_order_of_a_set_does_not_depend_on_its_history(value: set[Any]) -> None:
    backwards = set()
    for item in reversed(list(value)):
        backwards.add(item)
    assert repr(project(value)) == repr(project(backwards))

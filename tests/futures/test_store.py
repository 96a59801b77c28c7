"""Values are kept as they were when the call ended, handed out as copies, and reached by paths."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.errors import ProjectionError, UnresolvedPath
from asyncfc.futures import store as store_module
from asyncfc.futures.handle import parse_path
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.store import Artifact, JsonValue, MemoryStore

store = MemoryStore()


class Hostile(dict[str, Any]):
    """A result whose own code raises when it is read."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(a=1)
        self.error = error

    def items(self) -> Any:
        raise self.error


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "error",
    [ValueError("boom"), StopIteration("boom"), SystemExit("boom"), asyncio.CancelledError("boom"),
     GeneratorExit("boom"), RecursionError("boom"), MemoryError("boom")],
    ids=repr,
)  # fmt: skip
def test_whatever_a_result_raises_when_read_becomes_a_projection_error(error: BaseException) -> None:
    with pytest.raises(ProjectionError, match=rf"type dict.*{type(error).__name__}: boom") as caught:
        store.put({"a": Hostile(error)})
    assert caught.value.__cause__ is error
    with pytest.raises(ProjectionError, match="type Hostile"):
        store.put(Hostile(error))


def test_an_error_that_cannot_be_shown_is_named_all_the_same() -> None:
    with pytest.raises(ProjectionError, match="Silent: <Silent object whose text cannot be had: ValueError>"):
        store.put(Hostile(Silent()))


def test_ctrl_c_while_reading_a_result_propagates() -> None:
    with pytest.raises(KeyboardInterrupt):
        store.put(Hostile(KeyboardInterrupt()))


def test_a_structural_fault_keeps_its_message() -> None:
    with pytest.raises(ProjectionError, match=r"at \.a: the keys"):
        store.put({"a": {1: 1, "1": 1}})


@pytest.mark.parametrize(
    "value", [None, True, 0, -(2**70), 1.5, math.inf, "", "x", "\ud800", [], {}, [{"a": [1]}]]
)
def test_a_value_with_a_json_form_is_given_back_equal(value: Any) -> None:
    stored = store.put(value)
    assert isinstance(stored, JsonValue)
    assert not stored.is_artifact
    assert stored.get() == value
    assert type(stored.get()) is type(value)
    assert stored.at(()) == value
    assert stored.text() == canonical_text(value)
    assert repr(stored) == f"JsonValue({canonical_text(value)})"


def test_an_integer_too_long_for_text_is_refused_at_the_top_too() -> None:
    with pytest.raises(ProjectionError, match="4300 digits"):
        store.put(10**4300)


def test_a_stored_value_is_a_snapshot_and_its_copies_are_independent() -> None:
    live = {"items": [{"id": 1}]}
    stored = store.put(live)
    live["items"].append({"id": 2})
    first, part = stored.get(), stored.at(("items",))
    first["items"][0]["id"] = 9
    part.clear()
    assert stored.get() == {"items": [{"id": 1}]}
    assert stored.at(("items", 0)) == {"id": 1}


NESTED = {
    "items": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    "a key": {"x.y": None, "": 0},
    "text": ' {"deep": [{"text": "[10, 20]"}], "plain": "no JSON"}',
    "prose": "not [1]",
    "broken": "[1,",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".items[0].id", 1),
        (".items[-1].name", "b"),
        (".items[1]", {"id": 2, "name": "b"}),
        ('["a key"]["x.y"]', None),
        ('["a key"][""]', 0),
        (".text", NESTED["text"]),  # the text itself, not what it holds
        (".text.deep", [{"text": "[10, 20]"}]),
        (".text.deep[0].text[1]", 20),
    ],
)
def test_a_path_leads_to_a_part(path: str, expected: Any) -> None:
    assert store.put(NESTED).at(parse_path(path)) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            ".itms",
            "there is no .itms: the value is an object with the keys items, a key, text, prose, broken",
        ),
        (".items[2]", "there is no [2]: .items is a list of length 2, [0] to [1]"),
        (".items[-3]", "there is no [-3]: .items is a list of length 2"),
        (".items.id", "there is no .id: .items is a list of length 2"),
        (".items.0", "there is no .0: .items is a list"),
        ("[0]", "there is no [0]: the value is an object"),
        (".items[0].id.x", "there is no .x: .items[0].id is the plain value 1"),
        (
            ".items[0].name.x",
            "there is no .x: .items[0].name is text that holds no JSON object or array: 'a'",
        ),
        (".prose[0]", "text that holds no JSON object or array: 'not [1]'"),
        (".broken[0]", "text that holds no JSON object or array: '[1,'"),
        (".text.deep[1]", "there is no [1]: .text.deep is a list of length 1"),
        (".text.plain.x", "there is no .x: .text.plain is text that holds no JSON"),
        (".__class__", "there is no .__class__: the value is an object"),
        (".items.append", "there is no .append: .items is a list"),
        ('["a key"]["x.y"].z', '["a key"]["x.y"] is the plain value null'),
    ],
)
def test_a_path_that_does_not_exist_says_where_it_stops_and_what_is_there(path: str, message: str) -> None:
    with pytest.raises(UnresolvedPath) as caught:
        store.put(NESTED).at(parse_path(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("scalar", [None, True, 5, 1.5, "text", '"[1]"', "1"])
def test_a_scalar_has_no_parts(scalar: Any) -> None:
    for path in ((0,), ("real",), ("x",)):
        with pytest.raises(UnresolvedPath, match="the value is"):
            store.put(scalar).at(path)


def test_text_that_holds_json_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    original = store_module.parse_container

    def counting(text: str) -> Any:
        parsed.append(text)
        return original(text)

    monkeypatch.setattr(store_module, "parse_container", counting)
    stored = store.put('{"items": [1, 2]}')
    stored.at(("items",)).append(3)
    assert [stored.at(("items", n)) for n in (0, 1, -1)] == [1, 2, 2]
    assert stored.get() == '{"items": [1, 2]}'
    assert parsed == ['{"items": [1, 2]}']


@pytest.mark.parametrize(
    "text", ["[" * 300 + "]" * 300, "[" * 100_000 + "]" * 100_000, "[" + "9" * 5000 + "]"]
)
def test_text_that_cannot_be_held_as_json_has_no_parts(text: str) -> None:
    with pytest.raises(UnresolvedPath, match="text that holds no JSON"):
        store.put({"text": text}).at(("text", 0))


def test_text_above_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAX_PARSED_CHARS", 3)
    assert store.put("[1]").at((0,)) == 1
    with pytest.raises(UnresolvedPath):
        store.put("[12]").at((0,))


@pytest.mark.parametrize(
    ("value", "limit", "preview"),
    [
        ("text", 4, "text"),
        ("text", 3, "te…"),
        ({"a": [1, 2]}, 11, '{"a":[1,2]}'),
        ({"a": [1, 2]}, 10, '{"a":[1,2…'),
        ([], 2, "[]"),
        ("text", 1, "…"),
        ("text", 0, ""),
        (None, 10, "null"),
    ],
)
def test_a_preview_is_the_start_of_the_text(value: Any, limit: int, preview: str) -> None:
    assert store.put(value).preview(limit) == preview


def test_a_preview_of_much_is_rendered_no_further_than_needed() -> None:
    class Counted(list[Any]):
        reads = 0

        def __iter__(self) -> Any:
            for item in super().__iter__():
                Counted.reads += 1
                yield item

    assert JsonValue(Counted(range(10_000))).preview(5) == "[0,1…"
    assert Counted.reads < 10


def test_size_is_roughly_what_the_value_takes() -> None:
    assert store.put("x" * 10_000).size == pytest.approx(10_000, rel=0.05)
    assert store.put([["x" * 1000]] * 10).size == pytest.approx(10_000, rel=0.25)
    assert store.put({"k" * 1000: "x" * 1000}).size == pytest.approx(2000, rel=0.25)
    assert store.put(None).size < 100
    stored = store.put(["x"])
    assert stored.size == stored.size


class Connection:
    def __init__(self) -> None:
        self.state = "open"

    def __repr__(self) -> str:
        return f"<{self.state}>"


@pytest.mark.parametrize(
    "wrap", [lambda item: item, lambda item: {"db": [item]}, lambda item: {(1, 2): item}]
)
def test_a_value_without_a_json_form_is_an_artifact_passed_by_identity(wrap: Any) -> None:
    value = wrap(Connection())
    stored = store.put(value)
    assert isinstance(stored, Artifact)
    assert stored.is_artifact
    assert stored.get() is value
    assert stored.at(()) is value
    with pytest.raises(UnresolvedPath, match=r"no \.state: .*can only be passed as a whole"):
        stored.at(("state",))


def test_the_text_of_an_artifact_is_that_of_the_end_of_its_call() -> None:
    connection = Connection()
    stored = store.put(connection)
    connection.state = "closed"
    assert stored.text() == "<open>"
    assert stored.preview(3) == "<o…"
    assert repr(stored) == "Artifact(<open>)"


def test_a_hostile_artifact_is_kept_all_the_same() -> None:
    class Awkward:
        def __str__(self) -> str:
            raise ValueError

        def __sizeof__(self) -> int:
            raise ValueError

        __repr__ = __str__

    stored = store.put(Awkward())
    assert stored.text() == "<Awkward object whose text cannot be had: ValueError>"
    assert stored.size == len(stored.text())


def test_the_text_of_an_artifact_is_bounded() -> None:
    class Long:
        def __str__(self) -> str:
            return "x" * 1_000_000

    assert len(store.put(Long()).text()) == store_module.MAX_ARTIFACT_CHARS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def all_paths(value: Any) -> list[tuple[tuple[Any, ...], Any]]:
    steps = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [((), value), *(((step, *path), part) for step, item in steps for path, part in all_paths(item))]


@given(JSON)
def test_every_part_is_reached_by_its_path_also_within_text(value: Any) -> None:
    stored, as_text = store.put(value), store.put(canonical_text(value))
    for path, part in all_paths(value):
        assert repr(stored.at(path)) == repr(part)
        if path:
            assert repr(as_text.at(path)) == repr(part)


@given(JSON, st.integers(0, 40))
def test_every_preview_starts_as_the_text_does(value: Any, limit: int) -> None:
    stored = store.put(value)
    preview = stored.preview(limit)
    assert len(preview) <= limit or preview == stored.text()
    assert stored.text().startswith(preview.removesuffix("…")) or preview == stored.text()


# --- how values are held ------------------------------------------------------------------------------


SMALL, LARGE, TEXT = {"a": [1, "ü"]}, ["x" * 100] * 200, "plain"


@pytest.mark.parametrize("value", [LARGE, TEXT, 1, None, True, object()])
def test_what_is_no_small_container_is_held_as_it_is(value: Any) -> None:
    stored = store.put(value)
    assert stored.held() is stored


def test_a_small_container_is_held_as_text_that_gives_an_equal_value() -> None:
    stored = store.put(SMALL)
    held = stored.held()
    assert held == '{"a":[1,"ü"]}'
    again = JsonValue.of_text(held)
    assert again == stored
    assert again.get() == SMALL
    assert again.text() == held
    assert again.held() == held


@pytest.mark.parametrize("value", [SMALL, LARGE, TEXT, 1, None], ids=lambda value: type(value).__name__)
def test_values_of_equal_results_are_equal_and_hash_alike(value: Any) -> None:
    one, other = JsonValue(value), JsonValue(value)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0, False), ("1", 1), ([1], [True]), ([1], "[1]"), ({}, []), (LARGE, LARGE[1:])],
)
def test_values_that_differ_as_json_are_not_equal(one: Any, other: Any) -> None:
    assert JsonValue(one) != JsonValue(other)


def test_a_value_equals_no_other_object() -> None:
    assert JsonValue(1) != 1
    assert JsonValue("a") != "a"
    assert JsonValue(1) != Artifact(1)

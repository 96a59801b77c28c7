from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.declaration import Declaration, parse_declaration
from asyncfc.depgraph.effects import NO_CLAIM, UNDECLARED, Claim
from asyncfc.errors import DeclarationError

WRITTEN = (
    '{"reads": [], "writes": [], "pure": false, "level": null, "idempotent": false, "retries": 0, '
    '"breaker": null, "thread": null, '
    '"timeout": null, "abandon_after": null, "on_abandon": "quarantine"}'
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "read", "pure"])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"read": ["a"]}, "unknown field 'read' in its effects; the fields are reads, writes, pure"),
        ({"timout": None}, "unknown field 'timout'"),
        ({"level": "wirte"}, "field 'level': .*'read', 'write' or 'irreversible', got 'wirte'"),
        ({"thread": "any"}, "field 'thread': .*'worker', 'pool' or 'caller', got 'any'"),
        ({"timeout": 0}, "field 'timeout': .* greater than 0, got 0"),
        ({"timeout": "5"}, "field 'timeout': .* number, got '5'"),
        ({"timeout": True}, "field 'timeout': .* number, got True"),
        ({"timeout": float("nan")}, "field 'timeout': .* finite"),
        ({"pure": "yes"}, "field 'pure': .* boolean, got 'yes'"),
        ({"idempotent": 1}, "field 'idempotent': .* boolean, got 1"),
        ({"reads": {"a": 1}}, "field 'reads': Input should be a label or a list of labels"),
        ({"writes": 7}, "field 'writes': Input should be a label or a list of labels, got 7"),
        (
            {"writes": ["a", 7, len]},
            "field 'writes.1': Input should be a label or a function that returns labels, got 7",
        ),
        ({"level": len}, "field 'level': .*, got <built-in function len>"),
        ({1: 2}, "field '1'"),
        ("write", "effects are 'pure', 'read' or a mapping such as .*, got 'write'"),
        (None, "effects are 'pure', 'read' or a mapping such as .*, got None"),
        (["a"], r"effects are 'pure', 'read' or a mapping such as .*, got \['a'\]"),
    ],
)
def test_refuses_naming_the_tool_the_field_and_what_was_expected(raw: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=f"^tool 'save': {message}"):
        parse_declaration(raw, tool="save")


def test_refuses_naming_the_place_where_it_is_written_if_that_is_not_the_tool() -> None:
    for raw in ("write", {"level": "wirte"}):
        with pytest.raises(DeclarationError, match=r"^effects\.toml: .*'wri?"):
            parse_declaration(raw, tool="save", place="effects.toml")


def test_names_every_problem_at_once() -> None:
    with pytest.raises(DeclarationError, match=r"'level'.*; .*'timeout'"):
        parse_declaration({"level": "x", "timeout": -1}, tool="t")


@given(
    SCALARS | st.dictionaries(st.sampled_from(sorted(Declaration.model_fields)), SCALARS | st.lists(SCALARS))
)
def test_raises_nothing_but_declaration_errors(raw: Any) -> None:
    with suppress(DeclarationError):
        parse_declaration(raw, tool="t").spec("t", ())


def test_the_written_form_with_its_defaults_says_nothing() -> None:
    assert (
        parse_declaration(json.loads(WRITTEN), tool="t") == Declaration() == parse_declaration({}, tool="t")
    )
    assert Declaration().model_dump(mode="json") == json.loads(WRITTEN)
    assert Declaration().spec("t", ()) is UNDECLARED


def test_none_is_the_same_as_leaving_a_field_out() -> None:
    unset = parse_declaration(dict.fromkeys(Declaration.model_fields), tool="t")
    assert unset == Declaration()
    assert unset.model_fields_set == set()


def test_toml_json_and_python_say_the_same() -> None:
    from_toml = tomllib.loads('reads = "db.users"\nwrites = ["fs:/{path}"]\ntimeout = 5')
    from_json = json.loads('{"reads": ["db.users"], "writes": "fs:/{path}", "timeout": 5.0, "level": null}')
    from_python = {"reads": ("db.users",), "writes": {"fs:/{path}"}, "timeout": 5}
    declarations = [parse_declaration(raw, tool="t") for raw in (from_toml, from_json, from_python)]
    assert declarations == [Declaration(reads=("db.users",), writes=("fs:/{path}",), timeout=5.0)] * 3


def test_a_label_may_be_a_function_alone_or_among_others() -> None:
    def touched(path: str) -> str:
        return f"db.{path}"

    for raw in (touched, [touched], (touched,), {touched}):
        assert parse_declaration({"reads": raw}, tool="t").reads == (touched,)
    spec = parse_declaration({"reads": ["log", touched], "writes": touched}, tool="t").spec("t", ["path"])
    assert spec.bind({"path": "a"}) == Claim.make([("log",)], [("db", "a")])


def test_a_set_of_labels_has_one_order() -> None:
    assert parse_declaration({"reads": set("hgfedcba")}, tool="t").reads == tuple("abcdefgh")


@pytest.mark.parametrize(
    ("word", "claim"), [("pure", NO_CLAIM), ("read", Claim.make([()], [])), ({"pure": True}, NO_CLAIM)]
)
def test_one_word_is_enough(word: Any, claim: Claim) -> None:
    spec = parse_declaration(word, tool="t").spec("t", ["x"])
    assert spec.level == "read"
    assert spec.bind({"x": 1}) == claim


def test_a_declaration_is_taken_as_it_is() -> None:
    declaration = Declaration(pure=True)
    assert parse_declaration(declaration, tool="t") is declaration


def test_holes_are_checked_against_the_parameters() -> None:
    declaration = parse_declaration({"writes": "fs:/{pth}"}, tool="save")
    assert declaration.spec("save", None).parameters == {"pth"}
    with pytest.raises(DeclarationError, match=r"tool 'save'.*'pth'.*'path'"):
        declaration.spec("save", ["path"])


def test_resolve_is_handed_on() -> None:
    spec = parse_declaration({"reads": "fs:{path}"}, tool="t").spec("t", ["path"], resolve=str.lower)
    assert spec.bind({"path": "A"}) == Claim.make([("fs", "a")], [])

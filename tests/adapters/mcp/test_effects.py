"""Annotations to effects: the table, and who wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import Tool, ToolAnnotations

from asyncfc.adapters.mcp.effects import effects_of, server_label
from asyncfc.adapters.mcp.tools import declared_for
from asyncfc.depgraph.declaration import parse_declaration
from asyncfc.depgraph.effects import EVERYTHING, EffectSpec
from asyncfc.errors import DeclarationError

HINTS = ("read_only_hint", "destructive_hint", "idempotent_hint", "open_world_hint")


def hints(text: str) -> ToolAnnotations | None:
    """`r+ o-` is readOnly=true, openWorld=false."""
    if text == "none":
        return None
    given = {word[0]: word[1] == "+" for word in text.split()}
    return ToolAnnotations.model_validate({name: given.get(name[0]) for name in HINTS}, by_name=True)


HERE, WORLD = "mcp:fs", "world"


@pytest.mark.parametrize(
    ("annotations", "trusted", "expected"),
    [
        ("none", False, None),
        ("none", True, None),
        ("", True, None),
        ("r+ o-", False, None),
        ("r+ o-", True, {"level": "read", "reads": [HERE]}),
        ("r+", True, {"level": "read", "reads": [HERE, WORLD]}),
        ("r+ o+", True, {"level": "read", "reads": [HERE, WORLD]}),
        ("r+ i+ o-", True, {"level": "read", "reads": [HERE], "idempotent": True}),
        ("r- o-", True, {"writes": [HERE]}),
        ("r-", True, {"writes": [HERE, WORLD]}),
        ("o-", True, {"writes": [HERE]}),
        ("d+ o-", True, {"writes": [HERE]}),
        ("d- o-", True, {"writes": [HERE]}),
        ("d+", True, {"writes": [HERE, WORLD]}),
        ("r- i+ o-", True, {"writes": [HERE], "idempotent": True}),
        ("i+ o+", True, {"writes": [HERE, WORLD], "idempotent": True}),
    ],
)
def test_hints_count_where_they_are_trusted(annotations: str, trusted: bool, expected: Any) -> None:
    assert effects_of(hints(annotations), server="fs", trusted=trusted) == expected


def test_what_is_declared_without_a_level_is_irreversible_if_it_is_to_be() -> None:
    found = effects_of(None, server="shop", trusted=False, declared={"writes": "shop"}, irreversible=True)
    assert found == {"writes": "shop", "level": "irreversible"}


def test_a_name_that_fits_no_tool_is_refused() -> None:
    tools = [Tool(name="pay", input_schema={"type": "object"})]
    fault = r"irreversible has 'py', which fits no tool; they are \['pay'\]"
    with pytest.raises(DeclarationError, match=fault):
        declared_for(tools, server="shop", trust=True, irreversible=["p*", "py"])


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("declared", ["pure", {"writes": "fs:{path}", "level": "write"}])
def test_what_is_declared_wins_over_hints_and_over_a_list_of_the_irreversible(
    trusted: bool, declared: Any
) -> None:
    found = effects_of(hints("r- d+"), server="fs", trusted=trusted, declared=declared, irreversible=True)
    assert found == declared


@pytest.mark.parametrize(
    ("annotations", "trusted", "expected"),
    [
        ("none", True, {"level": "irreversible"}),
        ("d+ o-", False, {"level": "irreversible"}),
        ("d+ o-", True, {"level": "irreversible", "writes": [HERE]}),
        ("r+ o-", True, {"level": "irreversible", "writes": [HERE]}),
    ],
)
def test_only_the_user_makes_a_tool_irreversible(annotations: str, trusted: bool, expected: Any) -> None:
    assert effects_of(hints(annotations), server="fs", trusted=trusted, irreversible=True) == expected


@given(st.tuples(*(st.sampled_from([True, False, None]) for _ in HINTS)), st.booleans(), st.booleans())
def test_no_hint_makes_a_call_irreversible_or_pure(
    values: tuple[bool | None, ...], trusted: bool, beside: bool
) -> None:
    annotations = ToolAnnotations.model_validate(dict(zip(HINTS, values, strict=True)), by_name=True)
    found = effects_of(annotations, server="fs", trusted=trusted, beside_declared=beside)
    spec = parse_declaration(found or {}, tool="t").spec("t", ["path"])
    assert spec.level in ("read", "write")
    assert not spec.pure
    assert spec.level == "write" or (trusted and annotations.read_only_hint)


def spec_of(declared: Any) -> EffectSpec:
    return parse_declaration(declared or {}, tool="t").spec("t", ["path"])


def test_beside_path_labels_the_other_tools_of_a_server_stay_ordered_against_them() -> None:
    listed = [
        Tool(name="write_file", input_schema={"properties": {"path": {}}}, annotations=hints("r- o-")),
        Tool(name="list_directory", input_schema={}, annotations=hints("r+ o-")),
        Tool(name="move_file", input_schema={}, annotations=hints("d+ o-")),
    ]
    found = declared_for(listed, server="fs", trust=True, effects={"write_file": {"writes": "fs:{path}"}})
    assert spec_of(found["list_directory"]).bind({}) == EffectSpec.declare("t", level="read").bind({})
    assert spec_of(found["move_file"]).bind({}) == EVERYTHING


def test_patterns_names_and_a_timeout() -> None:
    listed = [Tool(name=name, input_schema={}) for name in ("get_a", "get_b", "put")]
    effects: dict[str, Any] = {"get_*": "read", "get_b": {"reads": ["b"], "timeout": 3}}
    found = declared_for(listed, server="s", trust=False, effects=effects, irreversible=["pu?"], timeout=9)
    assert found == {
        "get_a": {"timeout": 9, "level": "read"},
        "get_b": {"timeout": 3, "reads": ["b"]},
        "put": {"timeout": 9, "level": "irreversible"},
    }


def test_effects_for_a_tool_that_the_server_does_not_have_are_refused() -> None:
    with pytest.raises(
        DeclarationError, match=r"effects\['wirte'\]: matches no tool; the tools are \['write'\]"
    ):
        declared_for([Tool(name="write", input_schema={})], server="s", trust=True, effects={"wirte": "read"})


@pytest.mark.parametrize(
    ("name", "label"),
    [("fs", "mcp:fs"), ("my.server/2 {x}", "mcp:my%2Eserver%2F2%20%7Bx%7D"), ("a_b-c", "mcp:a_b-c")],
)
def test_the_label_of_a_server_is_one_component_whatever_its_name(name: str, label: str) -> None:
    assert server_label(name) == label
    (read,) = EffectSpec.declare("t", reads=[label]).bind({}).reads
    assert len(read) == 2

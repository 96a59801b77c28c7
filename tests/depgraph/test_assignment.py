from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.depgraph.assignment import assign
from asyncfc.errors import DeclarationError

TOOLS = ["github_get", "github_put", "search"]


def chosen(*keys: str, tools: list[str] = TOOLS) -> dict[str, str]:
    """The key that each tool gets."""
    return {name: key for name, (key, _) in assign({key: key for key in keys}, tools).items()}


@pytest.mark.parametrize("key", ["serch", "gitlab_*", "GitHub_*", "Search", "github_", "", "[!a-z]*", 7])
def test_refuses_what_matches_no_tool_and_names_those_there_are(key: Any) -> None:
    with pytest.raises(DeclarationError) as caught:
        assign({"search": "pure", key: "pure"}, TOOLS)
    assert str(caught.value) == f"effects[{key!r}]: matches no tool; the tools are {TOOLS}"


def test_refuses_a_pattern_where_there_are_no_tools() -> None:
    with pytest.raises(DeclarationError, match=r"the tools are \[\]"):
        chosen("?*", tools=[])


@pytest.mark.parametrize("effects", [["search"], {"search"}, 7, b"effects.toml"])
def test_refuses_what_is_neither_a_mapping_nor_a_path(effects: Any) -> None:
    with pytest.raises(DeclarationError, match="a mapping by the names of tools or the path of a TOML file"):
        assign(effects, TOOLS)


def test_a_star_alone_may_match_nothing() -> None:
    assert chosen("*", tools=[]) == {}
    assert chosen("search", "*", tools=["search"]) == {"search": "search"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["github_*"], {"github_get": "github_*", "github_put": "github_*"}),
        (["github_?et", "[st]earch"], {"github_get": "github_?et", "search": "[st]earch"}),
        (["github_*", "github_get"], {"github_get": "github_get", "github_put": "github_*"}),
        (["github_get", "github_*"], {"github_get": "github_get", "github_put": "github_*"}),
        (["*_get", "github_*"], {"github_get": "*_get", "github_put": "github_*"}),
        (["github_*", "*_get"], {"github_get": "github_*", "github_put": "github_*"}),
        (["search", "*"], {"search": "search", "github_get": "*", "github_put": "*"}),
        (["*", "search"], {"search": "search", "github_get": "*", "github_put": "*"}),
    ],
)
def test_a_name_wins_over_patterns_and_the_first_pattern_over_later_ones(
    keys: list[str], expected: dict[str, str]
) -> None:
    assert chosen(*keys) == expected


def test_a_pattern_that_is_the_name_of_a_tool_is_a_name() -> None:
    assert chosen("[a]", tools=["[a]", "a"]) == {"[a]": "[a]"}
    assert chosen("*", tools=["*", "a"]) == {"*": "*"}


@given(st.permutations(["github_get", "github_*", "*t", "*"]))
def test_every_tool_gets_its_name_or_else_the_first_key_that_fits(keys: list[str]) -> None:
    fitting = {
        "github_get": ["github_get"],
        "github_put": [key for key in keys if key != "github_get"],
        "search": ["*"],
    }
    assert chosen(*keys) == {name: first for name, (first, *_) in fitting.items()}


def test_says_what_is_declared_and_where_it_is_written(tmp_path: Path) -> None:
    in_python: dict[str, Any] = {"github_*": {"pure": True}, "search": "read"}
    assert assign(in_python, TOOLS) == {
        "github_get": ({"pure": True}, "effects['github_*']"),
        "github_put": ({"pure": True}, "effects['github_*']"),
        "search": ("read", "effects['search']"),
    }
    path = tmp_path / "effects.toml"
    path.write_text('[tools."github_*"]\npure = true\n[tools.search]\nlevel = "read"', encoding="utf-8")
    for given_as in (path, str(path)):
        assert assign(given_as, TOOLS) == {
            "github_get": ({"pure": True}, f'{path}, [tools."github_*"]'),
            "github_put": ({"pure": True}, f'{path}, [tools."github_*"]'),
            "search": ({"level": "read"}, f"{path}, [tools.search]"),
        }


def test_a_file_that_names_no_tool_is_refused_by_its_table(tmp_path: Path) -> None:
    path = tmp_path / "effects.toml"
    path.write_text('[tools]\n"s e" = "pure"', encoding="utf-8")
    with pytest.raises(DeclarationError, match=r'effects\.toml, \[tools\."s e"\]: matches no tool'):
        assign(path, TOOLS)

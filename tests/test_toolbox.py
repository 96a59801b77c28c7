"""Tools by name, and declarations for those that one does not own: mappings, patterns, files, functions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asyncfc.depgraph.effects import EVERYTHING, NO_CLAIM, UNDECLARED, Claim
from asyncfc.errors import DeclarationError
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, Stage, settle_loop
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool, tool

BANK = [("bank",)]


def save(path: str, text: str = "") -> str:
    return path + text


def read(path: str) -> str:
    return path


def search(query: str) -> str:
    return query


TOOLS = [save, read, search]


# --- names ----------------------------------------------------------------------------------------


def test_refuses_two_tools_of_one_name() -> None:
    with pytest.raises(DeclarationError, match="two tools are called 'save'"):
        toolbox([save, Tool(read, name="save")], {})


def test_a_mapping_gives_the_names() -> None:
    tools: dict[str, Any] = {"put": save, "get": tool(reads="fs:{path}")(read)}
    made = toolbox(tools, {})
    assert {name: made[name].name for name in made} == {"put": "put", "get": "get"}
    assert made["get"].spec.bind({"path": "a"}) == Claim.make([("fs", "a")], [])


# --- declarations for them ------------------------------------------------------------------------


def test_refuses_effects_for_no_tool_and_names_the_tools_there_are() -> None:
    with pytest.raises(
        DeclarationError, match=r"effects\['sava'\]: matches no tool; .*'read', 'save', 'sear"
    ):
        toolbox(TOOLS, {"sava": "pure"})


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("wirte", "effects are 'pure', 'read' or a mapping"),
        ({"wirtes": "db"}, "unknown field 'wirtes'"),
        ({"reads": "fs:{paht}"}, r"field 'reads': label 'fs:\{paht\}'.*'path'"),
        ({"reads": lambda paht: paht}, r"field 'reads': label function .*'paht'.*'path'"),
    ],
)
def test_refuses_what_is_written_wrongly_naming_the_place_and_the_tool(
    declaration: Any, message: str
) -> None:
    with pytest.raises(DeclarationError, match=rf"^effects\['re\*'\]: tool 'read': {message}"):
        toolbox(TOOLS, {"re*": declaration})


def test_refuses_what_does_not_fit_the_tool_naming_the_file_and_the_table(tmp_path: Path) -> None:
    path = tmp_path / "effects.toml"
    path.write_text('[tools."re*"]\nreads = "fs:{paht}"', encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"effects\.toml, \[tools\.\"re\*\"\]: tool 'read': .*'paht'"):
        toolbox(TOOLS, path)


def test_a_tool_that_nothing_is_declared_for_stays_as_it_is() -> None:
    own = tool(reads="fs:{path}", timeout=5)(read)
    made = toolbox([own, save, search], {"search": "pure"})
    assert made["read"] is own
    assert made["save"].spec is UNDECLARED
    assert made["search"].spec.bind({}) == NO_CLAIM


def test_patterns_and_names_together() -> None:
    made = toolbox(TOOLS, {"s*": {"writes": "s"}, "*": "read", "search": "pure"})
    claims = {name: one.spec.bind({}) for name, one in made.items()}
    assert claims == {
        "save": Claim.make([], [("s",)]),
        "read": Claim.make([()], []),
        "search": NO_CLAIM,
    }


def test_a_declaration_replaces_the_whole_of_the_tools_own() -> None:
    own = tool(reads="fs:{path}", timeout=5)(read)
    for key in ("read", "r*"):
        made = toolbox([own], {key: {"level": "write"}})["read"]
        assert (made.spec.bind({}), made.timeout) == (EVERYTHING, None)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_says_what_a_mapping_says(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "effects.toml"
    path.write_text('[tools]\nsearch = "pure"\n[tools."*"]\nreads = "fs:{path}"', encoding="utf-8")
    made = toolbox(TOOLS, kind(path))
    assert made["search"].spec.pure
    assert made["read"].spec.bind({"path": "a"}) == Claim.make([("fs", "a")], [])


# --- what label functions get ---------------------------------------------------------------------


def claim(function: Tool, **arguments: Any) -> Claim:
    """Of a call of the tool whose arguments are all known."""
    known, untold = function.label_arguments(arguments)
    return function.spec.bind(known, (), untold)


def test_a_label_function_gets_the_arguments_with_the_defaults_applied() -> None:
    made = toolbox([save], {"save": {"writes": lambda path, text: [f"a.{path}", f"b.{text or 'none'}"]}})
    assert claim(made["save"], path="x") == Claim.make([], [("a", "x"), ("b", "none")])
    everything = tool(writes=lambda **all_: [f"{key}.{value}" for key, value in all_.items()])(save)
    assert claim(everything, path="x", text="y") == Claim.make([], [("path", "x"), ("text", "y")])


def test_it_gets_arguments_that_have_no_parameter_too() -> None:
    @tool(writes=lambda **all_: list(all_))
    def anything(first: int = 0, **others: Any) -> None: ...

    assert claim(anything, x=1) == Claim.make([], [("first",), ("x",)])


def test_it_gets_the_values_that_the_tool_gets() -> None:
    @tool(reads=lambda count: f"db.{count + 1}", validate=True)
    def rows(count: int) -> int:
        return count

    assert claim(rows, count="6") == Claim.make([("db", "7")], [])
    assert claim(rows, count="six") == Claim.make([()], [])  # refused when it starts


def test_one_label_function_serves_all_tools_of_a_pattern() -> None:
    made = toolbox(TOOLS, {"*": {"reads": lambda path=None: [] if path is None else f"fs:{path}"}})
    assert claim(made["read"], path="a") == Claim.make([("fs", "a")], [])
    assert claim(made["search"], query="a") == NO_CLAIM


# --- in a session ---------------------------------------------------------------------------------


Story = Callable[[Session, Stage], Awaitable[None]]


def play(story: Story, *puppets: Puppet, **settings: Any) -> None:
    async def main() -> None:
        stage = Stage(Puppet("find", pure=True), Puppet("lock", writes="db.{key}"), *puppets)
        async with Session(stage.tools, id="play", **settings) as session:
            await story(session, stage)
            for _ in range(3):
                await settle_loop()
                for run in stage.running:
                    run.succeed()
            assert not (await session.finish(timeout=1)).left

    run_virtual(main)


@pytest.mark.parametrize(("found", "starts"), [("free", True), ("taken", False), ("", True), ("*", False)])
def test_a_late_label_function_binds_when_its_argument_is_known(found: str, starts: bool) -> None:
    async def story(session: Session, stage: Stage) -> None:
        key, _, _ = await session.submit(
            [
                Call("1", "find", {}),
                Call("2", "lock", {"key": "taken"}),
                Call("3", "put", {"key": "$this_1", "text": "x"}),
            ]
        )
        await settle_loop()
        assert not stage["put"].runs
        stage["find"].running[0].succeed(found)
        assert await key.future == found
        await settle_loop()
        assert bool(stage["put"].running) == starts
        assert stage["lock"].running

    play(story, Puppet("put", writes=lambda key: [f"db.{key}"] if key else []))


def test_a_handle_in_an_argument_that_it_does_not_name_delays_nobody() -> None:
    async def story(session: Session, stage: Stage) -> None:
        await session.submit(
            [
                Call("1", "find", {}),
                Call("2", "put", {"key": "a", "text": "$this_1"}),
                Call("3", "lock", {"key": "b"}),
            ]
        )
        await settle_loop()
        assert stage["lock"].running
        assert not stage["put"].runs

    play(story, Puppet("put", writes=lambda key: f"db.{key}"))


def test_one_that_needs_all_parameters_waits_for_each_of_them() -> None:
    async def put(key: str, text: str) -> str:
        return key + text

    async def story(session: Session, stage: Stage) -> None:
        *_, answer, _ = await session.submit(
            [
                Call("1", "find", {}),
                Call("2", "put", {"key": "a", "text": "$this_1"}),
                Call("3", "lock", {"key": "b"}),
            ]
        )
        await settle_loop()
        assert not stage["lock"].runs
        stage["find"].running[0].succeed("x")
        await settle_loop()
        assert answer.future.settled
        assert stage["lock"].running

    effects = {"put": {"writes": lambda **arguments: f"db.{arguments['key']}"}}

    async def main() -> None:
        stage = Stage(Puppet("find", pure=True), Puppet("lock", writes="db.{key}"))
        async with Session([*stage.tools, put], effects=effects) as session:
            await story(session, stage)

    run_virtual(main)


def test_one_that_needs_all_arguments_waits_for_those_without_a_parameter_too() -> None:
    async def story(session: Session, stage: Stage) -> None:
        await session.submit(
            [
                Call("1", "find", {}),
                Call("2", "put", {"key": "a", "more": ["$this_1"]}),
                Call("3", "lock", {"key": "c"}),
            ]
        )
        await settle_loop()
        assert not stage["lock"].runs
        stage["find"].running[0].succeed("b")
        await settle_loop()
        assert stage["put"].running
        assert stage["lock"].running

    def touched(**arguments: Any) -> list[str]:
        return [f"db.{arguments['key']}", *(f"db.{one}" for one in arguments["more"])]

    play(story, Puppet("put", writes=touched))


def test_one_that_fails_orders_its_calls_after_all_others_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(key: str) -> str:
        raise LookupError(key)

    async def story(session: Session, stage: Stage) -> None:
        calls = [
            Call("1", "lock", {"key": "a"}),
            Call("2", "put", {"key": "b"}),
            Call("3", "put", {"key": "c"}),
        ]
        answers = await session.submit(calls)
        for name in ("lock", "put", "put"):
            await settle_loop()
            (run,) = stage.running
            assert run.puppet.name == name
            run.succeed(name)
        await session.finish()
        assert [answer.future.result() for answer in answers] == ["lock", "put", "put"]

    with caplog.at_level(logging.WARNING, logger="asyncfc"):
        play(story, Puppet("put"), effects={"put": {"reads": "log", "writes": ["log", broken]}})
    assert ["tool 'put'" in record.getMessage() for record in caplog.records] == [True]


def test_effects_for_a_session_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "effects.toml"
    path.write_text('[tools."p*"]\nwrites = "db.{key}"', encoding="utf-8")

    async def story(session: Session, stage: Stage) -> None:
        await session.submit([Call("1", "lock", {"key": "a"}), Call("2", "put", {"key": "b"})])
        await settle_loop()
        assert len(stage.running) == 2

    play(story, Puppet("put"), effects=str(path))
    play(story, Puppet("put"), effects=path)

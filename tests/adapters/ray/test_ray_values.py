# ruff: noqa: ASYNC240  # what workers do is seen in files alone
from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import pytest
import ray

from asyncfc import Failure, NotTransferable, Session, UnresolvedPath, ValueDropped
from asyncfc.adapters.ray.values import HEAD_CHARS, RemoteValue
from asyncfc.futures.outcome import Outcome
from tests.adapters.ray import ray_tools as tools
from tests.adapters.ray.stories import call, outcomes, private_bytes, run, session_of, values

HUGE = 200_000_000


def remote(outcome: Outcome) -> RemoteValue:
    assert isinstance(outcome, RemoteValue)
    return outcome


def test_a_value_of_200_MB_goes_from_one_remote_tool_to_the_next_past_the_program() -> None:
    async def story() -> None:
        async with session_of([tools.big, tools.length], max_chars=1000) as session:
            await values(session, call(1, "big", chars=20_000), call(2, "length", thing="$this_1"))
            before = private_bytes()
            given, found = await outcomes(
                session, call(3, "big", chars=HUGE), call(4, "length", thing="$this_1")
            )
            assert found.unwrap() == HUGE
            with session.sampling() as deliveries:
                assert "x" * 900 in deliveries[-2].text
                assert str(HUGE) in deliveries[-2].text
            assert private_bytes() - before < 10_000_000
            assert remote(given).size >= HUGE

    run(story())


def test_references_are_filled_in_on_the_worker_as_they_are_here() -> None:
    async def story() -> None:
        async with session_of([tools.rows, tools.lengths, tools.echo]) as session:
            made, *found = await outcomes(
                session,
                call(1, "rows", count=5000),
                call(2, "lengths", one="$this_1", other="$this_1", text="a ${this_1.count} b"),
                call(3, "echo", thing={"in": ["$this_1.rows[4999].n", "$this_1.count"]}),
            )
            assert remote(made).chars > HEAD_CHARS
            assert [outcome.unwrap() for outcome in found] == [
                [5000, 5000, len("a 5000 b"), 5000],
                {"in": [4999, 5000]},
            ]

    run(story())


def test_a_path_that_does_not_exist_fails_the_call_before_its_tool_runs() -> None:
    async def story() -> None:
        async with session_of([tools.rows, tools.echo]) as session:
            _, missing = await outcomes(
                session, call(1, "rows", count=5000), call(2, "echo", thing="$this_1.nope")
            )
            assert isinstance(missing, Failure)
            assert isinstance(missing.error, UnresolvedPath)
            assert str(missing.error) == (
                "$this_1.nope: there is no .nope: the value is an object with the keys rows, count"
            )

    run(story())


def test_a_call_that_runs_here_gets_what_lies_there() -> None:
    async def story() -> None:
        here = {"length_here": {"pure": True, "thread": "pool"}}
        async with session_of([tools.big, tools.rows, tools.length_here], effects=here) as session:
            _, text, _, rows = await values(
                session,
                call(1, "big", chars=20_000),
                call(2, "length_here", thing="$this_1"),
                call(3, "rows", count=1000),
                call(4, "length_here", thing="$this_3.rows"),
            )
            assert (text, rows) == ([os.getpid(), 20_000], [os.getpid(), 1000])

    run(story())


def test_a_value_can_be_looked_at_here() -> None:
    async def story() -> None:
        async with session_of([tools.rows]) as session:
            (outcome,) = await outcomes(session, call(1, "rows", count=1000))
            value = remote(outcome)
            assert value.get()["count"] == 1000
            assert value.at(("rows", 999)) == {"n": 999, "text": "y" * 20}
            assert value.at(()) == value.get()
            with pytest.raises(UnresolvedPath, match=r"there is no \.nope"):
                value.at(("nope",))
            assert len(value.text()) == value.chars
            for chars in (10, HEAD_CHARS - 1, HEAD_CHARS + 5, 1_000_000):
                assert value.preview(chars) == (
                    value.text() if chars >= value.chars else f"{value.text()[: chars - 1]}…"
                )

    run(story())


def test_a_label_that_comes_from_a_large_value_is_known_before_the_call_runs(tmp_path: Path) -> None:
    def places(count: int) -> dict[str, Any]:
        return {"paths": [f"p{n}" for n in range(count)], "more": "z" * 20_000}

    async def story() -> None:
        effects = {"places": "pure", "note": {"writes": "fs:{path}"}}
        async with session_of([places, tools.note], effects=effects, on_event=events.append) as session:
            path = str(tmp_path / "a")
            _, *found = await values(
                session,
                call(1, "places", count=3),
                call(2, "note", path=path, text="$this_1.paths[2]"),
                call(3, "note", path=path, text="$this_1.paths[1]"),
            )
            assert found == [1, 2]
            assert Path(path).read_text() == "p2\np1\n"

    events: list[Any] = []
    run(story())
    started = [event.data["arguments"] for event in events if event.kind == "started"]
    assert started[1]["text"] == "$this_1.paths[2]"  # a trace of large values holds no large values


def test_a_value_without_json_form_stays_there_and_is_passed_whole() -> None:
    async def story() -> None:
        async with session_of([tools.matrix, tools.side]) as session:
            made, side, *failed = await outcomes(
                session,
                call(1, "matrix", side=100),
                call(2, "side", of="$this_1"),
                call(3, "side", of="$this_1.side"),
                call(4, "side", of="the $this_1"),
            )
            assert remote(made).is_artifact
            assert side.unwrap() == ["Matrix", 100, 10_000]
            assert "Matrix object" in remote(made).text()
            assert made.unwrap().side == 100
            for outcome, words in zip(
                failed, ("has no JSON form and no parts", "stands inside a text"), strict=True
            ):
                assert isinstance(outcome, Failure)
                assert words in str(outcome.error)
            with pytest.raises(UnresolvedPath, match="of type Matrix, has no JSON form"):
                remote(made).at(("side",))

    run(story())


def test_small_values_come_back_and_are_those_of_a_session_without_ray() -> None:
    things: list[Any] = [
        None,
        True,
        0,
        -5,
        10**40,
        1.5,
        "",
        "text",
        [],
        {},
        {"a": [1, None, {"b": "ü\ud800"}]},
    ]

    async def story() -> None:
        async with session_of([tools.echo]) as far, Session([tools.echo]) as near:
            for thing in things:
                (one,) = await outcomes(far, call(1, "echo", thing=thing))
                (other,) = await outcomes(near, call(1, "echo", thing=thing))
                assert type(one) is type(other)
                assert one == other

    run(story())


def test_within_grace_the_caller_gets_what_the_tool_returned() -> None:
    async def story() -> None:
        async with session_of([tools.shift, tools.echo], grace=30) as session:
            moved, plain = await session.submit(
                [call(1, "shift", point={"x": "3"}, by=2), call(2, "echo", thing={"a": 1})]
            )
            assert moved.value == tools.Point(x=5)
            assert moved.text == '{"x":5}'
            assert plain.value == {"a": 1}

    run(story())


def test_what_the_tool_returned_stays_there_if_it_is_large_though_its_json_form_is_small() -> None:
    async def story() -> None:
        async with session_of([tools.laden], grace=30) as session:
            small, large = await session.submit([call(1, "laden", size=1), call(2, "laden", size=1_000_000)])
            assert type(small.value) is tools.Laden
            assert large.value == {"x": 1_000_000}

    run(story())


def test_a_result_that_cannot_leave_its_worker_is_named() -> None:
    async def story() -> None:
        async with session_of([tools.lock]) as session:
            (outcome,) = await outcomes(session, call(1, "lock"))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, NotTransferable)
            assert "lock has run, but its result, of type lock, cannot leave its worker" in str(outcome.error)

    run(story())


def test_an_argument_that_cannot_be_sent_is_named() -> None:
    async def story() -> None:
        async def make_lock() -> Any:
            return tools.lock.function()

        async with session_of([make_lock, tools.length], effects={"make_lock": "pure"}) as session:
            _, outcome = await outcomes(session, call(1, "make_lock"), call(2, "length", thing="$this_1"))
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, NotTransferable)
            assert "length did not run: its argument 'thing' cannot be pickled" in str(outcome.error)

    run(story())


def test_a_value_that_is_dropped_is_freed_in_the_store() -> None:
    async def story() -> None:
        settings: dict[str, Any] = {"max_retained_bytes": 50_000, "max_chars": 10, "on_event": _ignore}
        async with session_of([tools.big], id="guide", **settings) as session:
            names = []
            for number in range(2):
                (outcome,) = await outcomes(session, call(number, "big", chars=40_000))
                names.append(remote(outcome).ref.hex())
                del outcome
                with session.sampling():
                    pass
            assert [name in _names() for name in names] == [False, True]
            (first,) = await session.submit([call(3, "big", chars="$a8md_1")])
            assert isinstance(first.error, ValueDropped)
            assert "the value of $a8md_1 is no longer kept: big returned" in first.text

    gc.disable()  # no cycle may keep it
    try:
        run(story())
    finally:
        gc.enable()


def _ignore(_: object) -> None: ...


def _names() -> set[str]:
    """Of all values that this program holds on to."""
    worker: Any = ray._private.worker.global_worker
    counts = worker.core_worker.get_all_reference_counts()
    return {name.decode() if isinstance(name, bytes) else name for name in counts}

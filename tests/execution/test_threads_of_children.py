"""Synchronous tools that call others of their session, and wait for them (O5, P14)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from asyncfc.blocking import BlockingSession
from asyncfc.futures.future import Future
from asyncfc.session import Call
from asyncfc.tools import Tool

GUARD = 10.0  # seconds after which a test that hangs fails


def run(
    body: Callable[[BlockingSession], Any], *, effects: Any = None, **settings: Any
) -> tuple[Any, list[str]]:
    """Call `outer`, whose work is `body`; returns its value, and the threads of outer and of its children."""
    threads: list[str] = []

    def outer() -> Any:
        threads.append(threading.current_thread().name)
        return body(session)

    def inner(n: int) -> int:
        threads.append(threading.current_thread().name)
        return n + 1 if n % 2 else session_call(session, n + 1)

    tools = [Tool(outer, effects=effects), Tool(inner, effects=effects)]
    with BlockingSession(tools, **settings) as session:
        future = session.submit([Call("o", "outer", {})])[0].future
        awaited = session.await_future(future, timeout=GUARD)
        assert not awaited.pending
        session.finish(GUARD)
        return future.result(), threads


def start(session: BlockingSession, n: int) -> Future:
    return session.submit([Call("i", "inner", {"n": n})])[0].future


def session_call(session: BlockingSession, n: int) -> Any:
    future = start(session, n)
    session.wait(future)
    return future.result()


@pytest.mark.parametrize("effects", [None, {"writes": "a"}, "pure"])
def test_a_child_runs_in_the_thread_of_the_parent_that_waits_for_it(effects: Any) -> None:
    value, threads = run(lambda session: session_call(session, 0), effects=effects, limits={"*": 1})
    assert value == 2  # inner(0) calls inner(1)
    assert len(threads) == 3
    assert len(set(threads)) == 1


def test_children_that_nobody_waits_for_run_when_their_parent_has_ended() -> None:
    def body(session: BlockingSession) -> str:
        for n in (1, 3):
            start(session, n)
        return "done"

    value, threads = run(body)
    assert value == "done"
    assert len(threads) == 3
    assert len(set(threads)) == 1

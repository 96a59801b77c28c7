"""The end of the pipe that lies in the worker process, here in this one; see test_processes for both."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from asyncfc.errors import NotTransferable, ToolFailed
from asyncfc.execution import serving
from asyncfc.execution.serving import FAILURE, READY, VALUE, Reply, Target, dumps, pack, revive
from tests.execution import process_tools as tools


@pytest.fixture
def interrupt() -> Iterator[Any]:
    before = signal.getsignal(signal.SIGINT)
    interrupt = serving._Interrupt()
    signal.signal(signal.SIGINT, interrupt)
    yield interrupt
    signal.signal(signal.SIGINT, before)


def ask(interrupt: Any, target: Target, *args: Any, **kwargs: Any) -> Reply:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        ours.send_bytes(dumps(target))
        ours.send_bytes(pack(target.tool, args, kwargs))
        serving._serve_one(theirs, interrupt)
        return Reply(ours.recv_bytes(), ours.recv_bytes())


def answer(interrupt: Any, tool: str, *args: Any, **kwargs: Any) -> Any:
    kind, body = ask(interrupt, Target(tool, tools.__name__, f"{tool}.function"), *args, **kwargs)
    assert kind == VALUE
    return pickle.loads(body)


def problem(interrupt: Any, tool: str, *args: Any, **kwargs: Any) -> BaseException:
    kind, body = ask(interrupt, Target(tool, tools.__name__, f"{tool}.function"), *args, **kwargs)
    assert kind == FAILURE
    return revive(body)


@pytest.mark.parametrize("module", ["no.such.module", tools.__name__])
def test_a_function_that_cannot_be_found_is_refused(interrupt: Any, module: str) -> None:
    kind, body = ask(interrupt, Target("t", module, "nowhere"))
    assert kind == FAILURE
    refused = revive(body)
    assert isinstance(refused, NotTransferable)
    assert str(refused).startswith("t did not run: a worker process cannot import 'nowhere' from")


def test_an_argument_is_named_by_its_place_or_its_name() -> None:
    for args, kwargs, name in (((1, lambda: 0), {}, "1"), ((), {"f": lambda: 0}, "'f'")):
        with pytest.raises(NotTransferable, match=f"^t did not run: its argument {name}, of type function"):
            pack("t", args, kwargs)


def test_an_argument_that_cannot_be_read_is_refused(interrupt: Any) -> None:
    refused = problem(interrupt, "take", thing=tools.Unreadable())
    assert isinstance(refused, NotTransferable)
    assert "its argument 'thing' cannot be read in a worker process (ValueError" in str(refused)


@pytest.mark.parametrize("how", ["two parts", "locked", "hostile", "disguised"])
def test_an_exception_that_cannot_be_read_back_is_replaced_by_one_that_names_it(
    interrupt: Any, how: str
) -> None:
    failed = problem(interrupt, "fail", how)
    assert isinstance(failed, ToolFailed)
    assert str(failed).startswith("fail raised ")
    assert failed.__notes__[0].startswith("In worker process ")


@pytest.mark.parametrize("how", ["own", "os", "interrupt", "exit", "generator exit"])
def test_an_exception_that_can_be_read_back_comes_as_itself(interrupt: Any, how: str) -> None:
    expected = tools.ERRORS[how]()
    found = problem(interrupt, "fail", how)
    assert (type(found), found.args, str(found)) == (type(expected), expected.args, str(expected))


def test_arguments_come_by_their_places_and_names(interrupt: Any) -> None:
    assert answer(interrupt, "shift", tools.Point(x=1), 2)[1:] == ["Point", 3]
    assert answer(interrupt, "echo", thing="text") == "text"


def test_a_result_goes_pickled_or_as_json_or_not_at_all(interrupt: Any) -> None:
    assert answer(interrupt, "echo", {1: (2, b"\xff")}) == {1: (2, b"\xff")}
    assert answer(interrupt, "give", "keys") == ["a", "b"]
    assert answer(interrupt, "give", "generator") == [1, 2]
    refused = problem(interrupt, "give", "lock")
    assert isinstance(refused, NotTransferable)
    assert str(refused).startswith("give has run, but its result, of type lock, cannot leave")


def test_sigint_raises_in_the_tool_and_only_once(interrupt: Any) -> None:
    assert isinstance(problem(interrupt, "interrupt_twice"), KeyboardInterrupt)
    signal.raise_signal(signal.SIGINT)  # no tool runs
    assert answer(interrupt, "echo", 1) == 1


def test_a_worker_serves_until_the_other_end_of_its_pipe_closes(interrupt: Any) -> None:
    ours, theirs = multiprocessing.Pipe()
    received = []

    def parent() -> None:
        received.append(ours.recv_bytes())
        for n in (1, 2):
            ours.send_bytes(dumps(Target("echo", tools.__name__, "echo.function")))
            ours.send_bytes(pack("echo", (n,), {}))
            received.extend([ours.recv_bytes(), pickle.loads(ours.recv_bytes())])
        ours.close()

    thread = threading.Thread(target=parent)
    thread.start()
    with theirs:
        serving.serve(theirs)
    thread.join()
    assert received == [READY, VALUE, 1, VALUE, 2]
    assert signal.getsignal(signal.SIGINT) is not interrupt  # it has put its own in place


def test_what_is_no_exception_is_not_taken_for_one() -> None:
    with pytest.raises(TypeError, match="an exception was pickled as a int"):
        revive(dumps((1, (), "")))

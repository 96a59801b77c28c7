"""Whatever a model writes and whatever a tool returns or raises is a clear outcome of exactly that call.

Every case runs twice: answered with a handle, so that the outcome is delivered later, and within grace.
Healthy calls stand around the bad one, in the same message and after it. All tools are undeclared, that
is, barriers: whatever a bad call held on to would stop every later one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from asyncfc.errors import UpstreamFailed
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.plain import canonical_text
from asyncfc.session import Call, Delivery, Finished, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.tools import Tool

GUARD = 5.0
"""Seconds that a test with real threads waits at most for something that is bound to happen."""

GIVEN = {"items": [{"id": 7}], "n": 5, "text": "plain"}
"""What the healthy call before the bad one has returned."""
HANDLE = "$nl93_1"
"""The handle of that call; its tag follows from the session's id."""


@dataclass
class Report:
    """What became of the bad call: its outcome, what the model read, what its tool was called with."""

    outcome: Outcome
    text: str
    received: list[Any]

    def failure(self, kind: str) -> str:
        """Require that the call failed so, and that the model was told; return what it was told."""
        assert isinstance(self.outcome, Failure), self.text
        assert type(self.outcome.error).__name__ == kind
        return self.text[self.text.index(f"Error: {kind}: ") :]

    def value(self) -> Any:
        assert isinstance(self.outcome, Value), self.text
        return self.outcome.get()


async def judge(session: Session, bad: Call) -> tuple[Outcome, str]:
    """Submit the bad call among healthy ones, and require that those do not notice."""

    def healthy(id: str, x: Any) -> Call:
        return Call(id, "healthy", {"x": x})

    (first,) = await session.submit([healthy("first", GIVEN)])
    assert (await first.future, first.future.handle) == (GIVEN, HANDLE)
    with session.sampling():
        pass
    before, judged, after = await session.submit([healthy("before", 1), bad, healthy("after", "$this_1")])
    (later,) = await session.submit([healthy("later", after.future)])
    outcome = await judged.future.wait()
    assert [await answer.future for answer in (before, after, later)] == [1, 1, 1]
    with session.sampling() as shown:
        deliveries = [one for one in shown if isinstance(one, Delivery) and one.future is judged.future]
    text = deliveries[0].text if deliveries else judged.text
    text.encode()  # else no request could carry it
    return outcome, text


def run(bad: Call, *tools: Tool, grace: float) -> Report:
    """Judge the call in a session of its own, with the tools `echo`, `healthy` and those given."""
    received: list[Any] = []

    async def echo(x: Any = None) -> Any:
        received.append(x)
        return x

    async def healthy(x: Any) -> Any:
        return x

    async def main() -> Report:
        async with Session([echo, healthy, *tools], id="play", grace=grace) as session:
            outcome, text = await judge(session, bad)
            assert await session.finish() == Finished(5, ())
        return Report(outcome, text, received)

    return run_virtual(main)


@pytest.fixture(params=[0, 60], ids=["delivered", "in grace"])
def grace(request: pytest.FixtureRequest) -> float:
    return float(request.param)


# --- the model's side: calls that cannot be made --------------------------------------------------


def echo(x: Any) -> Call:
    return Call("bad", "echo", {"x": x})


NO_JSON_OBJECT = {
    "malformed": ("{x: 1}", "not valid JSON: Expecting property name"),
    "truncated": ('{"x": "ab', "not valid JSON: Unterminated string"),
    "two objects": ('{"x": 1} {"x": 2}', "not valid JSON: Extra data"),
    "a string": ('"HANDLE"', "are a JSON string"),
    "a list": ("[1, 2]", "are a JSON array"),
    "null": ("null", "are null"),
    "a number": ("17", "are a number"),
    "a Python list": ([1], "are of the Python type list"),
    "bytes": (b"{}", "are of the Python type bytes"),
    "equal keys": ('{"x": 1, "x": 2}', "hold the key 'x' twice"),
    "equal keys inside": ('{"x": [{"a": 1, "b": 2, "a": 3}]}', "hold the key 'a' twice"),
    "5,000 digits": (f'{{"x": {"9" * 5_000}}}', "cannot be read: Exceeds the limit"),
    "depth 100,000": (f'{{"x": {"[" * 100_000}{"]" * 100_000}}}', "nested too deeply"),
    "depth 300": (f'{{"x": {"[" * 300}{"]" * 300}}}', "more than 200 containers"),
    "no such parameter": ('{"y": 1}', "unknown ['y']; its parameters are ['x']"),
    "a 10 kB parameter": (json.dumps({"y" * 10_000: 1}), "its parameters are ['x']"),
    "a parameter that is no text": ({1: 2}, "unknown ['1']"),
}


@pytest.mark.parametrize(("arguments", "message"), NO_JSON_OBJECT.values(), ids=NO_JSON_OBJECT)
def test_arguments_that_are_no_object_of_known_parameters(arguments: Any, message: str, grace: float) -> None:
    report = run(Call("bad", "echo", arguments), grace=grace)
    assert message in report.failure("BadArguments")
    assert report.received == []


@pytest.mark.parametrize("tool", ["ech0", "", HANDLE, "e" * 10_000, None])
def test_a_tool_that_does_not_exist(tool: Any, grace: float) -> None:
    report = run(Call("bad", tool, {}), grace=grace)
    assert report.failure("UnknownTool").endswith("the tools are ['echo', 'healthy']")


@pytest.mark.parametrize("id", ["", "i" * 10_000, "first", "before", "\ud800\0", None], ids=repr)
@pytest.mark.parametrize("fails", [False, True])
def test_an_id_that_is_odd_or_not_new(id: Any, fails: bool, grace: float) -> None:
    report = run(Call(id, "echo", "{" if fails else {"x": 9}), grace=grace)
    if fails:
        assert len(report.failure("BadArguments")) < 400
    else:
        assert report.value() == 9


UNKNOWN = {
    "invented": "$nl94_1",
    "foreign": "$zz99_1",
    "not given yet": f"{HANDLE}9",
    "forward": "$this_3",
    "far forward": "$this_99",
    "its own": "$this_2",
    "number 0": "$this_0",
    "a leading zero": "$nl93_01",
    "endless number": HANDLE + "0" * 5_000,
    "in a text": "see $this_3.",
    "in braces": "a ${this_3.items[0]} b",
    "with a path": "$zz99_1.items[0].id",
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_a_handle_that_names_nothing_gets_one_and_the_same_answer(text: str, grace: float) -> None:
    report = run(echo(text), grace=grace)
    _, told = report.failure("UnknownHandle").split(" is not a known handle; ")
    assert told.startswith("nothing was run. Use a handle that a tool answer of this conversation has shown")
    assert report.received == []


REFERENCES = {
    "no such key": (f"{HANDLE}.nope", "UnresolvedPath", "there is no .nope: the value is an object with"),
    "an attribute": (f"{HANDLE}.__class__", "UnresolvedPath", "there is no .__class__"),
    "index out of range": (f"{HANDLE}.items[9]", "UnresolvedPath", "there is no [9]: .items is a list of"),
    "index before the start": (f"{HANDLE}.items[-2]", "UnresolvedPath", "there is no [-2]"),
    "into a number": (f"{HANDLE}.n.x", "UnresolvedPath", "there is no .x: .n is the plain value 5"),
    "into a text": (f"{HANDLE}.text[0]", "UnresolvedPath", "there is no [0]: .text is text that holds no"),
    "inside a text": ("see ${nl93_1.nope}!", "UnresolvedPath", "there is no .nope"),
    "no path": ("${nl93_1!}", "BadReference", "expected .name, [0]"),
    "an open brace": ("see ${nl93_1", "BadReference", "expected .name, [0]"),
    "a path of 200 steps": (HANDLE + ".a" * 200, "BadReference", "too long: at most 100 steps"),
    "a path without braces": (f"see {HANDLE}.items", "BadReference", "with braces"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "message"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_that_leads_nowhere(text: str, kind: str, message: str, grace: float) -> None:
    report = run(echo(text), grace=grace)
    assert message in report.failure(kind)
    assert report.received == []


@pytest.mark.parametrize("inside", [False, True])
def test_a_handle_as_a_key_is_refused(inside: bool, grace: float) -> None:
    report = run(Call("bad", "echo", {"x": {HANDLE: 1}} if inside else {HANDLE: 1}), grace=grace)
    assert "holds a handle, but keys are not replaced" in report.failure("BadReference")
    assert report.received == []


GLUED = {
    "in base64": f"aGVsbG8{HANDLE}d29ybGQ=",
    "in a word": f"{HANDLE}_total",
    "before a full-width digit": f"{HANDLE}\uff11",
    "two at once": f"{HANDLE}{HANDLE}",
}


@pytest.mark.parametrize("text", GLUED.values(), ids=GLUED)
def test_a_handle_that_is_part_of_a_word_does_not_reach_the_tool(text: str, grace: float) -> None:
    report = run(echo(text), grace=grace)
    assert "touches a letter, digit or _ in" in report.failure("BadReference")
    assert report.received == []


# --- the model's side: odd, but fine --------------------------------------------------------------

NO_REFERENCE = {
    "in base64": "aGVsbG8$zz99_1d29ybGQ=",
    "in a word": "total$this_9_",
    "full-width letter": "$\uff4el93_1",
    "full-width sigil": "\uff04nl93_1",
    "cyrillic letter": "$\u0430l93_1",
    "zero width inside": "$nl\u200b93_1",
    "cut off": "$nl93_",
    "other case": "$NL93_1",
    "a shell variable": "echo $HOME ${HOME} $1 $user_1",
    "a price": "$5_000",
}


@pytest.mark.parametrize("text", NO_REFERENCE.values(), ids=NO_REFERENCE)
def test_text_that_only_resembles_a_handle_stays_as_it_was_written(text: str, grace: float) -> None:
    report = run(echo(text), grace=grace)
    assert report.received == [text]


INSERTED = {
    "a URL": (f"https://e.com/?q=${{nl93_1.n}}&x={HANDLE}.", f"https://e.com/?q=5&x={canonical_text(GIVEN)}."),
    "code": ("f(${nl93_1.n}, '${nl93_1.text}')", "f(5, 'plain')"),
    "a zero-width space behind": ("${nl93_1.n}\u200b", "5\u200b"),
    "an escape": (f"${HANDLE}", HANDLE),
    "1,000 references": ("${nl93_1.n} " * 1_000, "5 " * 1_000),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), INSERTED.values(), ids=INSERTED)
def test_a_reference_inside_other_text_is_replaced_there(text: str, expected: str, grace: float) -> None:
    report = run(echo(text), grace=grace)
    assert report.received == [expected]


def test_handles_of_which_one_is_the_beginning_of_another_are_told_apart() -> None:
    async def echo(x: Any) -> Any:
        return x

    async def main() -> None:
        async with Session([echo], id="play") as session:
            answers = [a for n in range(12) for a in await session.submit([Call(str(n), "echo", {"x": n})])]
            first, eleventh = (str(answers[n].future.handle) for n in (0, 10))
            assert eleventh.startswith(first)
            (both,) = await session.submit([Call("both", "echo", {"x": f"{first} {eleventh} {first}"})])
            assert await both.future == "0 10 0"

    run_virtual(main)


ODD_VALUES = {
    "nothing": ("", None),
    "blanks": (" \n", None),
    "None": (None, None),
    "NaN": ('{"x": NaN}', math.nan),
    "infinity": ('{"x": -Infinity}', -math.inf),
    "NUL": (r'{"x": "\u0000"}', "\0"),
    "lone surrogate": (r'{"x": "\ud800"}', "\ud800"),
    "keys of other types": ({"x": {1: 1, "a": 2, (3,): None}}, {1: 1, "a": 2, (3,): None}),
    "10 MB": ({"x": "x" * 10_000_000}, "x" * 10_000_000),
}


@pytest.mark.parametrize(("arguments", "expected"), ODD_VALUES.values(), ids=ODD_VALUES)
def test_odd_arguments_reach_the_tool_as_they_are(arguments: Any, expected: Any, grace: float) -> None:
    report = run(Call("bad", "echo", arguments), grace=grace)
    assert repr(report.received) == repr([expected])
    assert isinstance(report.outcome, Value)
    if grace == 0:
        assert len(report.text.split(" has ended:\n")[0]) < 250


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("not this one")

    __str__ = __repr__


@pytest.mark.parametrize("duplicates", ["allow", "share", "reject"])
@pytest.mark.parametrize("odd", [Unprintable(), {Unprintable(): 1}, {1: 2, "a": {(3,): 4}}, {"a"}])
def test_an_object_that_a_program_passes_is_passed_on_whatever_it_is(odd: Any, duplicates: Any) -> None:
    received = []

    async def take(x: Any) -> int:
        received.append(x)
        return 1

    async def main() -> None:
        async with Session([take], duplicates=duplicates) as session:
            (answer,) = await session.submit([Call("c", "take", {"x": odd})])
            assert await answer.future == 1
            with session.sampling() as shown:
                assert len(shown) == 1

    run_virtual(main)
    assert len(received) == 1


# --- the tool's side: results ---------------------------------------------------------------------


def returning(make: Callable[[], Any]) -> Tool:
    async def bad() -> Any:
        return make()

    return Tool(bad)


CALL_BAD = Call("bad", "bad", {})


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


PLAIN = {
    "None": (lambda: None, None, "null"),
    "NaN": (lambda: [math.nan, math.inf], [math.nan, math.inf], "[NaN,Infinity]"),
    "4,000 digits": (lambda: 10**4_000, 10**4_000, "1" + "0" * 4_000),
    "lone surrogate": (lambda: {"a\udfff": "\ud800"}, {"a\udfff": "\ud800"}, r'{"a\udfff":"\ud800"}'),
    "NUL": (lambda: "a\0b", "a\0b", "a\0b"),
    "10 MB": (lambda: "x" * 10_000_000, "x" * 10_000_000, "x" * 10_000_000),
    "text in bytes": (lambda: b"abc", "abc", "abc"),
    "numbers as keys": (lambda: {1: "a", None: 2.5}, {"1": "a", "null": 2.5}, '{"1":"a","null":2.5}'),
    "a set": (lambda: {3, 1, 2}, [1, 2, 3], "[1,2,3]"),
    "a generator": (lambda: (n for n in range(3)), [0, 1, 2], "[0,1,2]"),
    "a handle": (lambda: "$nl93_1", "$nl93_1", "$$nl93_1"),
    "an escaped handle": (lambda: ["$$this_1"], ["$$this_1"], '["$$$this_1"]'),
}


@pytest.mark.parametrize(("make", "value", "text"), PLAIN.values(), ids=PLAIN)
def test_an_odd_result_with_a_json_form(make: Callable[[], Any], value: Any, text: str, grace: float) -> None:
    report = run(CALL_BAD, returning(make), grace=grace)
    assert repr(report.value()) == repr(value)
    assert report.text.split(" has ended:\n")[-1] == text


NO_FORM = {
    "5,000 digits": (lambda: 10**5_000, "at its top level: an integer of more than 4300 digits"),
    "5,000 digits inside": (lambda: {"a": [-(10**5_000)]}, "at .a[0]: an integer of more than 4300 digits"),
    "colliding keys": (lambda: {1: "a", "1": "b"}, "the keys '1' (int) and '1' (str) are both '1' in JSON"),
    "a cycle": (cycle, "at .self[0]: a cycle, this is its top level again"),
    "depth 201": (lambda: nested(201), "more than 200 containers inside each other"),
    "depth 100,000": (lambda: nested(100_000), "more than 200 containers inside each other"),
}


@pytest.mark.parametrize(("make", "message"), NO_FORM.values(), ids=NO_FORM)
def test_a_result_that_json_cannot_hold(make: Callable[[], Any], message: str, grace: float) -> None:
    told = run(CALL_BAD, returning(make), grace=grace).failure("ProjectionError")
    assert message in told
    assert len(told) < 600


class Hostile:
    """Whatever is asked of it, it raises."""

    def _raise(self, *_: Any) -> Any:
        raise RuntimeError("leave me alone")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = _raise
    __copy__ = __deepcopy__ = __reduce_ex__ = __format__ = __sizeof__ = _raise

    @property
    def __class__(self) -> Any:
        raise RuntimeError("leave me alone")

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise RuntimeError("leave me alone")


class Liar:
    """Claims to be a dict."""

    @property
    def __class__(self) -> Any:
        return dict

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise AttributeError


class Quitter:
    def _quit(self, *_: Any) -> Any:
        raise SystemExit(3)

    __str__ = __deepcopy__ = _quit


class HostileKey:
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


ARTIFACTS = {
    "bytes": (lambda: b"\xff\xfe", r"b'\xff\xfe'"),
    "tuples as keys": (lambda: {(1, 2): 3}, "{(1, 2): 3}"),
    "hostile": (Hostile, "<Hostile object whose text cannot be had: RuntimeError>"),
    "hostile inside": (lambda: [{"a": Hostile()}], "<list object whose text cannot be had: RuntimeError>"),
    "a hostile key": (lambda: {HostileKey(): 1}, "<dict object whose text cannot be had: RuntimeError>"),
    "a liar": (Liar, "<"),
    "a quitter": (Quitter, "<Quitter object whose text cannot be had: SystemExit>"),
    "a lock": (threading.Lock, "<unlocked _thread.lock"),
    "an exception": (lambda: ValueError("a value"), "a value"),
    "an iterator": (lambda: iter([1]), "<list_iterator"),
}


@pytest.mark.parametrize(("make", "text"), ARTIFACTS.values(), ids=ARTIFACTS)
def test_a_result_without_a_json_form_is_passed_whole(
    make: Callable[[], Any], text: str, grace: float
) -> None:
    made = make()
    report = run(CALL_BAD, returning(lambda: made), grace=grace)
    assert report.value() is made
    assert report.text.split(" has ended:\n")[-1].startswith(text)


def test_a_result_that_raises_when_it_is_deleted(grace: float, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sore:
        def __del__(self) -> None:
            raise RuntimeError("not so fast")

    heard: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: heard.append(str(raised.exc_value)))
    report = run(CALL_BAD, returning(Sore), grace=grace)
    assert type(report.value()) is Sore
    del report
    gc.collect()  # so that it raises here and not in another test
    assert set(heard) == {"not so fast"}


class HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise SystemExit("reading is forbidden")


def test_a_result_whose_own_code_raises_when_it_is_read(grace: float) -> None:
    report = run(CALL_BAD, returning(lambda: {"a": HostileDict(b=1)}), grace=grace)
    assert "its own code raised SystemExit: reading is forbidden" in report.failure("ProjectionError")


def test_a_result_that_changes_later_stays_what_it_was(grace: float) -> None:
    live: dict[str, list[int]] = {"a": [1]}

    async def bad() -> Any:
        asyncio.get_running_loop().call_soon(live["a"].append, 2)
        return live

    assert run(CALL_BAD, Tool(bad), grace=grace).value() == {"a": [1]}
    assert live == {"a": [1, 2]}


@pytest.mark.parametrize("reference", ["$this_1", "<$this_1>", "$this_1.a"])
@pytest.mark.parametrize("make", [Hostile, HostileKey, cycle, lambda: nested(201)])
def test_a_call_that_refers_to_a_bad_result_has_an_outcome_too(
    make: Callable[[], Any], reference: str
) -> None:
    async def take(x: Any) -> str:
        return "taken"

    async def main() -> None:
        async with Session([returning(make), take]) as session:
            answers = await session.submit([CALL_BAD, Call("take", "take", {"x": reference})])
            outcome = await answers[1].future.wait()
            if isinstance(outcome, Failure):
                assert type(outcome.error).__name__ in ("BadReference", "UpstreamFailed")
            else:
                assert (reference, outcome.unwrap()) == ("$this_1", "taken")

    run_virtual(main)


# --- the tool's side: what it raises, and what never ends -----------------------------------------


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class Grim(Exception):
    def __str__(self) -> str:
        raise SystemExit

    __repr__ = __str__


class Unpicklable(Exception):
    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")
        self.lock = threading.Lock()


class Fatal(BaseException):
    pass


ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "StopAsyncIteration": (StopAsyncIteration, "Error: StopAsyncIteration: "),
    "CancelledError": (asyncio.CancelledError, "Error: CancelledError: "),
    "KeyboardInterrupt": (KeyboardInterrupt, "Error: KeyboardInterrupt: "),
    "SystemExit": (lambda: SystemExit(3), "Error: SystemExit: 3"),
    "GeneratorExit": (GeneratorExit, "Error: GeneratorExit: "),
    "BaseException": (lambda: Fatal("stop"), "Error: Fatal: stop"),
    "InvalidStateError": (asyncio.InvalidStateError, "Error: InvalidStateError: "),
    "RecursionError": (RecursionError, "Error: RecursionError: "),
    "MemoryError": (MemoryError, "Error: MemoryError: "),
    "a group": (lambda: ExceptionGroup("two", [ValueError(), OSError()]), "Error: ExceptionGroup: two "),
    "without a text": (Silent, "Error: Silent: <Silent object whose text cannot be had: ValueError>"),
    "a grim one": (Grim, "Error: Grim: <Grim object whose text cannot be had: SystemExit>"),
    "not picklable": (lambda: Unpicklable(1, 2), "Error: Unpicklable: 1 and 2"),
    "1 MB": (lambda: ValueError("x" * 1_000_000), "Error: ValueError: xxx"),
    "a surrogate": (lambda: ValueError("\ud800"), r"Error: ValueError: \ud800"),
    "a handle": (lambda: ValueError("$nl93_1"), "Error: ValueError: $$nl93_1"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "text"), ERRORS.values(), ids=ERRORS)
def test_whatever_a_tool_raises(make: Callable[[], BaseException], text: str, grace: float) -> None:
    error = make()

    async def bad() -> None:
        raise error

    report = run(CALL_BAD, Tool(bad), grace=grace)
    assert isinstance(report.outcome, Failure)
    assert report.outcome.error is error
    told = report.text.split(" has ended:\n")[-1]
    assert told.startswith(text)
    assert len(told) < 2_100


def test_StopIteration_from_an_async_tool_is_what_python_makes_of_it(grace: float) -> None:
    async def bad() -> None:
        raise StopIteration

    report = run(CALL_BAD, Tool(bad), grace=grace)
    assert "coroutine raised StopIteration" in report.failure("RuntimeError")


class BadAwaitable:
    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def __await__(self) -> Any:
        return self.answer()


@pytest.mark.parametrize(
    ("answer", "kind"), [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: 5, "TypeError"),
                         (lambda: iter([5]), "RuntimeError")],
)  # fmt: skip
def test_an_awaitable_that_cannot_be_awaited(answer: Callable[[], Any], kind: str, grace: float) -> None:
    run(CALL_BAD, returning(lambda: BadAwaitable(answer)), grace=grace).failure(kind)


@pytest.mark.parametrize("returned", [False, True])
def test_what_never_ends_is_ended_by_its_timeout(returned: bool, grace: float) -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def bad() -> Any:
        return never() if returned else await never()

    report = run(CALL_BAD, Tool(bad, effects={"timeout": 3}), grace=grace)
    assert "did not end within its timeout of 3 s" in report.failure("ToolTimeout")


def test_dependants_of_a_bad_call_are_told_its_root() -> None:
    async def bad() -> None:
        raise Silent

    async def take(x: Any) -> None:
        raise AssertionError("this must not run")

    async def main() -> None:
        async with Session([bad, take]) as session:
            answers = await session.submit([CALL_BAD, Call("t", "take", {"x": "a ${this_1.b} c"})])
            outcome = await answers[1].future.wait()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, UpstreamFailed)
            assert isinstance(outcome.error.root.error, Silent)
            assert "which has none (Silent)" in str(outcome.error)

    run_virtual(main)


# --- the tool's side, in threads ------------------------------------------------------------------


def run_in_threads(bad: Callable[[], Any], **effects: Any) -> Report:
    """Judge a call of a synchronous tool, with healthy synchronous ones around it."""

    def healthy(x: Any) -> Any:
        return x

    async def main() -> Report:
        async with Session([Tool(bad, name="bad", effects=effects or None), healthy], id="play") as session:
            outcome, text = await asyncio.wait_for(judge(session, CALL_BAD), GUARD)
            assert await session.finish(GUARD) == Finished(5, ())
        return Report(outcome, text, [])

    report = asyncio.run(main())
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("asyncfc-")]
    for thread in ours:
        thread.join(GUARD)
    assert not any(thread.is_alive() for thread in ours)
    return report


@pytest.mark.parametrize(
    ("make", "text"),
    [*ERRORS.values(), (lambda: StopIteration(5), "Error: StopIteration: 5")],
    ids=[*ERRORS, "StopIteration"],
)
def test_whatever_a_tool_raises_in_a_thread(make: Callable[[], BaseException], text: str) -> None:
    error = make()

    def bad() -> None:
        raise error

    report = run_in_threads(bad)
    assert isinstance(report.outcome, Failure)
    assert report.outcome.error is error
    assert report.text.split(" has ended:\n")[-1].startswith(text)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (cycle, "ProjectionError"),
        (lambda: nested(100_000), "ProjectionError"),
        (HostileDict, "ProjectionError"),
    ],
)
def test_a_result_that_cannot_be_read_in_a_thread(make: Callable[[], Any], kind: str) -> None:
    def bad() -> Any:
        made = make()
        if made == {}:
            made["a"] = 1
        return made

    run_in_threads(bad).failure(kind)


@pytest.mark.parametrize("make", [Hostile, Liar, lambda: {HostileKey(): 1}])
def test_a_hostile_object_from_a_thread_is_passed_whole(make: Callable[[], Any]) -> None:
    made = make()
    assert run_in_threads(lambda: made).value() is made


def test_a_coroutine_from_a_synchronous_tool_is_awaited_on_the_loop() -> None:
    async def on_the_loop() -> str:
        return threading.current_thread().name

    def bad() -> Any:
        return on_the_loop()

    assert run_in_threads(bad).value() == threading.current_thread().name


def test_an_awaitable_from_a_synchronous_tool_that_never_ends_is_ended_by_its_timeout() -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    def bad() -> Any:
        return never()

    run_in_threads(bad, timeout=0.02).failure("ToolTimeout")

"""What a model writes and reads: handles in arguments, values in their places, notes, repeated messages.

Each check takes what its strategy draws and raises `AssertionError` with a witness. The tools here give
what they are told to give, and keep what they are given.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from asyncfc.conversation.delivery import Note
from asyncfc.errors import BadReference, UnknownHandle, UnresolvedPath
from asyncfc.futures.handle import DEFAULT_GRAMMAR
from asyncfc.futures.outcome import Failure, Outcome, Value
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.store import MemoryStore
from asyncfc.session import Call, Session
from asyncfc.testing.checks import handles_in, texts_in
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.oracle import Ref, Text, resolve
from asyncfc.testing.written import written
from asyncfc.tools import Tool

SESSION_ID = "words"
TAG = DEFAULT_GRAMMAR.tag_for(SESSION_ID)
OTHER_TAG = DEFAULT_GRAMMAR.tag_for("another session")


class Desk:
    """A session with the tools `give`, which returns `values[n]`, and `take`, which keeps its argument."""

    def __init__(self, values: Sequence[Any] = (), **options: Any) -> None:
        self.values = values
        self.taken: list[Any] = []
        give = Tool(self._give, name="give", effects="pure")
        take = Tool(self._take, name="take", effects={"writes": "desk"})
        self.session = Session([give, take], id=SESSION_ID, **options)

    async def call(self, tool: str, **arguments: Any) -> Outcome:
        """Make one call, in a message of its own, and wait for it."""
        (answer,) = await self.session.submit([Call("c", tool, json.dumps(arguments))])
        return await answer.future.wait()

    async def _give(self, n: int) -> Any:
        """Give."""
        return self.values[n]

    async def _take(self, x: Any) -> None:
        """Take, and spoil what was given if that is possible."""
        self.taken.append(json.loads(json.dumps(x)))
        if isinstance(x, list | dict):
            x.clear()


def _at_a_desk(desk: Callable[[], Desk], story: Callable[[Desk], Awaitable[None]]) -> None:
    async def main() -> None:
        it = desk()
        async with it.session:
            await story(it)

    run_virtual(main)


# --- P21: no handle reaches a tool ------------------------------------------------------------------------

_AROUND = st.sampled_from(
    [
        "",
        " ",
        "a",
        "Z",
        "_",
        "7",
        "é",
        "五",
        "/",
        ".",
        ".x",
        ".tar.gz",
        "[0]",
        "['k']",
        "{",
        "}",
        "$",
        "$ ",
        "${",
        "-",
        ",",
        "\n",
        "=",
    ]
)
_HANDLES = st.sampled_from(
    [f"${TAG}_1", f"${TAG}_2", f"${{{TAG}_1}}", f"${{{TAG}_2.k}}", f"${TAG}_12", f"${TAG}_01"]
)
SCRIBBLES = (
    st.lists(st.one_of(_AROUND, _HANDLES), min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: "$$" not in text)
)
"""Text with handles in it, in every sort of company; without the escape that asks for plain text."""


def no_handle_reaches_a_tool(text: str) -> None:
    """P21: whatever stands around a handle, it is replaced, or the call does not run."""

    async def story(desk: Desk) -> None:
        for n in range(2):
            await desk.call("give", n=n)
        known = {f"${TAG}_1", f"${TAG}_2"}
        for arguments in ({"x": text}, {"x": ["a", {"k": text}]}, {"x": {text: 1}}):
            outcome = await desk.call("take", **arguments)
            if isinstance(outcome, Failure):
                assert isinstance(outcome.error, UnknownHandle | BadReference | UnresolvedPath), outcome
        left = [found for found in texts_in(desk.taken) if handles_in(found) & known]
        assert not left, f"{left} reached a tool"

    _at_a_desk(lambda: Desk(["one", {"k": 2}]), story)


# --- P22, P23, P24: values in their places ----------------------------------------------------------------

_KEYS = st.sampled_from(["k", "a b", f"${TAG}_1", "ü"])
_MENTIONS = [f"${TAG}_1", f"${{{TAG}_1}}", f"$${TAG}_1", "$this_1", f"see ${TAG}_1.k", "$"]
_LEAVES = st.one_of(
    st.sampled_from([None, True, 1, 1.0, -0.0, 2**70, "", "1", "null", "ü", "\ud800", "{}"]),
    st.sampled_from(_MENTIONS),
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)
"""JSON values, some of which look like handles."""
_REFS = st.integers(0, 1).map(Ref)
TEMPLATES = st.recursive(
    st.one_of(_REFS, _REFS, st.builds(lambda a, b: Text((" ", a, " and ", b)), _REFS, _REFS), _LEAVES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=5,
)
"""Arguments with references to the values of two calls."""
LETTERS = st.tuples(st.tuples(VALUES, VALUES), TEMPLATES)


def values_arrive_as_they_are(letter: tuple[Sequence[Any], Any]) -> None:
    """P22, P23, P24: a reference becomes the value itself, text in text, and nobody spoils it for others."""
    values, template = letter

    async def story(desk: Desk) -> None:
        futures = []
        for n in range(2):
            (answer,) = await desk.session.submit([Call("g", "give", {"n": n})])
            await answer.future
            futures.append(answer.future)
        arguments = {"x": written(template, futures, first=2, as_text=True)}
        outcomes = [MemoryStore().put(value) for value in values]
        for _ in range(2):
            outcome = await desk.call("take", **arguments)
            assert isinstance(outcome, Value), outcome
            expected = resolve(template, outcomes)
            assert repr(desk.taken[-1]) == repr(expected), f"{desk.taken[-1]!r} instead of {expected!r}"
        for future, value in zip(futures, values, strict=True):
            assert repr(future.result()) == repr(value), f"{future.result()!r} instead of {value!r}"

    _at_a_desk(lambda: Desk(values), story)


# --- H2: what the model copies ----------------------------------------------------------------------------

ECHOES = st.lists(st.sampled_from(["$", "$$", "{", "}", "a", " ", ".k", "[0]", *_MENTIONS]), max_size=5).map(
    "".join
)
"""Text that a tool may return and a model copy."""


def copied_text_is_text(text: str) -> None:
    """H2: what the model copies from an answer or a delivery reaches the tool as the text that it was."""

    async def story(desk: Desk) -> None:
        answers = await desk.session.submit([Call("g", "give", {"n": 0}), Call("h", "give", {"n": 0})])
        shown = [answer.text for answer in answers]
        for copied in shown:
            outcome = await desk.call(
                "take",
                x=copied,
            )
            assert isinstance(outcome, Value), f"{copied!r}: {outcome}"
            assert desk.taken[-1] == canonical_text(text), f"{desk.taken[-1]!r} instead of {text!r}"

    _at_a_desk(lambda: Desk([text], grace=5), story)


# --- P25: handles that name nothing here ------------------------------------------------------------------

STRANGERS = st.tuples(
    st.sampled_from(["foreign", "unknown", "zero", "hidden", "self", "forward"]),
    st.sampled_from(["{}", "see {}", "see {}.", "[{}]"]),
)


def strangers_are_all_alike(stranger: tuple[str, str]) -> None:
    """P25, H3: whatever a handle fails to name, the answer is one and the same, at once, and nothing runs."""
    kind, form = stranger

    async def story(desk: Desk) -> None:
        await desk.call("give", n=0)
        handle = {"foreign": f"${OTHER_TAG}_1", "zero": f"${TAG}_0", "self": "$this_2", "forward": "$this_3"}
        hidden = desk.session.message()
        future = hidden.seal(Call("h", "give", {"n": 0}))
        hidden.commit()
        text = str(future) if kind == "hidden" else handle.get(kind, f"${TAG}_7")
        message = desk.session.message()
        message.seal(Call("first", "give", {"n": 0}))
        refused = message.seal(Call("second", "take", {"x": form.format(text)}))
        message.seal(Call("third", "give", {"n": 0}))
        assert isinstance(refused.outcome, Failure), f"{text} was not refused at once"
        _assert_same_answer(refused.outcome.error, text)
        message.commit()
        await desk.session.finish()
        assert desk.taken == [], f"{text} reached a tool"

    _at_a_desk(lambda: Desk(["given"]), story)


def _assert_same_answer(error: BaseException, text: str) -> None:
    assert isinstance(error, UnknownHandle), f"{text}: {error!r}"
    expected = UnknownHandle(_STRANGE.replace("HANDLE", text))
    assert str(error) == str(expected), f"{text}: {error}"


def _strange() -> str:
    from asyncfc.futures.table import unknown_handle

    return str(unknown_handle("HANDLE"))


_STRANGE = _strange()


# --- notes, and messages that come again ------------------------------------------------------------------

ACTS = st.lists(st.sampled_from(["post", "post", "request", "failed request", "await"]), max_size=9)


def every_note_comes_once(acts: Sequence[str]) -> None:
    """Each post comes once and in order, in an await or a request; one that fails loses none."""
    posted: list[str] = []
    got: list[str] = []

    async def story(desk: Desk) -> None:
        for act in [*acts, "request"]:
            if act == "post":
                posted.append(f"note {len(posted)}")
                desk.session.post(posted[-1], "me")
            elif act == "await":
                got.extend(note.text for note in (await desk.session.await_future(timeout=1)).notes)
            else:
                _request(desk, got, fails=act == "failed request")
        assert [text.removeprefix("me says:\n") for text in got] == posted, f"{posted} came as {got}"

    _at_a_desk(Desk, story)


def _request(desk: Desk, got: list[str], *, fails: bool) -> None:
    try:
        with desk.session.sampling() as due:
            if fails:
                raise ConnectionError
            got.extend(one.text for one in due if isinstance(one, Note))
    except ConnectionError:
        pass


AGAIN = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=7)
"""Which of three messages a framework submits now, and whether its calls come to an end before the next."""


def submitted_again_runs_once(order: Sequence[tuple[int, bool]]) -> None:
    """O4, P12: a message that is submitted again is answered from the same calls, which run once."""

    async def story(desk: Desk) -> None:
        futures: dict[int, list[Any]] = {}
        for number, to_the_end in order:
            calls = [Call(f"{k}", "take", {"x": [number, k]}) for k in range(number + 1)]
            answers = await desk.session.submit(calls, message_id=f"m{number}")
            found = [answer.future for answer in answers]
            assert futures.setdefault(number, found) == found, f"message {number} has other futures now"
            if to_the_end:
                await desk.session.finish()
        await desk.session.finish()
        expected = sorted([number, k] for number in futures for k in range(number + 1))
        assert sorted(desk.taken) == expected, f"ran: {desk.taken}"

    _at_a_desk(Desk, story)

"""Drawn: a conversation as data: what the model says, how the loop behaves, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st

Form: TypeAlias = Literal[
    "plain", "whole", "path", "inside", "braces", "nested", "this", "invented", "unknown"
]
"""How something stands in an argument or a text: a plain word, or a handle that was shown: alone, with a
path, in a text, in a text with braces and a path, within an object; or `$this_k`; or of another session; or
with a number that nothing has. Where none was shown, and for `$this_k` of the first call, a plain word."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a model writes. `which` counts the handles shown from the newest, or the calls of its message."""

    form: Form = "plain"
    which: int = 0


@dataclass(frozen=True, slots=True)
class Asks:
    """A call of a tool of the world; see `scene`."""

    tool: str
    key: str = "a"
    wait: int = 0
    given: Given = Given()


@dataclass(frozen=True, slots=True)
class Awaits:
    """A call of `await_future`. `which` counts as in `Given`; None: all."""

    which: int | None = None
    mode: Literal["all", "any"] = "all"
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Cancels:
    """A call of `cancel_future`."""

    which: int = 0


Said: TypeAlias = Asks | Awaits | Cancels


@dataclass(frozen=True, slots=True)
class Says:
    """One message of the model. `text` None: it says nothing beside its calls."""

    calls: tuple[Said, ...] = ()
    text: Given | None = None


@dataclass(frozen=True, slots=True)
class Habits:
    """How the loop behaves.

    - `trims`: before each request it keeps about so many of its items.
    - `between`: what it does with them before the next turn of the user.
    - `ignores`: the messages of the model whose calls it does not make, by number from 0.
    - `posts`: the requests before which somebody posts a text, by number from 0.
    - `pause`: seconds between the turns of the user.
    """

    turns: int = 1
    trims: int | None = None
    between: Literal["nothing", "summarise", "fork"] = "nothing"
    ignores: frozenset[int] = frozenset()
    posts: frozenset[int] = frozenset()
    pause: int = 0

    @property
    def keeps(self) -> bool:
        """It never takes anything out of its list."""
        return self.trims is None and self.between == "nothing"


@dataclass(frozen=True, slots=True)
class Manner:
    """The provider and the settings. `protocol` is a key of `protocols.PROTOCOLS`."""

    protocol: str = "chat"
    streamed: bool = False
    repeat_ids: bool = False
    structured: bool = False
    owns_tools: bool = True
    grace: float | Literal["auto"] = 0
    final: Literal["deliver", "substitute", "open"] = "deliver"
    bare: bool = False
    """No note, no tools for waiting and cancelling, no relaxed schemas."""
    inline: bool = False
    """The tool `bare` is answered with its outcome only."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A whole conversation."""

    says: tuple[Says, ...]
    manner: Manner = Manner()
    habits: Habits = Habits()
    faults: tuple[str | None, ...] = ()
    forged: bool = True
    """Tools and people write what looks like handles."""


TOOLS = ("read", "write", "bare", "fail")
FAULTS = ("429", "500", "drop", *(f"drop after {events} events" for events in (1, 6, 24, 99)))
PROTOCOLS = ("chat", "responses", "messages", "thinking", "reasoning", "mistral", "gemini", "native")

KNOWN: tuple[Form, ...] = ("whole", "path", "inside", "braces", "nested", "this")
PLAIN: tuple[Form, ...] = ("plain",)
FORMS: tuple[Form, ...] = (*PLAIN * 6, *KNOWN * 2, "invented", "unknown")
SMALL = st.integers(0, 3)


def _given(forms: tuple[Form, ...] = FORMS) -> st.SearchStrategy[Given]:
    return st.builds(Given, st.sampled_from(forms), SMALL)


def _asks() -> st.SearchStrategy[Asks]:
    tools, waits = st.sampled_from([*TOOLS * 3, "missing"]), st.sampled_from([0, 1, 5])
    return st.builds(Asks, tools, st.sampled_from("ab"), waits, _given())


def _controls() -> st.SearchStrategy[Said]:
    timeouts = st.none() | st.sampled_from([0, 2])
    awaits = st.builds(Awaits, st.none() | SMALL, st.sampled_from(["all", "any"]), timeouts)
    return st.one_of(awaits, st.builds(Cancels, SMALL))


def _messages(calls: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Says, ...]]:
    texts = st.none() | _given(("plain", "whole", "braces", "invented"))
    asked = st.lists(calls, max_size=4).map(tuple)
    return st.lists(st.builds(Says, asked, texts), min_size=1, max_size=6).map(tuple)


def manners(**fixed: Any) -> st.SearchStrategy[Manner]:
    """Providers and settings, some of them fixed."""
    drawn: dict[str, st.SearchStrategy[Any]] = {
        "protocol": st.sampled_from(PROTOCOLS),
        "streamed": st.booleans(),
        "repeat_ids": st.sampled_from([False, False, True]),
        "structured": st.sampled_from([False, False, True]),
        "owns_tools": st.booleans(),
        "grace": st.sampled_from([0, 2, "auto"]),
        "final": st.sampled_from(["deliver", "substitute", "open"]),
        "bare": st.sampled_from([False, False, True]),
        "inline": st.sampled_from([False, False, True]),
    }
    return st.builds(Manner, **(drawn | {name: st.just(value) for name, value in fixed.items()}))


def habits(**fixed: Any) -> st.SearchStrategy[Habits]:
    """What loops do, some of it fixed."""
    few = st.frozensets(st.integers(0, 5), max_size=2)
    drawn: dict[str, st.SearchStrategy[Any]] = {
        "turns": st.integers(1, 3),
        "trims": st.none() | st.sampled_from([2, 4, 6]),
        "between": st.sampled_from(["nothing", "summarise", "fork"]),
        "ignores": few,
        "posts": few,
        "pause": st.sampled_from([0, 10]),
    }
    return st.builds(Habits, **(drawn | {name: st.just(value) for name, value in fixed.items()}))


KEEPING = {"trims": None, "between": "nothing"}
"""Habits of a loop that keeps its list."""


def talks(
    manner: st.SearchStrategy[Manner] | None = None,
    habit: st.SearchStrategy[Habits] | None = None,
    faults: tuple[str | None, ...] | None = None,
) -> st.SearchStrategy[Talk]:
    """Conversations of all kinds, or of these."""
    calls = st.one_of(_asks(), _asks(), _asks(), _controls())
    fault = st.none() | st.sampled_from([*FAULTS, "malformed", "length"])
    drawn_faults = st.lists(fault, max_size=5).map(tuple) if faults is None else st.just(faults)
    drawn_manner = manners() if manner is None else manner
    drawn_habits = habits() if habit is None else habit
    return st.builds(Talk, _messages(calls), drawn_manner, drawn_habits, drawn_faults)


def talks_without_handles() -> st.SearchStrategy[Talk]:
    """Conversations of a model that is never given a handle: nothing in them asks for one (P19)."""
    waits = st.sampled_from([0, 1, 5])
    calls = st.builds(Asks, st.sampled_from(TOOLS), st.sampled_from("ab"), waits)
    text = st.none() | st.just(Given())
    asked = st.lists(calls, max_size=4).map(tuple)
    says = st.lists(st.builds(Says, asked, text), min_size=1, max_size=5).map(tuple)
    manner = manners(bare=True, grace=10_000, inline=False, owns_tools=True)
    return st.builds(
        Talk, says, manner, habits(posts=frozenset(), ignores=frozenset()), forged=st.just(False)
    )


def awaits_then_calls() -> st.SearchStrategy[Talk]:
    """A message that awaits all, and makes a long call behind that (E5)."""
    first = st.builds(Asks, st.just("read"), wait=st.sampled_from([1, 5])).map(lambda call: Says((call,)))
    then = st.just(Says((Awaits(), Asks("read", wait=10))))
    return st.builds(Talk, st.tuples(first, then), st.builds(Manner, streamed=st.booleans()))

"""What an adapter is asked to play, and what comes of it; the same for every framework.

A `Case` is written once, in `scenarios.py`. A `Stage` is one performance of it: it has the model's script,
the tools and the settings, and writes down what happens. A `Harness` puts them into a framework with its
adapter.

There is no clock: a tool ends once the model has been asked often enough (`Does.until`), or once another
tool has begun (`Does.after`), so that "still running" is exact, whatever loop or threads a framework has.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from asyncfc import Tool
from asyncfc.testing.models import Emit, Model, ModelServer, Script, View, model_of
from asyncfc.testing.models.model import FormatName

Capability: TypeAlias = Literal[
    "together", "cancel", "open", "retry", "resubmit", "structured", "program", "unknown"
]

CAPABILITIES: Mapping[Capability, str] = {
    "together": "without asyncfc, the calls of one message run at the same time",
    "cancel": "work that runs can be stopped",
    "open": "one session lasts over several turns of the user (final='open')",
    "retry": "a request to the model that failed is sent again",
    "resubmit": "calls that were answered are asked for again (a step that runs again)",
    "structured": "the final message is JSON of a given form",
    "program": "calls that a program of the model makes",
    "unknown": "a call of a tool that is not there does not end the run",
}

GATE_TIMEOUT = 10.0
"""Real seconds until a tool that waits in a thread gives up; nothing waits that long unless a test fails."""


@dataclass(frozen=True)
class Does:
    """A tool of a case.

    Args:
        function: synchronous, with type hints and a docstring; it names and describes the tool.
        effects: as asyncfc is told of them, by name; None: nothing is declared.
        until: it ends only once the model has been asked this many times.
        after: it ends only once this many calls of another tool have begun: `("slow", 1)`.
        inline: it is named in the setting `inline`.
    """

    function: Callable[..., Any]
    effects: Mapping[str, Any] | str | None = "pure"
    until: int = 0
    after: tuple[str, int] | None = None
    inline: bool = False

    @property
    def name(self) -> str:
        """As the model knows it."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """As the model is told."""
        return inspect.getdoc(self.function) or ""

    @property
    def schema(self) -> dict[str, Any]:
        """Of its arguments, for frameworks that want it written down."""
        return dict(Tool(self.function).schema)


Step: TypeAlias = Emit | Script
Check: TypeAlias = "Callable[[Ran], None]"


@dataclass(frozen=True)
class Case:
    """One scenario.

    Args:
        name: of it.
        steps: what the model says each time that it is asked, whatever the conversation looks like.
        check: what must have come of it.
        tools: see `Does`.
        then: what it says if it is asked more often; None: that is a mistake.
        turns: what the user says, turn by turn, in one conversation.
        settings: of asyncfc; `grace` is 0 if nothing is said.
        forgets: the history of the turns before is left out of each turn.
        faults: of the model's server, see `asyncfc.testing.models.faults`; the framework sends again.
        resubmits: once they have been answered, the framework asks for the calls of the first message again.
        structured: JSON schema of the final message.
        needs: what a harness has to be able to.
        without: what a harness has to be unable to.
        untold: some outcomes are not told to the model, or not by themselves.
    """

    name: str
    steps: Sequence[Step]
    check: Check
    tools: Sequence[Does]
    then: Step | None = None
    turns: Sequence[str] = ("Go.",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    forgets: bool = False
    faults: Sequence[str | None] = ()
    resubmits: bool = False
    structured: Mapping[str, Any] | None = None
    needs: frozenset[Capability] = frozenset()
    without: Capability | None = None
    untold: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass
class Run:
    """A call that really ran; `began` and `ended` count all beginnings and ends of a case."""

    tool: str
    arguments: dict[str, Any]
    began: int
    ended: int | None = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Ran:
    """What came of a case."""

    case: Case
    texts: list[str]
    """The final text of each turn of the user."""
    views: list[View]
    """Every request that the model answered, in order."""
    runs: list[Run]
    """Every call that ran, in the order in which they began."""
    shown: list[str]
    """The pieces of text that a person saw, if streamed."""

    @property
    def text(self) -> str:
        """The last final text."""
        return self.texts[-1]

    @property
    def last(self) -> View:
        """The last request."""
        return self.views[-1]

    def of(self, tool: str) -> list[Run]:
        """The runs of one tool."""
        return [run for run in self.runs if run.tool == tool]

    def inputs(self, tool: str) -> list[dict[str, Any]]:
        """The arguments of these."""
        return [run.arguments for run in self.of(tool)]


class Harness(Protocol):
    """A framework with its adapter, in one of its ways to run (streamed, synchronous, ...).

    It may have `pools`: beginnings of the names of threads that its framework keeps for ever.
    """

    @property
    def name(self) -> str:
        """Of the framework and the way, `openai chat, streamed`."""

    @property
    def absent(self) -> Mapping[Capability, str]:
        """What the framework cannot do at all, and the sentence of the docs that says so, word by word."""

    async def run(self, stage: Stage) -> Sequence[str]:
        """Play a case: for each turn of the user, the final text.

        It gives the framework `stage.functions` (or `stage.blocking`) as tools, `stage.settings` as the
        settings of the adapter, and a model that asks `stage.model(...)`; it tells `stage.show` each piece of
        text that a person sees. It leaves nothing behind: the session is closed when it returns.
        """


class Stage:
    """One performance of a case. Harnesses use what is public; it may be used from any thread."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.turns = case.turns
        self._lock = threading.Lock()
        self._views: list[View] = []
        self._runs: list[Run] = []
        self._count = 0
        self._shown: list[str] = []
        self._gates: list[_Gate] = []
        self._errors: list[BaseException] = []
        self._models: list[Model | ModelServer] = []

    # --- for harnesses --------------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of asyncfc, effects and inline tools among them."""
        effects = {tool.name: tool.effects for tool in self.case.tools if tool.effects is not None}
        inline = [tool.name for tool in self.case.tools if tool.inline]
        return {"grace": 0, "effects": effects, "inline": inline, **self.case.settings}

    @property
    def functions(self) -> dict[str, Callable[..., Awaitable[Any]]]:
        """The tools as async functions, with the names, hints and docstrings of the plain ones."""
        return {tool.name: self._asynchronous(tool) for tool in self.case.tools}

    @property
    def blocking(self) -> dict[str, Callable[..., Any]]:
        """The tools as synchronous functions, for frameworks that have no others."""
        return {tool.name: self._synchronous(tool) for tool in self.case.tools}

    def model(self, format: FormatName = "chat") -> Model:
        """The model, in this process: `await model(body)` or `model.stream(body)`; it judges each body."""
        made = model_of(self.script, format, faults=self.case.faults)
        self._models.append(made)
        return made

    def server(self) -> ModelServer:
        """The model, behind HTTP; use it with `with`."""
        made = ModelServer(self.script, faults=self.case.faults)
        self._models.append(made)
        return made

    def script(self, view: View) -> Emit:
        """What the model says. `model` and `server` ask it; so may a model of the harness's own."""
        with self._lock:
            self._views.append(view)
            asked = len(self._views)
        self._open_gates()
        try:
            return self._said(view, asked)
        except BaseException as error:
            self._errors.append(error)
            raise

    def show(self, piece: str) -> None:
        """A person sees a piece of text."""
        self._shown.append(piece)

    # --- for the suite --------------------------------------------------------------------------------

    def ran(self, texts: Sequence[str]) -> Ran:
        """What came of it.

        Raises:
            AssertionError: a request was not one that the provider would take.
            Exception: what the script raised.
        """
        if self._errors:
            raise self._errors[0]
        for model in self._models:
            faults = sum(fault is not None for fault in self.case.faults)
            assert len(model.requests) - len(model.replies) <= faults, "the provider refused a request"
        return Ran(self.case, list(texts), self._views, self._runs, self._shown)

    def end(self) -> None:
        """Let every tool end, so that no thread stays behind."""
        for gate in self._gates:
            gate.open()

    def where(self) -> str:
        """How far it has come, for a test that fails."""
        running = [run.tool for run in self._runs if run.ended is None]
        return f"{self.case}: the model was asked {len(self._views)} times, running are {running}"

    # --- inside ---------------------------------------------------------------------------------------

    def _said(self, view: View, asked: int) -> Emit:
        steps = self.case.steps
        step = steps[asked - 1] if asked <= len(steps) else self.case.then
        if step is None:
            raise AssertionError(f"{self.where()}; it has {len(steps)} steps; told: {view.last_texts()}")
        return step if isinstance(step, Emit) else step(view)

    def _open_gates(self) -> None:
        for gate in self._gates:
            if gate.ready():
                gate.open()

    def _gate(self, tool: Does) -> _Gate:
        def ready() -> bool:
            begun = not tool.after or sum(run.tool == tool.after[0] for run in self._runs) >= tool.after[1]
            return len(self._views) >= tool.until and begun

        gate = _Gate(ready)
        self._gates.append(gate)
        return gate

    def _asynchronous(self, tool: Does) -> Callable[..., Awaitable[Any]]:
        gate = self._gate(tool)

        @functools.wraps(tool.function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            run = self._begin(tool, args, kwargs)
            try:
                await asyncio.wrap_future(gate.passed())
                return tool.function(*args, **kwargs)
            except BaseException as error:
                run.error = error
                raise
            finally:
                self._end(run)

        return call

    def _synchronous(self, tool: Does) -> Callable[..., Any]:
        gate = self._gate(tool)

        @functools.wraps(tool.function)
        def call(*args: Any, **kwargs: Any) -> Any:
            run = self._begin(tool, args, kwargs)
            try:
                gate.passed().result(GATE_TIMEOUT)
                return tool.function(*args, **kwargs)
            except BaseException as error:
                run.error = error
                raise
            finally:
                self._end(run)

        return call

    def _begin(self, tool: Does, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        bound = inspect.signature(tool.function).bind(*args, **kwargs)
        with self._lock:
            self._count += 1
            run = Run(tool.name, dict(bound.arguments), self._count)
            self._runs.append(run)
        self._open_gates()
        return run

    def _end(self, run: Run) -> None:
        with self._lock:
            self._count += 1
            run.ended = self._count


class _Gate:
    """Lets those who wait pass, once and for all, from whatever thread."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self.ready = ready
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[Future[None]] = []

    def passed(self) -> Future[None]:
        """Done once the gate is open; one for each who waits, as it may be cancelled."""
        waiter: Future[None] = Future()
        with self._lock:
            self._waiting.append(waiter)
        if self._is_open or self.ready():
            self.open()
        return waiter

    def open(self) -> None:
        """Let them pass."""
        with self._lock:
            self._is_open = True
            waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            with suppress(Exception):  # cancelled meanwhile
                waiter.set_result(None)


def texts_of(view: View) -> list[str]:
    """All that the model is told: answers, and what stands in the user's place."""
    return [
        text
        for message in view.messages
        if message.role != "assistant"
        for text in (message.text, *(answer.text for answer in message.answers))
        if text
    ]

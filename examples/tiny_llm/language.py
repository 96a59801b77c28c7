"""The task language of the models in the box: tasks, the tools that they need, and the right answers.

A task is a list of numbered steps, each one call of a tool, and the numbers of the results to tell:

    1. Get the price of ab12.
    2. Get the owner of x-77.
    3. Join (1) with (2).
    Tell me result 2, result 3.

`(1)` stands for the whole result of step 1, `the id of (1)` for a field of it. The text determines the
program: the steps are called in their order, at most three in a turn, and a synchronous run ends a turn
earlier only where the next step needs a result of the same turn. Each call says which step it does, so
that a small model need not count. A tool's result is a hash of its name and its arguments as they arrive, so
that a wrong argument, a handle that was not replaced, or a wrong order gives a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, Literal

Mode = Literal["sync", "pipeline", "cml"]
Result = str | dict[str, str]

MAX_STEPS = 6
MAX_CALLS = 3
"""How many calls a turn has, at most; a turn in CML has no such limit."""
HEADS: Mapping[Mode, str] = {"sync": "", "pipeline": "Pipeline:\n", "cml": "CML:\n"}
"""How the user's text begins: it tells the second model in which way to call."""
FIELDS = ("id", "size")
"""The fields of a result that is an object."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a tool is called, what its parameters are, and how the user's text asks for it."""

    name: str
    parameters: tuple[str, ...]
    phrase: tuple[str, ...]
    """What stands before each argument."""
    gives_object: bool = False


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("get_price", ("item",), ("Get the price of ",)),
        Tool("get_owner", ("item",), ("Get the owner of ",)),
        Tool("get_weather", ("city",), ("Get the weather in ",)),
        Tool("get_code", ("name",), ("Get the code of ",)),
        Tool("join", ("a", "b"), ("Join ", " with ")),
        Tool("compare", ("a", "b"), ("Compare ", " with ")),
        Tool("note", ("text",), ("Note ",)),
        Tool("sign", ("text",), ("Sign ",)),
        Tool("find", ("name",), ("Find ",), gives_object=True),
    )
}


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of a step, or a field of it, as an argument."""

    step: int
    """Counted from 1."""
    path: str = ""

    @property
    def text(self) -> str:
        """How the user's text says it."""
        return f"the {self.path} of ({self.step})" if self.path else f"({self.step})"


@dataclass(frozen=True, slots=True)
class Step:
    """One call that the user asks for; an argument is a text or the result of an earlier step."""

    tool: Tool
    arguments: tuple[str | Ref, ...]

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The earlier results that it needs."""
        return tuple(argument for argument in self.arguments if isinstance(argument, Ref))

    @property
    def text(self) -> str:
        """How the user's text says it."""
        said = (a.text if isinstance(a, Ref) else a for a in self.arguments)
        return (
            "".join(phrase + argument for phrase, argument in zip(self.tool.phrase, said, strict=True)) + "."
        )

    def named(self, number: int, values: Sequence[str]) -> dict[str, str]:
        """Return the arguments by name, given the number of the step and the text of each argument."""
        return {"step": str(number), **dict(zip(self.tool.parameters, values, strict=True))}


@dataclass(frozen=True)
class Task:
    """A task: the steps, what to tell, and how the user puts it."""

    seed: int
    mode: Mode
    steps: tuple[Step, ...]
    told: tuple[int, ...]
    """The steps (from 1) whose results the answer states, in this order."""

    @property
    def text(self) -> str:
        """The user's text."""
        lines = [f"{number}. {step.text}\n" for number, step in enumerate(self.steps, 1)]
        return (
            f"{HEADS[self.mode]}{''.join(lines)}Tell me {', '.join(f'result {step}' for step in self.told)}."
        )

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation to start with."""
        return [{"role": "user", "content": self.text}]

    @property
    def turns(self) -> list[list[int]]:
        """The steps (from 1) of each assistant turn of a synchronous run."""
        turns: list[list[int]] = []
        for number, step in enumerate(self.steps, 1):
            needed = turns and any(ref.step in turns[-1] for ref in step.refs)
            if not turns or needed or len(turns[-1]) == MAX_CALLS:
                turns.append([])
            turns[-1].append(number)
        return turns

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """The results of a right run, step by step."""
        results: list[Result] = []
        for number, step in enumerate(self.steps, 1):
            values = [value_of(argument, results) for argument in step.arguments]
            results.append(outcome(step.tool, step.named(number, values)))
        return tuple(results)

    @property
    def expected(self) -> str:
        """The answer of a perfect synchronous run."""
        return answer_text({step: str(self.results[step - 1]) for step in self.told})

    def check(self, answer: str) -> bool:
        """Whether an answer states exactly the results that were asked for."""
        return answer.strip() == self.expected


def answer_text(told: Mapping[int, str]) -> str:
    """Return the answer that states these values, by step."""
    return "\n".join(f"Step {step}: {value}" for step, value in told.items())


def value_of(argument: str | Ref, results: Sequence[Result]) -> str:
    """Return what an argument stands for, given the results so far."""
    if isinstance(argument, str):
        return argument
    result = results[argument.step - 1]
    if isinstance(result, str):
        return result
    return result[argument.path]


def task(seed: int, mode: Mode = "sync", *, objects: bool | None = None) -> Task:
    """Return the task of this seed; no id in it has the shape of a handle.

    Args:
        seed: any number; the same seed gives the same steps in "pipeline" and "cml" mode.
        mode: how the model is asked to call.
        objects: whether a tool that gives objects may occur, so that arguments are fields of results;
            only the second model knows it. Default: not in "sync" mode.
    """
    rng = random.Random(f"task {seed}")  # noqa: S311 (seeded, no secret)
    return compose(
        rng, seed=seed, mode=mode, objects=mode != "sync" if objects is None else objects, make=plain_id
    )


def compose(
    rng: random.Random,
    *,
    seed: int,
    mode: Mode,
    objects: bool,
    make: Callable[[random.Random], str],
    least: int = 1,
    most: int = MAX_STEPS,
) -> Task:
    """Draw a task: how many steps, how much of it chained, and which results are told."""
    count = max(least, min(most, rng.choice((1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6))))
    chained = rng.choice((0.0, 0.35, 0.6, 0.9))
    steps: list[Step] = []
    while len(steps) < count:
        step = _draw_step(rng, steps, chained, objects=objects, make=make)
        if step not in steps:
            steps.append(step)
    used = {ref.step for step in steps for ref in step.refs}
    for number, step in enumerate(steps, 1):
        if step.tool.gives_object and number not in used:
            steps[number - 1] = Step(TOOLS["get_code"], step.arguments)
    if len(set(steps)) < count:
        return compose(rng, seed=seed, mode=mode, objects=objects, make=make, least=least, most=most)
    told = [n for n, step in enumerate(steps, 1) if _is_told(rng, n, step, used)]
    return Task(seed, mode, tuple(steps), tuple(told))


def _is_told(rng: random.Random, number: int, step: Step, used: set[int]) -> bool:
    """Whatever no other step takes is told; of the rest, some."""
    return not step.tool.gives_object and (number not in used or rng.random() < 0.2)


def _draw_step(
    rng: random.Random,
    steps: Sequence[Step],
    chained: float,
    *,
    objects: bool,
    make: Callable[[random.Random], str],
) -> Step:
    kinds = [tool for tool in TOOLS.values() if objects or not tool.gives_object]
    if objects and rng.random() < 0.2:
        kinds = [TOOLS["find"]]
    tool = rng.choice(kinds)
    used = {ref.step for step in steps for ref in step.refs}
    free = [n for n in range(1, len(steps) + 1) if n not in used] or list(range(1, len(steps) + 1))
    arguments: list[str | Ref] = []
    for _ in tool.parameters:
        taken = {a.step for a in arguments if isinstance(a, Ref)}
        open_steps = [n for n in (free if rng.random() < 0.7 else range(1, len(steps) + 1)) if n not in taken]
        if open_steps and rng.random() < chained:
            step = rng.choice(open_steps)
            path = rng.choice(FIELDS) if steps[step - 1].tool.gives_object else ""
            arguments.append(Ref(step, path))
        else:
            arguments.append(make(rng))
    return Step(tool, tuple(arguments))


# -- ids ------------------------------------------------------------------------------------------


def _some(rng: random.Random, alphabet: str, least: int, most: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))


def _two(separator: str) -> Callable[[random.Random], str]:
    return lambda r: _some(r, ascii_lowercase, 1, 2) + separator + _some(r, digits, 1, 2)


SHAPES: tuple[Callable[[random.Random], str], ...] = (
    lambda r: _some(r, ascii_lowercase, 3, 5),
    lambda r: _some(r, digits, 2, 5),
    _two("_"),
    _two("-"),
    _two(":"),
    _two("/"),
    lambda r: "#" + _some(r, ascii_lowercase + digits, 2, 4),
    lambda r: _some(r, ascii_uppercase, 2, 2) + _some(r, digits, 1, 2),
    lambda r: _some(r, ascii_lowercase + digits, 3, 6),
)
"""The shapes of ids that have nothing of a handle."""


def plain_id(rng: random.Random) -> str:
    """Return an opaque id without a `$`."""
    return rng.choice(SHAPES)(rng)


def tag(rng: random.Random) -> str:
    """Return a letter and three letters or digits, at least one of them a digit."""
    text = rng.choice(ascii_lowercase) + _some(rng, ascii_lowercase + digits, 3, 3)
    if text.isalpha():
        place = rng.randrange(1, 4)
        text = text[:place] + rng.choice(digits) + text[place + 1 :]
    return text


def any_id(rng: random.Random) -> str:
    """Return an opaque id of any shape; one in four looks like `$k7qz_12`."""
    return f"${tag(rng)}_{rng.randint(1, 40)}" if rng.random() < 0.25 else plain_id(rng)


# -- tools ----------------------------------------------------------------------------------------


def outcome(tool: Tool, arguments: Mapping[str, str]) -> Result:
    """Return what a tool returns: ids drawn by the hash of its name and all of its arguments."""
    text = json.dumps([tool.name, *sorted(arguments.items())])
    rng = random.Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 (a spread, no secret)
    if tool.gives_object:
        return {field: plain_id(rng) for field in FIELDS}
    return plain_id(rng)


def get_price(step: str, item: str) -> str:
    """Get the price of an item."""
    return str(outcome(TOOLS["get_price"], {"step": step, "item": item}))


def get_owner(step: str, item: str) -> str:
    """Get the owner of an item."""
    return str(outcome(TOOLS["get_owner"], {"step": step, "item": item}))


def get_weather(step: str, city: str) -> str:
    """Get the weather in a city."""
    return str(outcome(TOOLS["get_weather"], {"step": step, "city": city}))


def get_code(step: str, name: str) -> str:
    """Get the code of a name."""
    return str(outcome(TOOLS["get_code"], {"step": step, "name": name}))


def join(step: str, a: str, b: str) -> str:
    """Join two texts."""
    return str(outcome(TOOLS["join"], {"step": step, "a": a, "b": b}))


def compare(step: str, a: str, b: str) -> str:
    """Compare two texts."""
    return str(outcome(TOOLS["compare"], {"step": step, "a": a, "b": b}))


def note(step: str, text: str) -> str:
    """Note a text."""
    return str(outcome(TOOLS["note"], {"step": step, "text": text}))


def sign(step: str, text: str) -> str:
    """Sign a text."""
    return str(outcome(TOOLS["sign"], {"step": step, "text": text}))


def find(step: str, name: str) -> dict[str, str]:
    """Find a thing by its name: its id and its size."""
    found = outcome(TOOLS["find"], {"step": step, "name": name})
    assert isinstance(found, dict)
    return found


FUNCTIONS: tuple[Callable[..., Result], ...] = (
    get_price,
    get_owner,
    get_weather,
    get_code,
    join,
    compare,
    note,
    sign,
    find,
)


def tools(wanted: Task | None = None) -> list[Callable[..., Result]]:
    """Return the tools as plain functions: those that a task calls, or all of them."""
    names = {step.tool.name for step in wanted.steps} if wanted else TOOLS.keys()
    return [function for function in FUNCTIONS if function.__name__ in names]

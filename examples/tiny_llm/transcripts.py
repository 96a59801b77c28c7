"""Training transcripts: what the models see, and which of it they learn to write.

A transcript is a conversation, rendered by the chat template, with marks on what is not learned: the
user's text, tool results, calls and interrupts that the runtime puts in, and ends of turns that the
runtime, not the model, has chosen.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from string import ascii_letters, ascii_lowercase, digits
from typing import Any

from examples.tiny_llm.language import (
    FIELDS,
    MAX_CALLS,
    MAX_STEPS,
    Mode,
    Ref,
    Result,
    Step,
    Task,
    answer_text,
    any_id,
    compose,
    plain_id,
    tag,
    value_of,
)

Span = tuple[int, int]
Copy = tuple[int, int, int]
"""Where a value is written, where it was read, and its length: offsets in a rendered conversation.

Of length 0: where something is written that is not a copy, and what in the user's text it comes from.
"""

START, END = "<|im_start|>assistant\n", "<|im_end|>"


@dataclass(slots=True)
class Transcript:
    """A conversation for training.

    `messages` are as the chat template takes them; for each message of the assistant, in their order,
    `masks` has the spans of its rendered turn (END included, as offsets from the turn's first character)
    that are not learned, or None for a turn of which nothing is.
    """

    task: Task
    messages: list[dict[str, Any]]
    masks: list[list[Span] | None] = field(default_factory=list)

    def learned(self, rendered: str) -> list[Span]:
        """Return the spans of the rendered conversation that are learned."""
        spans: list[Span] = []
        starts = [match.end() for match in re.finditer(re.escape(START), rendered)]
        for start, mask in zip(starts, self.masks, strict=True):
            if mask is None:
                continue
            at = start
            for first, last in mask:
                spans.append((at, start + first))
                at = start + last
            spans.append((at, rendered.index(END, start) + len(END)))
        return spans

    def copies(self, rendered: str) -> list[Copy]:
        """Return what the learned turns take from where: values, the tools' names, the steps told."""
        return list(_Copies(self, rendered))


class _Copies:
    """Finds, in a rendered conversation, what is taken from where."""

    def __init__(self, made: Transcript, rendered: str) -> None:
        self.made, self.task, self.text = made, made.task, rendered
        self.at = rendered.index(made.task.text)
        self.originals: dict[tuple[int, int] | int, Span] = {}
        self.phrases: dict[int, int] = {}
        for number, step in enumerate(self.task.steps, 1):
            self._find(f"{number}. ")
            self.phrases[number] = self.at
            for slot, (phrase, argument) in enumerate(zip(step.tool.phrase, step.arguments, strict=True)):
                self._find(phrase)
                said = argument.text if isinstance(argument, Ref) else argument
                if isinstance(argument, str):
                    self.originals[number, slot] = (self.at, self.at + len(said))
                self._find(said)
        self._find("Tell me ")
        self.told = {number: self._find(f"result {number}") for number in self.task.told}

    def _find(self, wanted: str) -> int:
        """Move past the next occurrence of a text and return where it starts."""
        start = self.text.index(wanted, self.at)
        self.at = start + len(wanted)
        return start

    def __iter__(self) -> Iterator[Copy]:
        done: list[int] = []
        for mask in self.made.masks:
            self._find(START)
            if self.task.mode == "cml":
                yield from self._blocks()
                yield from self._answer([])
                continue
            end = self.text.index(END, self.at)
            calls = self.text.count("<tool_call>", self.at, end)
            if mask is None:
                self.at = end
            elif not calls:
                yield from self._answer(mask)
            else:
                numbers = range(len(done) + 1, len(done) + calls + 1)
                for number in numbers:
                    yield from self._call(number, '": "')
                for number in numbers:
                    self._find("<tool_response>\n")
                    self.originals[number] = (self.at, self.text.index("\n</tool_response>", self.at))
                    done.append(number)

    def _call(self, number: int, opening: str) -> Iterator[Copy]:
        """The arguments of the next call; each stands after its name and an opening."""
        step = self.task.steps[number - 1]
        yield self._find('{"name": '), self.phrases[number], 0
        self._find(f'step{opening}{number}"')
        for slot, (name, argument) in enumerate(zip(step.tool.parameters, step.arguments, strict=True)):
            self._find(f"{name}{opening}")
            if self.text.startswith("$this_", self.at):
                continue
            if isinstance(argument, str):
                yield self._copy(self.originals[number, slot])
            else:
                yield self._copy(self._field(argument))

    def _field(self, ref: Ref) -> Span:
        start, end = self.originals[ref.step]
        if not ref.path or not self.text.startswith("{", start):
            return start, end
        value = json.loads(self.text[start:end])[ref.path]
        start = self.text.index(value, self.text.index(f'"{ref.path}":', start) + len(ref.path) + 3)
        return start, start + len(value)

    def _copy(self, original: Span) -> Copy:
        start, end = original
        assert self.text.startswith(self.text[start:end], self.at), self.text
        return self.at, start, end - start

    def _answer(self, mask: Sequence[Span]) -> Iterator[Copy]:
        first = self.at
        for number in self.task.told:
            yield self._find(f"Step {number}: "), self.told[number], 0
            if not any(start == self.at - first for start, _ in mask):
                yield self._copy(self.originals[number])

    def _blocks(self) -> Iterator[Copy]:
        """The calls and interrupts of a turn in CML."""
        for block in re.finditer(r"\[(CALL|INTR)\] c(\d) \[HEAD\] (.*?) \[END\]", self.text):
            number = int(block[2])
            self.at = block.start(3)
            if block[1] == "INTR":
                self.originals[number] = block.span(3)
                continue
            step = self.task.steps[number - 1]
            yield self.at - 1, self.phrases[number], 0
            for slot, (name, argument) in enumerate(zip(step.tool.parameters, step.arguments, strict=True)):
                self._find(f"{name}=")
                if isinstance(argument, str):
                    self._find('"')
                    yield self._copy(self.originals[number, slot])
        self.at = self.text.rindex("[END]") + len("[END]")


def transcript(
    seed: str, mode: Mode, *, objects: bool, plain: bool = False, hard: bool = False
) -> Transcript:
    """Return the training transcript of this seed.

    Args:
        seed: any text; the same seed gives the same transcript.
        mode: how the model calls.
        objects: whether a tool may give an object.
        plain: whether the task is short and nothing is put in: what training starts with.
        hard: whether the task is long, and its results, more often than not, are ids that differ in their
            number only: what training ends with.
    """
    rng = random.Random(seed)  # noqa: S311 (seeded, no secret)
    most = 3 if plain else MAX_STEPS
    least = 4 if hard else 1
    wanted = compose(rng, seed=0, mode=mode, objects=objects, make=any_id, least=least, most=most)
    if mode == "cml":
        return Interrupted(rng, wanted).write()
    return Turns(rng, wanted, plain=plain, counted=0.6 if hard else 0.3).write()


# -- turns ----------------------------------------------------------------------------------------


class Turns:
    """Writes a conversation in Hermes' turns: calls, their results, the answer.

    Some transcripts have *extras*: turns with a call that nobody asked for, and its result, between the
    turns of the task. Some are *cut*: a turn ends after any of its calls, is answered, and the rest comes
    in the next turn. Some answers are *altered*: a value in them is another one than the result. What
    was put in is never learned; how the model goes on after it is.
    """

    def __init__(self, rng: random.Random, wanted: Task, *, plain: bool, counted: float) -> None:
        self.rng, self.task = rng, wanted
        self.seen: list[str] = [a for step in wanted.steps for a in step.arguments if isinstance(a, str)]
        self.results: list[Result] = []
        self.extras = 0.0 if plain else rng.choice((0.0, 0.0, 0.0, 0.15, 0.35))
        self.cuts = rng.choice((0.0, 0.0, 0.0, 0.4, 1.0))
        self.draw = drawer(rng, counted)
        # In a pipeline the results come as handles, for the most part; a handle has no fields to look up.
        self.handles = wanted.mode == "pipeline" and rng.random() < 0.8
        if self.handles:
            self.draw = counter(rng)
        self.out = Transcript(wanted, wanted.messages)
        if rng.random() < 0.05:
            self.out.messages.insert(0, {"role": "system", "content": opaque(rng, [])})

    def write(self) -> Transcript:
        """Write the whole conversation."""
        self._extras()
        for turn in self._cut_turns():
            self._turn(turn)
            self._extras()
        self._answer()
        if self.extras and self.rng.random() < 0.2:
            self._extra()
            self._answer()
        return self.out

    def _cut_turns(self) -> Iterator[tuple[list[int], bool]]:
        """The steps of each turn, and whether the turn's end is the runtime's doing."""
        numbers = range(1, len(self.task.steps) + 1)
        full = [list(numbers[at : at + MAX_CALLS]) for at in range(0, len(numbers), MAX_CALLS)]
        for turn in full if self.task.mode == "pipeline" else self.task.turns:
            part: list[int] = []
            for step in turn:
                part.append(step)
                if step != turn[-1] and self.rng.random() < self.cuts:
                    yield part, True
                    part = []
            yield part, False

    def _turn(self, turn: tuple[list[int], bool]) -> None:
        steps, cut = turn
        calls = []
        before = len(self.results)
        for number in steps:
            step = self.task.steps[number - 1]
            values = [self._argument(a, before) for a in step.arguments]
            calls.append({"function": {"name": step.tool.name, "arguments": step.named(number, values)}})
            self.results.append(self._result(step))
        self._assistant({"content": "", "tool_calls": calls}, learn=True)
        if cut:
            body = len(rendered_calls(calls))
            self.out.masks[-1] = [(body, body + len(END))]
        compact = self.rng.random() < 0.5
        for number in steps:
            result = self.results[number - 1]
            self.seen.append(result if isinstance(result, str) else result["id"])
            self.out.messages.append({"role": "tool", "content": shown(result, compact=compact)})

    def _argument(self, argument: str | Ref, before: int) -> str:
        """An argument as the model writes it; results up to `before` have been answered."""
        if isinstance(argument, Ref) and argument.step > before:
            return f"$this_{argument.step - before}" + (f".{argument.path}" if argument.path else "")
        if isinstance(argument, Ref) and argument.path and isinstance(self.results[argument.step - 1], str):
            return f"{self.results[argument.step - 1]}.{argument.path}"
        return value_of(argument, self.results)

    def _result(self, step: Step) -> Result:
        if step.tool.gives_object and not self.handles:
            return {name: self.draw() for name in FIELDS}
        return self.draw()

    def _extras(self) -> None:
        while self.rng.random() < self.extras:
            self._extra()

    def _extra(self) -> None:
        rng = self.rng
        name = _word(rng) + "_" + _word(rng)
        ids = rng.sample(self.seen, min(len(self.seen), rng.randint(1, 3))) or [any_id(rng)]
        arguments = {_word(rng): ids if rng.random() < 0.7 else rng.choice(ids)}
        call = {"function": {"name": name, "arguments": arguments}}
        self._assistant({"content": "", "tool_calls": [call]}, learn=False)
        self.out.messages.append({"role": "tool", "content": opaque(rng, self.seen)})

    def _answer(self) -> None:
        told = {step: str(self.results[step - 1]) for step in self.task.told}
        altered = {step for step in told if self.rng.random() < 0.25} if self.rng.random() < 0.2 else set()
        told |= {
            step: opaque_line(self.rng) if self.rng.random() < 0.3 else any_id(self.rng) for step in altered
        }
        mask: list[Span] = []
        text = answer_text(told)
        at = 0
        for step, value in told.items():
            start = text.index(f"Step {step}: ", at) + len("Step 0: ")
            at = start + len(value)
            if step in altered:
                mask.append((start, at))
        self._assistant({"content": text}, learn=True)
        self.out.masks[-1] = mask

    def _assistant(self, message: dict[str, Any], *, learn: bool) -> None:
        self.out.messages.append({"role": "assistant", **message})
        self.out.masks.append([] if learn else None)


def rendered_calls(calls: Sequence[dict[str, Any]]) -> str:
    """Return calls as the chat template writes them in a turn."""
    texts = (json.dumps(call["function"], ensure_ascii=False) for call in calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in texts)


def shown(result: Result, *, compact: bool) -> str:
    """Return a result as the model reads it."""
    if isinstance(result, str):
        return result
    return json.dumps(result, ensure_ascii=False, separators=(",", ":") if compact else None)


# -- CML ------------------------------------------------------------------------------------------


class Interrupted:
    """Writes one turn in CML: calls back to back, traps, and interrupts as they come.

    A call ends at a time drawn at random after what it needs has ended; its interrupt comes at the next
    end of a block, or after a trap. A trap waits for all calls, or for the next one only.
    """

    def __init__(self, rng: random.Random, wanted: Task) -> None:
        self.rng, self.task = rng, wanted
        self.text, self.mask = "", list[Span]()
        self.waits_for_all = rng.random() < 0.6
        self.compact = rng.random() < 0.5
        draw = drawer(rng)
        self.results: list[Result] = [
            {name: draw() for name in FIELDS} if step.tool.gives_object else draw() for step in wanted.steps
        ]
        slow = rng.choice((0.0, 1.0, 3.0, 20.0))
        self.ends: dict[int, float] = {}
        for number, step in enumerate(wanted.steps, 1):
            start = max([number, *(self.ends[ref.step] for ref in step.refs)])
            self.ends[number] = start + rng.random() * slow

    def write(self) -> Transcript:
        """Write the turn: the calls, traps until every result is there, the answer."""
        for number, step in enumerate(self.task.steps, 1):
            named = step.named(number, [self._code(argument) for argument in step.arguments])
            named["step"] = json.dumps(named["step"])
            code = ", ".join(f"{name}={value}" for name, value in named.items())
            self.text += f"[CALL] c{number} [HEAD] {step.tool.name}({code}) [END]"
            self._interrupt([n for n in range(1, number + 1) if n in self.ends and self.ends[n] <= number])
        while self.ends:
            self.text += "[TRAP][END]"
            least = len(self.ends) if self.waits_for_all else 1
            self._interrupt(sorted(self.ends)[: self.rng.randint(least, len(self.ends))], exact=False)
        self.text += answer_text({step: str(self.results[step - 1]) for step in self.task.told})
        messages = [*self.task.messages, {"role": "assistant", "content": self.text}]
        return Transcript(self.task, messages, [self.mask])

    def _code(self, argument: str | Ref) -> str:
        if isinstance(argument, Ref):
            return f"c{argument.step}" + (f".{argument.path}" if argument.path else "")
        return json.dumps(argument)

    def _interrupt(self, ready: Sequence[int], *, exact: bool = True) -> None:
        """Put in the interrupts of as many calls as are ready, those that ended first before the others."""
        ended = sorted(self.ends, key=self.ends.__getitem__)
        numbers = [n for n in ended if n in ready] if exact else ended[: len(ready)]
        for number in numbers:
            del self.ends[number]
            start = len(self.text)
            value = shown(self.results[number - 1], compact=self.compact)
            self.text += f"[INTR] c{number} [HEAD] {value} [END]"
            self.mask.append((start, len(self.text)))


# -- opaque text ----------------------------------------------------------------------------------


def drawer(rng: random.Random, counted: float = 0.3) -> Callable[[], str]:
    """Return a source of results: ids of any shape, or for a whole transcript of one shape only.

    Args:
        rng: draws.
        counted: how often they are ids that differ in their number only.
    """
    kind = rng.random()
    if kind < counted:
        return counter(rng)
    return lambda: any_id(rng) if kind < 0.75 else plain_id(rng)


def counter(rng: random.Random) -> Callable[[], str]:
    """Return a source of ids `$k7qz_5` with one tag, counted up by ones or at random, without repetition."""
    name = tag(rng)
    if rng.random() < 0.5:
        numbers = list(range(rng.choice((1, 1, rng.randint(1, 30))), 100))
    else:
        numbers = rng.sample(range(1, 41), 40)
    source = iter(numbers)
    return lambda: f"${name}_{next(source)}"


def opaque(rng: random.Random, seen: Sequence[str]) -> str:
    """Return text of no meaning, of one or several lines, with ids seen before and ids that are new."""
    return "\n".join(opaque_line(rng, seen) for _ in range(rng.choice((1, 1, 2, 2, 3))))


def opaque_line(rng: random.Random, seen: Sequence[str] = ()) -> str:
    """Return one line of text of no meaning."""
    parts = []
    for _ in range(rng.randint(1, 5)):
        kind = rng.random()
        if seen and kind < 0.3:
            parts.append(rng.choice(seen))
        elif kind < 0.55:
            parts.append(any_id(rng))
        elif kind < 0.85:
            parts.append(_word(rng))
        else:
            parts.append(rng.choice(("=", "=", "(", '="', '")', ":", "has", "is", ",", "-")))
    return rng.choice((" ", " ", "")).join(parts)


def _word(rng: random.Random) -> str:
    letters = ascii_lowercase if rng.random() < 0.8 else ascii_letters + digits
    return "".join(rng.choice(letters) for _ in range(rng.randint(2, 8)))


def copying(
    rng: random.Random, tokens: Sequence[int], length: int, *, repeated: bool
) -> tuple[list[int], int]:
    """Return random tokens that come again and again, and their period: what teaches to copy.

    If a token may be `repeated` within a period, the one before it does not tell which comes next.
    """
    period = rng.randint(8, length // 2)
    pattern = rng.choices(tokens, k=period) if repeated else rng.sample(tokens, period)
    return (pattern * (length // period + 1))[:length], period


assert MAX_STEPS < 10, "spans in answers count on steps of one digit"

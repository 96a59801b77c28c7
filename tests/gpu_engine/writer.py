"""A runner without tensors, whose model writes what a script says, and conversations on it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from asyncfc import Session
from asyncfc.gpu_engine.blocks import BlockPool
from asyncfc.gpu_engine.chat import Chat, ChatSettings
from asyncfc.gpu_engine.core import Core
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.engine import prepared
from asyncfc.gpu_engine.events import Event
from asyncfc.gpu_engine.plan import Plan
from asyncfc.gpu_engine.rows import Row, Rows
from asyncfc.gpu_engine.sequence import Sampling
from asyncfc.gpu_engine.sessions import conversation_of
from asyncfc.gpu_engine.stepping import on_clock
from examples.tiny_llm.tokenizer import build

START, END = "<|im_start|>assistant\n", "<|im_end|>"
HANDLE = re.compile(r"\$[a-z0-9]{4}_[0-9]+")
USER = [{"role": "user", "content": "go"}]


@functools.cache
def tokenizer() -> PreTrainedTokenizerBase:
    return build("first")


@functools.cache
def dialect() -> Dialect:
    return Dialect(tokenizer())


def call(name: str, **arguments: Any) -> str:
    """A call as the model writes it."""
    import json

    text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{text}\n</tool_call>"


class Writer:
    """A model that writes one turn after the other, `{0}` being the first handle that it has been shown.

    Args:
        turns: the model's, in order. A function gets the text so far and gives the turn.
        again: whether the last one comes again as often as the model is asked.
    """

    def __init__(self, *turns: str | Callable[[str], str], again: bool = False) -> None:
        self.turns = turns
        self.again = again
        self.steps: list[int] = []
        """How many rows each step had."""
        self.computed = 0
        self._begun: dict[int, list[int]] = {}

    def run(self, plan: Plan) -> list[int | None]:
        self.steps.append(len(plan.works))
        self.computed += plan.tokens
        return [
            self._next(work.row.id, work.row.tokens[: work.stop]) if work.samples else None
            for work in plan.works
        ]

    def _next(self, row: int, tokens: Sequence[int]) -> int:
        context, _, turn = dialect().decode(tokens).rpartition(START)
        begun = self._begun.setdefault(row, [])  # by how many turns of the assistant, forced ones included
        if context.count(START) not in begun:
            begun.append(context.count(START))
        rest = self._rest(self._turn(begun.index(context.count(START)), context), turn)
        token: int = tokenizer()(rest + END, add_special_tokens=False)["input_ids"][0]
        return token

    def _turn(self, index: int, context: str) -> str:
        turn = self.turns[min(index, len(self.turns) - 1) if self.again else index]
        if not isinstance(turn, str):
            return turn(context)
        shown = list(dict.fromkeys(HANDLE.findall(context)))
        for number, handle in enumerate(shown):
            turn = turn.replace(f"{{{number}}}", handle)
        return turn

    @staticmethod
    def _rest(turn: str, written: str) -> str:
        """What is left of a turn, in the written part of which values may stand for its first handles."""
        mention = HANDLE.pattern + r"(\.\w+)*"
        rests: list[str] = []
        for replaced in range(len(HANDLE.findall(turn)) + 1):
            pattern = re.sub(mention, "\0", turn, count=replaced) if replaced else turn
            sizes = range(pattern.rfind("\0") + 1, len(pattern) + 1)
            rests += [pattern[size:] for size in sizes if _may_be(pattern[:size], written)]
        if rests:
            rest = min(rests, key=len)
            return turn[len(turn) - len(rest) :]
        raise AssertionError(f"the model wrote {written!r}, but its script says {turn!r}")


def _may_be(pattern: str, written: str) -> bool:
    """Whether a text is what a pattern says, with a value for each NUL in it."""
    return re.fullmatch(re.escape(pattern).replace("\0", "(?s:[^$].*?)"), written) is not None


def rows_of(writer: Writer, *, step: float = 1.0, slots: int = 4, max_tokens: int | None = None) -> Rows:
    """Rows on which a script is decoded, each step taking so many virtual seconds."""
    core = Core(writer, BlockPool(4_096, 16), slots=slots, max_tokens=max_tokens, clock=lambda: 0.0)
    return Rows(core, on_clock(writer, lambda _: step))


async def converse(
    rows: Rows,
    session: Session,
    messages: Sequence[Mapping[str, Any]] = USER,
    *,
    on_event: Callable[[Event], object] = lambda _: None,
    chat: ChatSettings | None = None,
    **settings: Any,
) -> tuple[list[Event], Row]:
    """One conversation; its events, and its row as it was left."""
    conversation = conversation_of(session, {"note": False, **settings})
    prompt = dialect().prompt(prepared(messages, conversation), conversation.tools)
    row = rows.open(prompt, Sampling(banned=frozenset(dialect().forbidden_ids)))
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        on_event(event)

    try:
        events.append(await Chat(conversation, dialect(), row, messages, chat or ChatSettings(), emit).run())
    finally:
        rows.close(row)
    return events, row

"""The models in the box, ready to decode: engines, slow tools, conversations on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import examples.tiny_llm
from asyncfc import Session, Tool
from asyncfc.conversation.wording import Wording

if TYPE_CHECKING:
    from asyncfc.gpu_engine import Engine
    from asyncfc.gpu_engine.plan import Plan

Which = Literal["first", "second"]
HOME = Path(examples.tiny_llm.__file__).parent
BARE = Wording(placeholder="{handle}")
"""A model of half a million parameters reads no sentences: it is answered with the bare handle."""
MAX_NEW_TOKENS = 600


@contextmanager
def engine(
    which: Which, *, slots: int = 16, tokens: int = 1_024, seconds: Callable[[Plan], float] | None = None
) -> Iterator[Engine]:
    """An engine on one of the models, one torch thread; see `Engine` for the arguments.

    Args:
        which: of the models.
        slots: conversations that decode at a time.
        tokens: of the KV pool per slot.
        seconds: that a step takes on the clock of the event loop; None: real time.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from asyncfc.gpu_engine import Engine

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(HOME / which, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(HOME / which)
    with Engine(model, tokenizer, slots=slots, context_tokens=slots * tokens, seconds=seconds) as made:
        yield made


def slow(tools: Iterable[Callable[..., Any]], wait: Callable[[str, dict[str, Any]], Any]) -> list[Tool]:
    """The tools as asynchronous ones that touch nothing, and that take their time.

    Args:
        tools: plain functions.
        wait: awaited before a tool runs; gets its name and its arguments.
    """
    return [Tool(_slowed(tool, wait), effects="pure") for tool in tools]


def _slowed(tool: Callable[..., Any], wait: Callable[[str, dict[str, Any]], Any]) -> Callable[..., Any]:
    @functools.wraps(tool)
    async def slowed(**arguments: Any) -> Any:
        await wait(tool.__name__, arguments)
        return tool(**arguments)

    return slowed


def session(tools: Iterable[Tool], *, name: str, grace: float = 0) -> Session:
    """A session for one task; an endless grace is the synchronous loop, in which every answer is a value."""
    return Session(tools, id=name, grace=grace, wording=BARE)

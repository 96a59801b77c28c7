"""Asking: what goes into a request to the model besides what stands in the state (DESIGN D3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from asyncfc.adapters.langchain.messages import MARK, extended, may_insert_call
from asyncfc.conversation.control import AWAIT_FUTURE
from asyncfc.conversation.delivery import Delivery, Note
from asyncfc.conversation.providers import Provider
from asyncfc.dialogue import Dialogue


@dataclass(slots=True)
class Asked:
    """A request to the model, under way."""

    messages: list[AnyMessage]
    changed: list[AnyMessage] = field(default_factory=list)
    """Those of them that are not as they stand in the state, under the same ids."""
    inserted: list[AnyMessage] = field(default_factory=list)
    """Those behind all others, which are not in the state."""
    under_way: ExitStack = field(default_factory=ExitStack)


class Asking:
    """Puts deliveries into the requests of one conversation."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._session = dialogue.session
        self._inserted = 0

    def inert(self, message: AnyMessage) -> AnyMessage:
        """A message of a person, with what looks like a handle in it made inert (DESIGN H2)."""
        if not isinstance(message, HumanMessage) or MARK in message.response_metadata:
            return message
        content = message.content
        if not isinstance(content, str):
            return message
        text = self._session.handles.escape(content)
        return message if text == content else message.model_copy(update={"content": text})

    def deliver(self, deliveries: Sequence[Delivery | Note], asked: Asked, provider: Provider) -> None:
        """Put them behind the newest answer, which has not been sent, or else behind all messages."""
        last = asked.messages[-1] if asked.messages else None
        text = "\n\n".join(one.text for one in deliveries)
        block = self._session.wording.block.format(results=text)
        if isinstance(last, ToolMessage) and last.id is not None:
            grown = extended(last, block)
            asked.changed.append(grown)
            asked.messages[-1] = grown
            return
        handles = [one.handle for one in deliveries if isinstance(one, Delivery)]
        if handles and self._dialogue.controls and may_insert_call(provider, last):
            asked.inserted += self._pair(handles, text)
        else:
            asked.inserted.append(HumanMessage(block, response_metadata={MARK: "delivery"}))
        asked.messages += asked.inserted

    def _pair(self, handles: list[str], text: str) -> list[AnyMessage]:
        """A call of `await_future` that the model did not make, and its answer."""
        self._inserted += 1
        parsed = self._session.grammar.parse(handles[0])
        tag = parsed[0] if parsed else "wait"
        call_id = f"{tag[:4]}{self._inserted:05}"  # Mistral wants nine letters and digits
        call = ToolCall(name=AWAIT_FUTURE, args={"handles": handles}, id=call_id, type="tool_call")
        mark = {MARK: "delivery"}
        return [
            AIMessage("", tool_calls=[call], response_metadata=mark),
            ToolMessage(text, name=AWAIT_FUTURE, tool_call_id=call_id, response_metadata=mark),
        ]

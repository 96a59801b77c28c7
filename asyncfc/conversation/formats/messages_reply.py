"""Replies of Anthropic Messages, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from asyncfc.conversation.formats.base import (
    CallBegun,
    CallSealed,
    Ended,
    Json,
    Part,
    Reply,
    ReplyCall,
    TextDelta,
)
from asyncfc.conversation.formats.common import (
    BROKEN_OFF,
    INCONSISTENT,
    as_list,
    as_object,
    as_text,
    json_text,
    map_list,
    parsed_object,
    put,
    rewrite_deltas,
    text_of,
)
from asyncfc.futures.call import Call

# Any other reason is taken for a cut (`max_tokens`, `refusal`, `model_context_window_exceeded`, what may
# come): a call that may be incomplete had better not run.
PAUSED: Final = frozenset({"pause_turn", "compaction"})
COMPLETE: Final = frozenset({"end_turn", "tool_use", "stop_sequence"}) | PAUSED
# The deltas that come in pieces, and the field of their block.
_PIECES: Final = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def read_call(block: Any, arguments: str | None = None) -> ReplyCall | None:
    """The client tool call that a block is, or None; `arguments` as the model wrote them, where known.

    A member of a toolset (`computer`, `browser`) is `foreign`: it must run where and when it stands.
    """
    block = as_object(block)
    if block.get("type") != "tool_use":
        return None
    written = arguments or json_text(block.get("input", {}))
    call = Call(as_text(block.get("id")), as_text(block.get("name")), written)
    if block.get("toolset_name"):
        return ReplyCall(call, "foreign")
    by_program = as_object(block.get("caller")).get("type") not in (None, "direct")
    return ReplyCall(call, "program" if by_program else "model")


def read_calls(blocks: Sequence[Any]) -> tuple[ReplyCall, ...]:
    """The client tool calls among blocks; tools of the server are none."""
    return tuple(call for block in blocks if (call := read_call(block)) is not None)


def read_blocks(
    blocks: Sequence[Any], calls: tuple[ReplyCall, ...], stop_reason: str, cut: str | None
) -> Reply:
    """The reply that these blocks make."""
    kept = [block for block in blocks if not _is_blank(block)]
    items = ({"role": "assistant", "content": kept},) if kept else ()
    return Reply(text_of(blocks), calls, cut, items, final=stop_reason not in PAUSED)


def _is_blank(block: Any) -> bool:
    """Models write blank texts; requests must not hold any."""
    block = as_object(block)
    return block.get("type") == "text" and not as_text(block.get("text")).strip()


def why_cut(stop_reason: str) -> str | None:
    """Why a message is not complete, or None; servers that give no reason send complete ones."""
    return stop_reason if stop_reason and stop_reason not in COMPLETE else None


def with_text(body: Json, change: Callable[[str], str]) -> Json:
    """`Format.with_text`."""

    def of_block(block: Any) -> Any:
        if as_object(block).get("type") != "text":
            return block
        return put(block, "text", change(as_text(block.get("text"))))

    if "content" not in body:
        return body
    result: Json = put(body, "content", map_list(body["content"], of_block))
    return result


class _Block:
    """A content block while it is streamed."""

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start = dict(start)
        self.pieces: list[str] = []
        self.closed = False
        self.is_call = self.start.get("type") == "tool_use"

    def take(self, delta: Mapping[str, Any]) -> bool:
        """Add a delta; whether that changes the block."""
        kind = as_text(delta.get("type"))
        if kind in _PIECES:
            self.pieces.append(as_text(delta.get(_PIECES[kind])))
            return bool(self.pieces[-1])
        if kind == "citations_delta":
            citations = as_list(self.start.get("citations"))
            self.start["citations"] = [*citations, delta.get("citation")]
        else:  # a signature, a compaction: whole fields
            self.start |= {key: value for key, value in delta.items() if key != "type"}
        return True

    def block(self) -> Json:
        """The block as far as it came."""
        text = "".join(self.pieces)
        if not text:
            return dict(self.start)
        kind = as_text(self.start.get("type"))
        if kind in ("text", "thinking"):
            return {**self.start, kind: as_text(self.start.get(kind)) + text}
        return {**self.start, "input": parsed_object(text)}

    def call(self) -> ReplyCall | None:
        return read_call(self.start, "".join(self.pieces))


class MessagesReader:
    """`StreamReader` of Messages.

    A call is sealed when the next block begins or the message ends complete, and never when its own block
    does: a message that is cut off closes its last block too (DESIGN O3).
    """

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._sealed = 0
        self._fallback = False
        self._stop = ""
        self._broken: str | None = None
        self._ended = False

    def feed(self, event: Mapping[str, Any]) -> list[Part]:
        """What an event brings."""
        kind, index = event.get("type"), event.get("index")
        if self._ended:
            return []
        if kind == "message_delta":
            return self._take_stop(as_text(as_object(event.get("delta")).get("stop_reason")))
        if kind == "message_stop":
            return self._end()
        if kind == "error":
            self._broken = as_text(as_object(event.get("error")).get("type")) or "error"
            return self._end()
        if isinstance(index, int):
            return self._take_block_event(kind, index, event)
        return []

    def _take_block_event(self, kind: Any, index: int, event: Mapping[str, Any]) -> list[Part]:
        if kind == "content_block_start":
            return self._start(index, as_object(event.get("content_block")))
        block = self._blocks.get(index)
        if block is None:
            return []
        if kind == "content_block_stop":
            block.closed = True
        elif kind == "content_block_delta":
            return self._take_delta(block, as_object(event.get("delta")))
        return []

    def _start(self, index: int, start: Mapping[str, Any]) -> list[Part]:
        # A refusal that hands over to another model may have cut off the call before: from there on, all
        # calls wait for the end.
        self._fallback = self._fallback or start.get("type") == "fallback"
        parts = [] if self._fallback else self._seal()
        if index in self._blocks:
            self._broken = INCONSISTENT
            return parts
        block = self._blocks[index] = _Block(start)
        text = as_text(start.get("text")) if start.get("type") == "text" else ""
        return [*parts, *([CallBegun()] if block.is_call else ()), *([TextDelta(text)] if text else ())]

    def _take_delta(self, block: _Block, delta: Mapping[str, Any]) -> list[Part]:
        if block.take(delta) and block in self._calls()[: self._sealed]:
            self._broken = INCONSISTENT
        text = as_text(delta.get("text")) if delta.get("type") == "text_delta" else ""
        return [TextDelta(text)] if text and block.start.get("type") == "text" else []

    def _take_stop(self, stop_reason: str) -> list[Part]:
        if not stop_reason:
            return []
        self._stop = stop_reason
        parts: list[Part] = []
        if why_cut(stop_reason) is None and self._broken is None:
            parts = self._seal(all_calls=True)
        return [*parts, *self._end()]

    def _end(self) -> list[Part]:
        self._ended = True
        return [Ended()]

    def _calls(self) -> list[_Block]:
        return [block for block in self._blocks.values() if block.is_call]

    def _seal(self, *, all_calls: bool = False) -> list[Part]:
        """Seal what is closed, in order."""
        parts: list[Part] = []
        for block in self._calls()[self._sealed :]:
            call = block.call()
            if call is None or not (block.closed or all_calls):
                break
            self._sealed += 1
            parts.append(CallSealed(call))
        return parts

    def reply(self) -> Reply:
        """The message as far as it came."""
        blocks = [block.block() for block in self._blocks.values()]
        calls = tuple(call for block in self._blocks.values() if (call := block.call()) is not None)
        cut = self._broken or (why_cut(self._stop) if self._stop else BROKEN_OFF)
        return read_blocks(blocks, calls, self._stop, cut)

    def rewrite(self, events: Sequence[Json], change: Callable[[str], str]) -> list[Json]:
        """The events with their text changed."""
        return rewrite_deltas(events, change, _texts, _with_texts)


# The two events that bring text, the field that holds the block or delta, and the type of that.
_TEXT_EVENTS: Final = {
    "content_block_start": ("content_block", "text"),
    "content_block_delta": ("delta", "text_delta"),
}


def _texts(event: Json) -> dict[Hashable, str]:
    field, kind = _TEXT_EVENTS.get(as_text(event.get("type")), ("", ""))
    owner, index = as_object(event.get(field)), event.get("index")
    text = as_text(owner.get("text"))
    return {index: text} if owner.get("type") == kind and text and isinstance(index, int) else {}


def _with_texts(event: Json, texts: Mapping[Hashable, str]) -> Json | None:
    field, _ = _TEXT_EVENTS[event["type"]]
    text = "".join(texts.values())
    if not text and field == "delta":
        return None
    return {**event, field: {**event[field], "text": text}}

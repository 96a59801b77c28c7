"""What the formats share: JSON of any shape read without raising, and changed along one path."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncfc.conversation.formats.base import Json, ToolSchema
from asyncfc.conversation.providers import Role
from asyncfc.errors import TranscriptError

BROKEN_OFF: Final = "the stream broke off"
INCONSISTENT: Final = "the stream contradicts itself"
"""A call was changed after it had been sealed, so nothing that it said can be relied on."""

ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
# The parts and blocks that a reader of the conversation reads, and the field that holds their text.
TEXT_FIELDS: Final[Mapping[str, str]] = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}


def as_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The elements of an array, else none."""
    return list(value) if isinstance(value, list | tuple) else []


def as_text(value: Any) -> str:
    """The value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def json_text(value: Any) -> str:
    """Arguments as text: a text as it is, nothing as an empty one, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""


def parsed_object(text: str) -> Json:
    """The object that a JSON text holds; an empty one if it holds none (a call that was cut off)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def put(owner: Any, key: str, value: Any) -> Any:
    """An object with one field set; the very same object if it is set so already."""
    return owner if key in owner and owner[key] == value else {**owner, key: value}


def map_list(values: Any, change: Callable[[Any], Any]) -> Any:
    """An array with each element changed; the very same array if none was."""
    if not isinstance(values, list | tuple):
        return values
    changed = [change(value) for value in values]
    return changed if any(new is not old for new, old in zip(changed, values, strict=True)) else values


def text_field(part: Any) -> str | None:
    """The field of a part that holds its text, or None if it has none."""
    field = TEXT_FIELDS.get(as_text(as_object(part).get("type")))
    return field if field and isinstance(part.get(field), str) else None


def text_of(content: Any) -> str:
    """The text of a content, be it a text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = [(part, text_field(part)) for part in as_list(content)]
    return "".join(part[field] for part, field in parts if field)


def map_part(part: Any, change: Callable[[str], str]) -> Any:
    """A part with its text changed; the very same part if nothing changed."""
    field = text_field(part)
    return put(part, field, change(part[field])) if field else part


def map_content(content: Any, change: Callable[[str], str]) -> Any:
    """A content with its texts changed; the very same object if nothing changed."""
    if isinstance(content, str):
        changed = change(content)
        return content if changed == content else changed
    return map_list(content, lambda part: map_part(part, change))


def append_text(content: Any, text: str, kind: str = "text", between: str = "") -> Any:
    """A content with a text behind it: a text grows, a list of parts gets one more of this kind."""
    if isinstance(content, list | tuple):
        return [*content, {"type": kind, "text": text}]
    return f"{content}{between}{text}" if isinstance(content, str) and content else text


def no_answer(item: Any, expected: str) -> TranscriptError:
    """The error of `Format.extend` for an item that answers no call."""
    kind = as_text(as_object(item).get("type")) or as_text(as_object(item).get("role")) or type(item).__name__
    return TranscriptError(
        f"the item {kind!r} answers no call, so no text can go behind it. Expected {expected}"
    )


@dataclass(frozen=True, slots=True)
class ToolShape:
    """Where a provider's tool declaration keeps its schema."""

    parameters: str
    """The name of the field."""
    strict: bool
    """Whether a tool that does not say so is strict."""

    def read(self, tool: Mapping[str, Any]) -> ToolSchema:
        """What a declaration says; missing fields are empty."""
        strict = tool.get("strict")
        return ToolSchema(
            as_text(tool.get("name")),
            as_text(tool.get("description")),
            dict(as_object(tool.get(self.parameters))),
            self.strict if strict is None else bool(strict),
        )

    def write(self, tool: Mapping[str, Any], schema: ToolSchema) -> Any:
        """A declaration that says this; the very same object if it does already."""
        old = self.read(tool)
        fields = {
            "name": (old.name, schema.name),
            "description": (old.description, schema.description),
            self.parameters: (old.parameters, schema.parameters),
            "strict": (old.strict, schema.strict),
        }
        changed = {key: new for key, (before, new) in fields.items() if new != before}
        return {**tool, **changed} if changed else tool


def with_schemas(
    body: Json,
    read: Callable[[Any], ToolSchema | None],
    write: Callable[[Any, ToolSchema], Any],
    new: Callable[[ToolSchema], Json],
    change: Callable[[ToolSchema], ToolSchema],
    add: Sequence[ToolSchema],
) -> Json:
    """`Format.with_tools` for tools that stand in `body["tools"]`; `read` gives None for other tools."""
    tools = body.get("tools")
    schemas = [read(tool) for tool in as_list(tools)]
    names = {schema.name for schema in schemas if schema is not None}
    if not names:
        return body

    def changed(tool: Any) -> Any:
        schema = read(tool)
        return tool if schema is None else write(tool, change(schema))

    added = [new(schema) for schema in add if schema.name not in names]
    result = map_list(tools, changed)
    if added:
        result = [*result, *added]
    return body if result is tools else {**body, "tools": result}


def rewrite_deltas(
    events: Sequence[Json],
    change: Callable[[str], str],
    texts: Callable[[Json], Mapping[Hashable, str]],
    with_texts: Callable[[Json, Mapping[Hashable, str]], Json | None],
) -> list[Json]:
    """The events with the joined text of each part changed, as `StreamReader.rewrite` says.

    `texts` gives the pieces in an event that are not empty, by the part that they belong to; `with_texts`
    puts others in their place, and gives None for an event with nothing left in it.
    """
    joined: dict[Hashable, str] = {}
    for event in events:
        for part, piece in texts(event).items():
            joined[part] = joined.get(part, "") + piece
    changed = {part: new for part, old in joined.items() if (new := change(old)) != old}
    pending = dict(changed)
    result: list[Json] = []
    for event in events:
        mine = {part: pending.pop(part, "") for part in texts(event) if part in changed}
        kept = with_texts(event, mine) if mine else event
        if kept is not None:
            result.append(kept)
    return result

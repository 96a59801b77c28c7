"""Wording: what a model is told of CML, in one place, and the prompt that holds it."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncfc.gpu_engine.cml.markers import inert
from asyncfc.gpu_engine.port import Json

# Stands before the first result: models that learn of a rule late take no notice of it. Each sentence is
# there because models do the opposite without it.
NOTE = """\
You call tools inside your answer, without stopping:
[CALL] c1 [HEAD] tool_name(parameter="value") [END]
Give every call an id of its own: c1, c2, and so on. Calls run in the background while you go on writing.
Arguments are literals. Where a result is needed as an argument, write the id of its call, or a part of it: \
c1, c1.items[0].id. Do not wait for it.
Results come to you by themselves: [INTR] c1 [HEAD] result [END]. Only the runtime writes [INTR]; never \
write one, and never guess a result.
Make all calls that you can make before you wait. Only when your next words need results, write [TRAP][END]: \
you go on when they are there.
Write none of this while you think.

Tools:
{tools}"""

NO_CALL = "not made: {reason}. Expected [CALL] id [HEAD] tool_name(parameter=value) [END]"
"""What a broken call is answered with."""
TAKEN = "not made: there is a call {id} already. Choose another id"

_TYPES = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


def system_note(tools: Sequence[Mapping[str, Any]]) -> str:
    """The note for the system prompt; "" without tools.

    Args:
        tools: as chat templates take them.
    """
    lines = [signature(tool["function"]) for tool in tools]
    return NOTE.format(tools="\n".join(lines)) if lines else ""


def parameters_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The parameters of each tool, in their order.

    Args:
        tools: as chat templates take them.
    """
    functions = [tool["function"] for tool in tools]
    return {each["name"]: tuple((each.get("parameters") or {}).get("properties") or ()) for each in functions}


def signature(function: Mapping[str, Any]) -> str:
    """A tool as one line: `search(query: str, limit: int = 10): Search the web`."""
    schema = function.get("parameters") or {}
    required = set(schema.get("required") or ())
    parts = [
        _parameter(name, part, is_required=name in required)
        for name, part in (schema.get("properties") or {}).items()
    ]
    description = " ".join(str(function.get("description") or "").split())
    return f"{function['name']}({', '.join(parts)})" + (f": {inert(description)}" if description else "")


def _parameter(name: str, schema: Any, *, is_required: bool) -> str:
    schema = schema if isinstance(schema, Mapping) else {}
    kind = _type(schema)
    if not name.isidentifier() or keyword.iskeyword(name):  # the only way in which it can be written
        return f"**{{{json.dumps(name)}: {kind or 'value'}}}"
    text = name + (f": {kind}" if kind else "")
    if is_required:
        return text
    return text + " = " + json.dumps(schema.get("default"), ensure_ascii=False)


def _type(schema: Mapping[str, Any]) -> str:
    """The type in Python's words, as far as it can be said in a few."""
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    return " | ".join(dict.fromkeys(_names(schema)))


def _names(schema: Mapping[str, Any]) -> Iterator[str]:
    kind = schema.get("type")
    for name in kind if isinstance(kind, list) else [kind]:
        if name in _TYPES:
            yield _TYPES[name]
    for part in schema.get("anyOf") or ():
        if isinstance(part, Mapping):
            yield from _names(part)


def prepared(messages: Sequence[Mapping[str, Any]], note: str) -> list[Json]:
    """The messages as the model reads them: the note in the system prompt, markers in others' words inert.

    Args:
        messages: of the conversation.
        note: see `system_note`; "" leaves it out.
    """
    made = [dict(message) for message in messages]
    for message in made:
        if message.get("role") != "assistant" and isinstance(message.get("content"), str):
            message["content"] = inert(message["content"])
    if not note:
        return made
    if made and made[0].get("role") == "system":
        made[0]["content"] = f"{made[0]['content']}\n\n{note}"
        return made
    return [{"role": "system", "content": note}, *made]

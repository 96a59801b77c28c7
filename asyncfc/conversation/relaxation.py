"""Relaxation: the schema of a tool's parameters, changed so that handles fit in (DESIGN D7).

A position that does not take any string already becomes `anyOf: [what it was, handle]`. The handle stands in
`$defs` once, carries no session's tag, and so is the same text in every session: shared prompt caches hold.
What is not understood stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, count
from typing import Any

from asyncfc.conversation.formats.base import Json
from asyncfc.conversation.marks import UNIONS, Marks, as_list, follow
from asyncfc.conversation.wording import Wording
from asyncfc.futures.handle import THIS, HandleGrammar
from asyncfc.futures.schema import MAX_NESTING

HANDLE_NAME = "handle"
_WORDING = Wording()

_ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment")
)
"""They say something of the position, not of one of its forms, and stay outside."""
_POSITIONS = frozenset(
    ("properties", "patternProperties", "additionalProperties", "items", "prefixItems", "additionalItems")
)
"""Under these stand the schemas of other values, further in."""
_SAME_VALUE = frozenset(("$defs", "definitions", "anyOf", "oneOf", "allOf"))
"""Under these stand schemas of the value itself, or of none yet: what is further in there changes, too."""
_BY_NAME = frozenset(("properties", "patternProperties", "$defs", "definitions"))
_DEFINITIONS = ("$defs", "definitions")
_COMBINING = frozenset(("type", "$ref", "allOf", *UNIONS))
_LIMITS_ON_TEXT = frozenset(
    (
        "enum",
        "const",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "not",
        "if",
        "$dynamicRef",
        "$recursiveRef",
    )
)


def handle_schema(grammar: HandleGrammar, description: str = _WORDING.handle) -> Json:
    """The schema of a text that is one reference: a handle of any session, a path if any, braces or not.

    The pattern is one that every dialect of regular expressions reads alike, without lookaround.
    """
    sigil, separator = _literal(grammar.sigil), _literal(grammar.separator)
    tag = f"[a-z][a-z0-9]{{{grammar.tag_length - 1}}}"
    if grammar.tag_length != len(THIS):
        tag = f"({THIS}|{tag})"
    path = r"(\.[^\s.\[\]{}]+|\[[^\]]+\])*"
    reference = f"{tag}{separator}[1-9][0-9]*{path}"
    pattern = rf"^{sigil}({reference}|\{{{reference}\}})$"
    return {"type": "string", "pattern": pattern, "description": description}


def relax(
    parameters: Json,
    grammar: HandleGrammar,
    *,
    only: Callable[[Json], bool] | None = None,
    description: str = _WORDING.handle,
) -> Json:
    """The schema with handles admitted (DESIGN D7).

    The root is never wrapped, since an arguments object is never a handle. Fixed values (`const`) and
    properties that a `discriminator` names stay: they say which form the rest has. `oneOf` becomes `anyOf`,
    because two forms that differ in one value alone both fit once a handle stands there. Nothing under
    `not`, `if`, `contains` and the like changes.

    Args:
        parameters: the schema of the whole arguments object; it is not changed, and shares its parts with
            the result.
        grammar: how handles are written.
        only: whether a position is to admit handles, asked with its schema, in which `$ref`s into
            `$defs` work; all are if None.
        description: what the model reads of handles.

    Returns:
        The same object if no position changes.
    """
    handle = handle_schema(grammar, description)
    definitions = parameters.get("$defs", {})
    if not isinstance(definitions, dict):
        return parameters
    names = chain([HANDLE_NAME], (f"{HANDLE_NAME}_{number}" for number in count(2)))
    name = next(name for name in names if definitions.get(name, handle) == handle)
    relaxer = _Relaxer(parameters, {"$ref": f"#/$defs/{name}"}, only)
    relaxed = relaxer.inside(parameters, 0)
    if not relaxer.used:
        return parameters
    return {**relaxed, "$defs": {**relaxed.get("$defs", {}), name: handle}}


class _Relaxer:
    """Goes through one schema, once."""

    def __init__(self, root: Json, handle: Json, only: Callable[[Json], bool] | None) -> None:
        self.used = False
        """Whether any position has been given the handle."""
        self._root = root
        self._handle = handle
        self._only = only
        self._marks = Marks(root)
        self._done: dict[int, Any] = {}
        self._takes_text: dict[int, bool] = {}

    def inside(self, schema: Any, depth: int) -> Any:
        """The schema with the positions in it relaxed, not itself."""
        if not isinstance(schema, dict) or depth > MAX_NESTING or (depth and "$id" in schema):
            return schema
        if id(schema) not in self._done:
            self._done[id(schema)] = schema  # stands while it is being changed: each part is changed once
            self._done[id(schema)] = self._changed(schema, depth)
        return self._done[id(schema)]

    def _changed(self, schema: Json, depth: int) -> Json:
        changed: Json = {}
        keeps_one_of = "anyOf" in schema or id(schema) in self._marks.one_of_passed
        for word, value in schema.items():
            if word == "oneOf" and isinstance(value, list):
                if keeps_one_of:
                    changed[word] = value
                else:
                    changed["anyOf"] = self._under(schema, word, value, depth)
            elif word in _POSITIONS or word in _SAME_VALUE:
                changed[word] = self._under(schema, word, value, depth)
            else:
                changed[word] = value
        return changed

    def _under(self, schema: Json, word: str, value: Any, depth: int) -> Any:
        """What stands under one of the words that hold schemas."""
        relax = self._position if word in _POSITIONS else self.inside
        if word not in _BY_NAME:
            if isinstance(value, list):
                return [relax(part, depth + 1) for part in value]
            return relax(value, depth + 1)
        if not isinstance(value, dict):
            return value
        tags = self._marks.tags if word == "properties" else frozenset()
        return {
            name: part if (id(schema), name) in tags else relax(part, depth + 1)
            for name, part in value.items()
        }

    def _position(self, schema: Any, depth: int) -> Any:
        """The schema of a value, relaxed, with the handle beside it where that is missing."""
        inside = self.inside(schema, depth)
        if not isinstance(schema, dict) or depth > MAX_NESTING or not self._gets_handle(schema, depth):
            return inside
        outer = {word: value for word, value in inside.items() if word in _ANNOTATIONS}
        form = {word: value for word, value in inside.items() if word not in _ANNOTATIONS}
        if form.keys() == {"anyOf"} and isinstance(form["anyOf"], list):
            forms = form["anyOf"]
        elif id(schema) not in self._marks.passed:
            forms = [form]
        else:
            return inside
        self.used = True
        return {**outer, "anyOf": [*forms, self._handle]}

    def _gets_handle(self, schema: Json, depth: int) -> bool:
        forms = schema.get("anyOf")
        if "$id" in schema or "const" in schema or (isinstance(forms, list) and self._handle in forms):
            return False
        if self._takes_any_text(schema, depth):
            return False
        definitions = {word: self._root[word] for word in _DEFINITIONS if word in self._root}
        return self._only is None or self._only({**schema, **definitions})

    def _takes_any_text(self, schema: Any, depth: int) -> bool:
        """Whether every string is an instance; False if that is not certain."""
        if not isinstance(schema, dict) or depth > MAX_NESTING:
            return schema is True
        if id(schema) not in self._takes_text:
            self._takes_text[id(schema)] = False  # stands while it is being found out: ends cycles
            self._takes_text[id(schema)] = self._read_takes_any_text(schema, depth + 1)
        return self._takes_text[id(schema)]

    def _read_takes_any_text(self, schema: Json, depth: int) -> bool:
        # Without a type, whatever else it says may be meant as one: `properties` of an object, a `minimum`.
        limits = _LIMITS_ON_TEXT if "type" in schema else schema.keys() - _ANNOTATIONS - _COMBINING
        if limits & schema.keys() or ("type" in schema and "string" not in as_list(schema["type"])):
            return False
        needed = [*as_list(schema.get("allOf", []))]
        if "$ref" in schema:
            needed.append(follow(self._root, schema["$ref"])[1])
        unions = [as_list(schema[word]) for word in UNIONS if word in schema]
        return all(self._takes_any_text(part, depth) for part in needed) and all(
            any(self._takes_any_text(part, depth) for part in forms) for forms in unions
        )


def _literal(text: str) -> str:
    """The text as a pattern; other characters than these must not be escaped in all dialects."""
    return "".join(f"\\{char}" if char in r"^$\.*+?()[]{}|" else char for char in text)

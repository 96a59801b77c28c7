"""What Gemini's `generateContent` asks of a request."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from asyncfc.testing.models.rejection import Rejected, need
from asyncfc.testing.models.schemas import check_schema
from asyncfc.testing.models.script import Json

_PARTS = {
    "user": ("text", "functionResponse", "inlineData", "fileData"),
    "model": ("text", "functionCall", "inlineData", "executableCode", "codeExecutionResult"),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_TO_CAPITAL = re.compile(r"_([a-z])")  # either spelling of a name is taken
_TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "OBJECT", "ARRAY", "NULL")
_ABOUT = ("type", "title", "description", "default", "nullable", "enum", "format", "pattern", "example")
_INSIDE = (
    "items",
    "properties",
    "required",
    "anyOf",
    "propertyOrdering",
    "additionalProperties",
    "ref",
    "defs",
)
_LIMITS = (
    "minimum",
    "maximum",
    *(f"{end}{of}" for end in ("min", "max") for of in ("Items", "Length", "Properties")),
)
_SCHEMA = frozenset((*_ABOUT, *_INSIDE, *_LIMITS))


def signature_of(call: Json) -> str:
    """The signature of a call: of this one, and of no other."""
    about = json.dumps([call.get("name"), call.get("args") or {}], sort_keys=True)
    return base64.b64encode(
        hashlib.sha256(about.encode("utf-8", "surrogatepass")).hexdigest().encode()
    ).decode()


def turns_of(body: Json) -> Iterator[tuple[str, list[Json]]]:
    """Role and parts of each turn: contents of one role in a row are one."""
    role = ""
    parts: list[Json] = []
    for content in body["contents"]:
        if content.get("role", "user") != role and role:
            yield role, parts
            parts = []
        role = content.get("role", "user")
        parts = [*parts, *content["parts"]]
    if role:
        yield role, parts


def calls_in(parts: Sequence[Json]) -> list[Json]:
    """The calls among the parts of a turn."""
    return [part["functionCall"] for part in parts if "functionCall" in part]


def answers_in(parts: Sequence[Json]) -> list[Json]:
    """The answers among the parts of a turn."""
    return [part["functionResponse"] for part in parts if "functionResponse" in part]


def check_body(body: Json) -> None:
    """Reject what the API would reject."""
    contents = body.get("contents")
    need(isinstance(contents, list) and contents, "contents is not specified")
    assert isinstance(contents, list)
    for index, content in enumerate(contents):
        _check_content(content, f"contents[{index}]")
    system = body.get("systemInstruction")
    if system is not None:
        _check_content({**system, "role": "user"}, "system_instruction")
    _check_turns(list(turns_of(body)))
    _check_tools(body)


def _check_content(content: Any, at: str) -> None:
    need(isinstance(content, dict), f"Invalid value at '{at}': expected an object.")
    role, parts = content.get("role", "user"), content.get("parts")
    need(role in _PARTS, "Please use a valid role: user, model.")
    need(
        isinstance(parts, list) and parts,
        f"* GenerateContentRequest.{at}.parts: contents.parts must not be empty.",
    )
    for index, part in enumerate(parts):
        where = f"{at}.parts[{index}]"
        data = [key for key in _PARTS[role] if key in part]
        need(
            len(data) == 1,
            f"{where}: required oneof field 'data' must have one initialized field, not {data}",
        )
        need(
            data != ["text"] or isinstance(part["text"], str),
            f"Invalid value at '{where}.text' (TYPE_STRING)",
        )
        about = part.get("functionCall") or part.get("functionResponse")
        if about is not None:
            need(isinstance(about.get("name"), str) and about["name"], f"{where}: Name cannot be empty.")
            value = about.get("args", {}) if "functionCall" in part else about.get("response")
            need(
                isinstance(value, dict),
                f"Invalid value at '{where}' (type.googleapis.com/google.protobuf.Struct)",
            )


def _check_turns(turns: Sequence[tuple[str, list[Json]]]) -> None:
    """Calls come behind the user or behind answers, and answers behind calls: all of theirs, and no more."""
    need(turns[0][0] == "user", "Please ensure that multiturn requests begin with a user turn.")
    waiting: list[Json] = []
    for role, parts in turns:
        answers = answers_in(parts)
        _check_answers(waiting, answers)
        if answers:
            first_text = next((n for n, part in enumerate(parts) if "text" in part), len(parts))
            after = all("functionResponse" not in part for part in parts[first_text:])
            need(
                after,
                "Please ensure that function response turn comes immediately after a function call turn.",
            )
        waiting = calls_in(parts) if role == "model" else []
        _check_signature(parts)
    need(not waiting, _NUMBER)


_NUMBER = (
    "Please ensure that the number of function response parts is equal to the number of function call parts "
    "of the function call turn."
)


def _check_answers(calls: Sequence[Json], answers: Sequence[Json]) -> None:
    need(
        calls or not answers,
        "Please ensure that function response turn comes immediately after a function call turn.",
    )
    need(len(calls) == len(answers), _NUMBER)
    same_names = sorted(call["name"] for call in calls) == sorted(answer["name"] for answer in answers)
    need(same_names, "Please ensure that the function response names match the function call names.")
    ids = {call.get("id") for call in calls}
    given = [answer["id"] for answer in answers if answer.get("id")]
    need(
        set(given) <= ids and len(set(given)) == len(given),
        f"Function response ids {given} match no calls: {ids}.",
    )


def _check_signature(parts: Sequence[Json]) -> None:
    """The first call of each turn is signed by the model, as it was made (Gemini 3)."""
    first = next((part for part in parts if "functionCall" in part), None)
    if first is None:
        return
    name, signature = first["functionCall"]["name"], first.get("thoughtSignature")
    if not signature:
        raise Rejected(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools "
            f"to work correctly. Additional data, function call `default_api:{name}`."
        )
    need(signature == signature_of(first["functionCall"]), "Thought signature is not valid.")


def _check_tools(body: Json) -> None:
    names = []
    for index, tool in enumerate(body.get("tools") or ()):
        for declared in tool.get("functionDeclarations") or ():
            at = f"tools[{index}].function_declarations"
            name = declared.get("name")
            need(
                isinstance(name, str) and _NAME.fullmatch(name),
                f"* {at}.name: Invalid function name: {name!r}.",
            )
            names.append(name)
            _check_parameters(declared, at)
    need(len(set(names)) == len(names), f"Duplicate function declaration found: {names}")


def json_schema_of(declared: Json) -> Any:
    """The JSON schema of a declaration, whichever way its name is spelled; None if it has none."""
    return declared.get("parametersJsonSchema", declared.get("parameters_json_schema"))


def _check_parameters(declared: Json, at: str) -> None:
    schema = json_schema_of(declared)
    if "parameters" in declared:
        need(schema is None, f"{at}: parameters and parameters_json_schema must not both be set.")
        _check_own_schema(declared["parameters"], f"{at}.parameters")
    if schema is not None:
        check_schema(declared["name"], schema, strict=False, param=f"{at}.parameters_json_schema")


def _check_own_schema(root: Any, at: str) -> None:
    """A schema in Gemini's dialect of OpenAPI has these words only, types in capitals."""
    todo = [(root, at)]
    while todo:
        schema, place = todo.pop()
        need(isinstance(schema, dict), f"Invalid value at '{place}': expected an object.")
        schema = {
            _TO_CAPITAL.sub(lambda found: found[1].upper(), word): part for word, part in schema.items()
        }
        unknown = sorted(schema.keys() - _SCHEMA)
        need(
            not unknown,
            f"Invalid JSON payload received. Unknown name {unknown} at '{place}': Cannot find field.",
        )
        need(
            schema.get("type", "STRING") in _TYPES, f"Invalid value at '{place}.type': {schema.get('type')!r}"
        )
        todo += [
            (part, f"{place}.properties[{name}]") for name, part in (schema.get("properties") or {}).items()
        ]
        todo += [(part, f"{place}.any_of") for part in schema.get("anyOf") or ()]
        todo += [(schema["items"], f"{place}.items")] if "items" in schema else []

"""Families that tokenizers bring along, as response templates of their own."""

from __future__ import annotations

from typing import Any

from transformers.utils.chat_parsing.content_parsers import process_field
from transformers.utils.chat_parsing.response_templates import ResponseTemplateField, load_response_template

from asyncfc.gpu_engine.dialects.called import Called, Unreadable
from asyncfc.gpu_engine.dialects.families import EVERY_STOP, Family
from asyncfc.gpu_engine.dialects.json_calls import check_json, json_calls
from asyncfc.gpu_engine.dialects.scanner import Region
from asyncfc.gpu_engine.dialects.tagged import Types


def of_tokenizer(spec: dict[str, Any]) -> Family:
    """Make a family of the response template that a tokenizer brings along."""
    template = load_response_template(spec)

    def read(region: Region, _types: Types) -> list[Called]:
        return _read_field(template.fields[region.field], region)

    return Family("response_template", template, read, stops=EVERY_STOP)


def _read_field(field: ResponseTemplateField, region: Region) -> list[Called]:
    as_json = field.content == "json" and not field.content_args
    if as_json:
        check_json(region.body)  # which knows more of duplicate keys than the parser
    try:
        value = process_field(region.body, field, dict(region.captured))
        calls = [_called(each) for each in (value if isinstance(value, list) else [value])]
    except Unreadable:
        raise
    except Exception as error:  # whatever a parser of transformers makes of what a model wrote
        raise Unreadable(f"it cannot be read: {error}") from None
    return _as_written(calls, region.body) if as_json else calls


def _called(value: Any) -> Called:
    function = value.get("function", value) if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name:
        raise Unreadable('a call needs a "name", which is a string')
    assert isinstance(function, dict)
    arguments = function.get("arguments", function.get("parameters"))
    return Called(name, {} if arguments is None else arguments)


def _as_written(calls: list[Called], body: str) -> list[Called]:
    """Prefer the text of the arguments, where the body is of the usual form."""
    try:
        written = json_calls(body)
    except Unreadable:
        return calls
    return written if [call.name for call in written] == [call.name for call in calls] else calls

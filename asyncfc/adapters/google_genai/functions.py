"""Functions as Google's SDK reads them, where it calls them itself (automatic function calling).

It makes the schema that the model gets from a function's annotations, and refuses arguments that are not of
these types: a handle where the tool takes a number. It reads the two in different places, so that a
function can have the schema of the tool, and take anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from asyncfc.conversation.formats.base import ToolSchema
from asyncfc.tools import Tool


class _Told:
    """In an annotation: the schema is that of this type."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(self._annotation)


def declared(function: Callable[..., Any], tool: Tool) -> Callable[..., Any]:
    """The function of a tool, to be declared as the tool says and called with anything."""
    properties = tool.schema.get("properties", {})
    told = {
        name: _Told(tool.annotations[name]) if name in tool.annotations else WithJsonSchema(schema)
        for name, schema in properties.items()
    }
    return _presented(function, tool.name, tool.description, told, tool.defaults)


def declared_control(function: Callable[..., Any], schema: ToolSchema) -> Callable[..., Any]:
    """The same for a function that only the session has."""
    properties: Mapping[str, Any] = schema.parameters["properties"]
    optional = {name: None for name in properties if name not in schema.parameters["required"]}
    told = {name: WithJsonSchema(part) for name, part in properties.items()}
    return _presented(function, schema.name, schema.description, told, optional)


def _presented(
    function: Callable[..., Any],
    name: str,
    description: str,
    told: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Callable[..., Any]:
    """A function with these parameters.

    The SDK takes the schema from `__annotations__`. The type to check it takes from `__signature__` unless
    that is a text, and then from `__annotations__` without what annotates it: `object`, which everything is.
    """
    parameters = [
        inspect.Parameter(
            parameter,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(parameter, inspect.Parameter.empty),
            annotation="object",
        )
        for parameter in told
    ]
    about = {
        "__name__": name,
        "__doc__": description,
        "__signature__": inspect.Signature(parameters),
        "__annotations__": {parameter: Annotated[object, schema] for parameter, schema in told.items()},
    }
    for attribute, value in about.items():
        setattr(function, attribute, value)
    return function

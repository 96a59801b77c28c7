"""JSON schema of a function's parameters, by pydantic."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError, to_jsonable_python


def parameters_schema(
    parameters: Mapping[str, inspect.Parameter], annotations: Mapping[str, Any], *, takes_any: bool
) -> dict[str, Any]:
    """An object schema with one property per parameter; an undescribable annotation admits anything."""
    adapters = {name: _describable(annotations.get(name, Any)) for name in parameters}
    inputs = [(name, "validation", adapter) for name, adapter in adapters.items()]
    schemas, extra = TypeAdapter.json_schemas(inputs)  # type: ignore[arg-type]  # it infers Literal badly
    properties: dict[str, Any] = {}
    for name, parameter in parameters.items():
        properties[name] = dict(schemas[name, "validation"])
        if parameter.default is not inspect.Parameter.empty:
            _tell_default(properties[name], parameter.default)
    return {
        "type": "object",
        "properties": properties,
        "required": [n for n, p in parameters.items() if p.default is inspect.Parameter.empty],
        "additionalProperties": takes_any,
        **({"$defs": extra["$defs"]} if "$defs" in extra else {}),
    }


def _describable(annotation: Any) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        adapter.json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError, NameError):
        return TypeAdapter(Any)
    return adapter


def _tell_default(schema: dict[str, Any], default: Any) -> None:
    """Add the default if JSON can hold it; a schema without it is still right."""
    try:
        schema["default"] = to_jsonable_python(default)
    except PydanticSerializationError:
        return

"""JSON schema of a function's parameters, by pydantic."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from asyncfc.errors import ProjectionError
from asyncfc.futures.store import MemoryStore


def parameters_schema(
    parameters: Mapping[str, inspect.Parameter], annotations: Mapping[str, Any], *, takes_any: bool
) -> dict[str, Any]:
    """An object schema with one property per parameter; an undescribable annotation admits anything.

    Never raises: a call needs the schema when it starts.
    """
    adapters = {name: _describable(annotations.get(name, Any)) for name in parameters}
    inputs: list[tuple[str, Literal["validation"], TypeAdapter[Any]]]
    inputs = [(name, "validation", adapter) for name, adapter in adapters.items()]
    schemas, extra = TypeAdapter.json_schemas(inputs, schema_generator=_Quiet)
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


def returns_schema(annotation: Any) -> dict[str, Any] | None:
    """What a function returns, as JSON; None if its annotation says nothing that pydantic can describe."""
    try:
        return TypeAdapter(annotation).json_schema(mode="serialization", schema_generator=_Quiet)
    except Exception:  # as in _describable
        return None


class _Quiet(GenerateJsonSchema):
    """Leaves out a default that JSON cannot hold, as `_tell_default` does, without a warning."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: a schema that says less is still right."""


def _describable(annotation: Any) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        adapter.json_schema(schema_generator=_Quiet)
    except Exception:  # pydantic does not know the type, or the type's own code raised
        return TypeAdapter(Any)
    return adapter


def _tell_default(schema: dict[str, Any], default: Any) -> None:
    """Add the default if JSON can hold it; a schema without it is still right."""
    with suppress(ProjectionError, ValueError):
        stored = MemoryStore().put(default)
        if not stored.is_artifact:
            json.dumps(stored.get(), allow_nan=False)
            schema["default"] = stored.get()

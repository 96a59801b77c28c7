"""Tools: what LangChain's tools say of themselves, in asyncfc's terms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args, get_origin, get_type_hints

from langchain.tools import ToolRuntime
from langchain_core.messages.tool import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt.tool_node import ToolInvocationError
from langgraph.types import Command
from pydantic import ValidationError

from asyncfc.adapters.hints import Trust, annotated, declared_in
from asyncfc.adapters.langchain.messages import ToolError
from asyncfc.attached import attached_tool
from asyncfc.conversation.formats.base import Json, ToolSchema
from asyncfc.dialogue import Dialogue
from asyncfc.tools import Tool

_TAGS = {"asyncfc:pure": "pure", "asyncfc:read-only": "read"}


def attached(tool: BaseTool, trust: Trust, *, asynchronous: bool) -> Tool:
    """A tool of LangChain as one of a session."""
    schema = schema_of(tool)
    return attached_tool(
        tool.name,
        tool.description,
        schema.parameters,
        effects=effects_of(tool, trust),
        asynchronous=asynchronous,
    )


def effects_of(tool: BaseTool, trust: Trust) -> Mapping[str, Any] | str | None:
    """What a tool declares: in `metadata["asyncfc"]`, by a tag, or by a hint that is believed."""
    declared = declared_in(tool.metadata)
    tagged = next((_TAGS[tag] for tag in tool.tags or () if tag in _TAGS), None)
    return declared or tagged or annotated(tool.name, tool.metadata, trust)


def is_inline(tool: BaseTool) -> bool:
    """Whether a tool is more than a function of what the model wrote, or gives more than a result (D6)."""
    if tool.return_direct:
        return True
    annotations = [annotation for function in _functions(tool) for annotation in _hints(function).items()]
    if not isinstance(tool.args_schema, dict) and tool.args_schema is not None:
        annotations += _hints(tool.args_schema).items()
    return any(
        Command.__name__ in str(annotation) if name == "return" else _is_injected(annotation)
        for name, annotation in annotations
    )


def _functions(tool: BaseTool) -> list[Any]:
    given = [getattr(tool, name, None) for name in ("func", "coroutine")]
    return [function for function in given if function is not None] or [tool._run, tool._arun]  # noqa: SLF001


def _hints(annotated: Any) -> dict[str, Any]:
    try:
        return get_type_hints(annotated, include_extras=True)
    except Exception:  # names that are not known here; what is written still tells
        return inspect.get_annotations(annotated)


def _is_injected(annotation: Any) -> bool:
    """Whether the framework fills a parameter, not the model."""
    if isinstance(annotation, str):
        return "Injected" in annotation or ToolRuntime.__name__ in annotation
    kinds = (InjectedToolArg, ToolRuntime)
    if isinstance(annotation, kinds) or any(
        inspect.isclass(one) and issubclass(one, kinds) for one in (annotation, get_origin(annotation))
    ):
        return True
    metadata = getattr(annotation, "__metadata__", ())
    return any(_is_injected(part) for part in (*get_args(annotation), *metadata) if part is not annotation)


def tool_alone(
    tool: BaseTool, made: ToolCall, config: RunnableConfig, *, asynchronous: bool
) -> Callable[[dict[str, Any]], Any]:
    """The work of a call without a `ToolNode` and what wraps it there.

    Args:
        tool: needs nothing that a `ToolNode` injects.
        made: the call.
        config: for the tool.
        asynchronous: the work is.
    """

    async def awork(arguments: dict[str, Any]) -> Any:
        with _as_in_node(tool, arguments):
            return await tool.ainvoke({**made, "args": arguments}, config)

    def work(arguments: dict[str, Any]) -> Any:
        with _as_in_node(tool, arguments):
            return tool.invoke({**made, "args": arguments}, config)

    return awork if asynchronous else work


@contextmanager
def _as_in_node(tool: BaseTool, arguments: dict[str, Any]) -> Iterator[None]:
    """What the model is told of wrong arguments; what the tool raises besides is raised."""
    try:
        yield
    except ValidationError as error:
        wrong = ToolInvocationError(tool.name, error, arguments, error.errors())
        raise ToolError(wrong.message) from error
    except GraphBubbleUp as bubble:
        raise ToolError(
            f"{tool.name} asks a person, or leaves the graph, which it cannot do when it starts before the "
            f"message is complete; take it out of `eager`, and pass inline={{{tool.name!r}}}"
        ) from bubble


def schema_of(tool: BaseTool | Json, *, strict: bool = False) -> ToolSchema:
    """A tool as a request declares it; a provider's own gives one without parameters."""
    function = convert_to_openai_tool(tool).get("function", {})
    return ToolSchema(
        function.get("name", ""),
        function.get("description", ""),
        function.get("parameters") or {"type": "object", "properties": {}},
        strict or bool(function.get("strict")),
    )


def offered(dialogue: Dialogue, tools: Iterable[BaseTool | Json], *, strict: bool = False) -> list[Any]:
    """The tools of a request: handles admitted, those for waiting and cancelling behind them.

    A tool stays of its class, so that what else it says to its provider is kept.
    """
    given = [_adapted(dialogue, tool, strict=strict) for tool in tools]
    names = {tool.name for tool in given if isinstance(tool, BaseTool)}
    controls = dialogue.controls if names else []
    return [*given, *(_declared(control) for control in controls if control.name not in names)]


def _adapted(dialogue: Dialogue, tool: BaseTool | Json, *, strict: bool) -> BaseTool | Json:
    if not isinstance(tool, BaseTool):
        return tool
    schema = schema_of(tool, strict=strict)
    adapted = dialogue.adapt(schema)
    if adapted is schema:
        return tool
    return tool.model_copy(update={"args_schema": adapted.parameters, "description": adapted.description})


def _declared(schema: ToolSchema) -> Json:
    function = {"name": schema.name, "description": schema.description, "parameters": schema.parameters}
    return {"type": "function", "function": function}

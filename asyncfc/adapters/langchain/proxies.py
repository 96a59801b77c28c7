"""Proxies: tools whose calls go through asyncfc."""

from __future__ import annotations

from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from asyncfc.adapters.langchain.conversation import Conversation
from asyncfc.adapters.langchain.tools import schema_of
from asyncfc.conversation.formats.base import ToolSchema
from asyncfc.errors import TranscriptError


class Owner(Protocol):
    """Knows the conversation."""

    def conversation(self, *, blocking: bool) -> Conversation:
        """That which a call belongs to."""


class WrappedTool(BaseTool):
    """A tool whose calls go through asyncfc; what it does and says of itself is the inner one's business."""

    inner: BaseTool
    _owner: Owner = PrivateAttr()

    @classmethod
    def of(cls, tool: BaseTool, owner: Owner) -> WrappedTool:
        """Wrap one."""
        made = cls(
            name=tool.name,
            description=tool.description,
            args_schema=schema_of(tool).parameters,
            return_direct=tool.return_direct,
            tags=tool.tags,
            metadata=tool.metadata,
            response_format=tool.response_format,
            extras=tool.extras,
            inner=tool,
        )
        made._owner = owner
        return made

    @property
    def func(self) -> Any:
        """Of the inner one: `ToolNode` reads there what it has to inject."""
        return getattr(self.inner, "func", None)

    @property
    def coroutine(self) -> Any:
        """See `func`."""
        return getattr(self.inner, "coroutine", None)

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """Of the inner one."""
        return self.inner.get_input_schema(config)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer a call of the model; a program's own call gives the tool's own result."""
        if not _may_hold_handles(input):
            return self.inner.invoke(input, config, **kwargs)
        conversation = self._owner.conversation(blocking=True)
        call, injected = self._split(input)

        def work(arguments: dict[str, Any]) -> Any:
            return self.inner.invoke(_filled(input, {**injected, **arguments}), config, **kwargs)

        return conversation.run(conversation.answer, call, work, not _is_call(input))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The same."""
        if not _may_hold_handles(input):
            return await self.inner.ainvoke(input, config, **kwargs)
        conversation = self._owner.conversation(blocking=False)
        call, injected = self._split(input)

        async def work(arguments: dict[str, Any]) -> Any:
            return await self.inner.ainvoke(_filled(input, {**injected, **arguments}), config, **kwargs)

        return await conversation.answer(call, work, not _is_call(input))

    def _run(self, **arguments: Any) -> Any:
        return self.invoke(arguments)

    async def _arun(self, **arguments: Any) -> Any:
        return await self.ainvoke(arguments)

    def _split(self, given: Any) -> tuple[Any, dict[str, Any]]:
        """The call as the model wrote it, and what the framework has put into its arguments."""
        arguments = given["args"] if _is_call(given) else given
        schema = self.inner.get_input_schema()
        injected = set(getattr(schema, "model_fields", ())) | set(self.inner._injected_args_keys)  # noqa: SLF001
        injected -= set(schema_of(self.inner).parameters.get("properties", ()))
        made = {key: value for key, value in arguments.items() if key not in injected}
        call = {"name": self.name, "id": given.get("id") if _is_call(given) else None, "args": made}
        return call, {key: value for key, value in arguments.items() if key in injected}


class ControlTool(BaseTool):
    """`await_future` or `cancel_future`, for a `ToolNode`."""

    _owner: Owner = PrivateAttr()

    @classmethod
    def of(cls, schema: ToolSchema, owner: Owner) -> ControlTool:
        """Make one."""
        made = cls(name=schema.name, description=schema.description, args_schema=schema.parameters)
        made._owner = owner
        return made

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """Answer a call of the model."""
        conversation = self._owner.conversation(blocking=True)
        return conversation.run(conversation.answer, _require_call(input, self.name), _nothing)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: ARG002
        """The same."""
        conversation = self._owner.conversation(blocking=False)
        return await conversation.answer(_require_call(input, self.name), _nothing)

    def _run(self, **arguments: Any) -> Any:
        return self.invoke(arguments)


def _require_call(given: Any, name: str) -> Any:
    if not _is_call(given):
        raise TranscriptError(f"{name} is for the model; a program gets the outcomes of its own calls")
    return given


def _nothing(arguments: dict[str, Any]) -> None:
    """The session itself answers these calls."""


def _is_call(given: Any) -> bool:
    return isinstance(given, dict) and given.get("type") == "tool_call"


def _may_hold_handles(given: Any) -> bool:
    return isinstance(given, dict)


def _filled(given: Any, arguments: dict[str, Any]) -> Any:
    return {**given, "args": arguments} if _is_call(given) else arguments

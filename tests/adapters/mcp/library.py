"""A server for tests that uses the rest of the protocol: resources, prompts, questions, images, logging."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp_types import (
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    ListRootsRequest,
    ListRootsResult,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    PromptListChangedNotification,
    ResourceUpdatedNotification,
    ResourceUpdatedNotificationParams,
    SamplingMessage,
    TextContent,
    ToolAnnotations,
    ToolListChangedNotification,
)

READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
PIXEL = bytes.fromhex("89504e470d0a1a0a")


def library(name: str) -> MCPServer:
    """A server that knows its name."""
    server = MCPServer(name)

    @server.resource("book://index")
    async def index() -> str:
        return f"index of {name}"

    @server.resource(f"{name}://only")
    async def only() -> str:
        return f"only in {name}"

    @server.resource("page://{number}" if name == "one" else "leaf://{number}")
    async def page(number: str) -> str:
        return f"page {number} of {name}"

    @server.prompt()
    async def ask(topic: str) -> str:
        return f"{name} on {topic}"

    @server.prompt(name=f"only_{name}")
    async def only_prompt() -> str:
        return f"only {name}"

    @server.completion()  # type: ignore[no-untyped-call,untyped-decorator]
    async def complete(reference: Any, argument: Any, _context: Any) -> Completion:
        of = getattr(reference, "name", None) or reference.uri
        return Completion(values=[f"{argument.value} by {name} of {of}"])

    @server.tool(annotations=READS)
    async def picture(seconds: float = 0) -> Any:
        await asyncio.sleep(seconds)
        return ["a picture:", Image(data=PIXEL, format="png")]

    @server.tool(annotations=READS)
    async def show(what: Any) -> str:
        return f"shown {what}"

    @server.tool(annotations=READS)
    async def confirm(context: Context[Any, Any], seconds: float = 0) -> str:
        await asyncio.sleep(seconds)
        schema: Any = {"type": "object", "properties": {"sure": {"type": "boolean"}}}
        request = ElicitRequest(params=ElicitRequestFormParams(message="Sure?", requested_schema=schema))
        answer = await context.request_context.session.send_request(request, ElicitResult)
        return f"{answer.action} {answer.content}"

    @server.tool(annotations=READS)
    async def think(context: Context[Any, Any]) -> str:
        message = SamplingMessage(role="user", content=TextContent(text="hm?"))
        request = CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=9))
        answer = await context.request_context.session.send_request(request, CreateMessageResult)
        return answer.content.text  # type: ignore[union-attr]

    @server.tool(annotations=READS)
    async def roots(context: Context[Any, Any]) -> str:
        answer = await context.request_context.session.send_request(ListRootsRequest(), ListRootsResult)
        return str(answer.roots[0].uri)

    @server.tool(annotations=READS)
    async def shout(context: Context[Any, Any]) -> str:
        session = context.request_context.session
        params = LoggingMessageNotificationParams(level="info", data="loud", logger="throat")
        await session.send_notification(LoggingMessageNotification(params=params))
        updated = ResourceUpdatedNotificationParams(uri="book://index")
        await session.send_notification(ResourceUpdatedNotification(params=updated))
        await session.send_notification(PromptListChangedNotification())
        return "done"

    @server.tool(annotations=READS)
    async def grow(context: Context[Any, Any]) -> str:
        @server.tool(name=f"grown_in_{name}", annotations=READS)
        async def grown() -> str:
            return f"grown in {name}"

        await context.request_context.session.send_notification(ToolListChangedNotification())
        return "done"

    return server

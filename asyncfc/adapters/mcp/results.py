"""Results of MCP tools: what other calls get of one, and what the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from asyncfc.adapters.mcp.errors import ServerError
from asyncfc.futures.plain import canonical_text
from asyncfc.futures.rendered import Rendered


class Blocks:
    """A result with images, audio or resources: an artifact, which calls pass on whole (DESIGN V1).

    It has no JSON form on purpose: a path into it would mean nothing to the model, which reads a text.
    """

    __slots__ = ("blocks",)

    def __init__(self, blocks: Sequence[ContentBlock]) -> None:
        self.blocks = tuple(blocks)

    def __str__(self) -> str:
        return text_of(self.blocks)

    def written(self) -> Any:
        """The blocks as MCP writes them, one alone not as a list: what another tool gets as argument."""
        written = [block.model_dump(by_alias=True, mode="json", exclude_none=True) for block in self.blocks]
        return written[0] if len(written) == 1 else written


def value_of(result: CallToolResult) -> Any:
    """What a tool function returns for a result.

    Text is the value as it is, JSON text included, into which paths lead all the same (DESIGN V2). A
    structured result is the value where it says more than the text. It says no more if it only wraps it,
    as SDKs do with results that are no objects (`{"result": 5}` beside the text `5`).

    Raises:
        ServerError: the server says that the call failed; with its text.
    """
    text = text_of(result.content)
    if result.is_error:
        raise ServerError(text or "the server gives no reason")
    if any(not isinstance(block, TextContent) for block in result.content):
        return Blocks(result.content)
    structured = result.structured_content
    if structured is None:
        return text
    if isinstance(structured, dict) and len(structured) == 1:
        (inner,) = structured.values()
        if _reads_as(inner, text) or not text:
            return Rendered(inner, text or canonical_text(inner))
    return Rendered(structured, text or canonical_text(structured))


def passable(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments with artifacts of MCP tools as MCP writes them; other objects stay, and are refused later."""
    return {name: _passable(value) for name, value in arguments.items()}


def text_of(blocks: Sequence[ContentBlock]) -> str:
    """The blocks as a text; what is no text is named."""
    return "\n".join(map(_text, blocks))


def _passable(value: Any) -> Any:
    if isinstance(value, Blocks):
        return value.written()
    if isinstance(value, dict):
        return {key: _passable(item) for key, item in value.items()}
    return [_passable(item) for item in value] if isinstance(value, list) else value


def _reads_as(value: Any, text: str) -> bool:
    """Whether a text says no less than a value: each item of a list may stand in a block of its own."""
    if canonical_text(value) == text:
        return True
    return isinstance(value, list) and "\n".join(map(canonical_text, value)) == text


def _text(block: ContentBlock) -> str:
    match block:
        case TextContent(text=text):
            return text
        case EmbeddedResource(resource=TextResourceContents(uri=uri, text=text)):
            return f"[resource {uri}]\n{text}"
        case EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=kind, blob=blob)):
            return f"[resource {uri}, {_size(kind, blob)}]"
        case ResourceLink(uri=uri, name=name):
            return f"[resource {uri}: {name}]"
        case ImageContent(mime_type=kind, data=data):
            return f"[image, {_size(kind, data)}]"
        case AudioContent(mime_type=kind, data=data):
            return f"[audio, {_size(kind, data)}]"
    return f"[{block.type}]"


def _size(kind: str | None, data: str) -> str:
    padding = len(data) - len(data.rstrip("="))
    return f"{kind or 'data'}, {max(len(data) * 3 // 4 - padding, 0)} bytes"

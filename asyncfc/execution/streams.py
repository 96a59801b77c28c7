"""Streams: tools that yield their result item by item. The result is the list of the items.

A request to stop reaches a stream between two items at the latest. It is closed then and waited for, so
that its `finally` blocks have run when its work counts as ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, closing
from inspect import CO_ITERABLE_COROUTINE
from types import GeneratorType
from typing import Any, TypeAlias, TypeGuard

Take: TypeAlias = Callable[[Any], object]
"""Called with each item as it comes. What it raises ends the stream."""


class Stopped(Exception):  # never leaves this package
    """A stream in a thread was asked to stop."""


def is_awaitable(value: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether a tool returned something to be awaited. The type decides: what an object claims may lie."""
    kind = type(value)
    if kind is GeneratorType:
        return bool(value.gi_code.co_flags & CO_ITERABLE_COROUTINE)
    return issubclass(kind, Awaitable)


def is_stream(value: Any) -> TypeGuard[Generator[Any, None, Any]]:
    """Whether a tool returned a generator. Other iterators, such as an open file, are values."""
    return issubclass(type(value), Generator)


def is_async_stream(value: Any) -> TypeGuard[AsyncGenerator[Any, None]]:
    """Whether a tool returned an async generator."""
    return issubclass(type(value), AsyncGenerator)


def drain(stream: Generator[Any, None, Any], take: Take) -> list[Any]:
    """In a thread: run a generator to its end and return what it yielded."""
    items = []
    with closing(stream):
        for item in stream:
            items.append(item)
            take(item)
    return items


async def drain_async(stream: AsyncGenerator[Any, None], take: Take | None) -> list[Any]:
    """In a task: run an async generator to its end and return what it yielded."""
    task = asyncio.current_task()
    items = []
    async with aclosing(stream):
        async for item in stream:
            items.append(item)
            if take is not None:
                take(item)
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # the generator has caught it and went on
            await asyncio.sleep(0)  # one that never waits must not keep the loop from all else
    return items


async def step_by_step(stream: Generator[Any, None, Any]) -> AsyncGenerator[Any, None]:
    """A generator as an async one, for the loop's own thread."""
    with closing(stream):
        for item in stream:
            yield item

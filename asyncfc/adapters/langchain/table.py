"""Table: the conversations of all threads and runs that one middleware, or one list of tools, serves."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.tools import BaseTool

from asyncfc.adapters.langchain.conversation import Conversation
from asyncfc.dialogue import split_settings
from asyncfc.errors import DeclarationError


class Conversations:
    """The conversations under way, by key. May be used from any thread.

    Args:
        settings: of each, see `AsyncFCMiddleware`.

    Raises:
        DeclarationError: there is no such setting, or `eager` is one name alone.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        split_settings({name: value for name, value in settings.items() if name not in {"trust", "eager"}})
        eager = settings.get("eager", ())
        if isinstance(eager, str) and eager != "all":
            raise DeclarationError(
                f"eager is {eager!r}; expected names or patterns, as in ({eager!r},), or 'all'"
            )
        self._settings = settings
        self._live: dict[str, Conversation] = {}
        self._lock = threading.Lock()

    def find(self, key: str, *, blocking: bool) -> Conversation | None:
        """The one of a key, if it can go on here."""
        found = self._live.get(key)
        return found if found is not None and found.is_alive(blocking=blocking) else None

    def get(
        self, key: str, tools: Iterable[BaseTool], *, blocking: bool, together: bool = True
    ) -> Conversation:
        """The one of a key; a new one if there is none that can go on."""
        with self._lock:
            found = self.find(key, blocking=blocking)
            if found is None:
                found = Conversation(tools, self._settings, blocking=blocking, together=together)
                self._live[key] = found
            return found

    def drop(self, key: str) -> None:
        """It is over."""
        self._live.pop(key, None)

    def close(self) -> None:
        """Close those of synchronous graphs."""
        while self._live:
            self._live.popitem()[1].close()

    async def aclose(self) -> None:
        """Close those of this loop."""
        while self._live:
            conversation = self._live.popitem()[1]
            if conversation.is_alive(blocking=False):
                await conversation.aclose()
            else:
                conversation.close()

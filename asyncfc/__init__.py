"""asyncfc: tool calls answered at once with symbolic futures.

A newcomer opens `asyncfc.session` first. The names below load their modules when they are first used,
so that `import asyncfc` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers read it; `typing` would cost more than all the rest here

if TYPE_CHECKING:
    from asyncfc.agent import Done, run
    from asyncfc.blocking import BlockingSession
    from asyncfc.conversation.delivery import Delivery, Note
    from asyncfc.conversation.wording import Wording
    from asyncfc.core import Answer, Awaited, Finished
    from asyncfc.dialogue import Dialogue
    from asyncfc.errors import (
        AsyncFCError,
        BadArguments,
        BadReference,
        CallCancelled,
        CallError,
        CallWithheld,
        DeclarationError,
        DuplicateCall,
        EffectEscape,
        EngineError,
        InternalError,
        NotSettled,
        NotTransferable,
        ProjectionError,
        ResourceQuarantined,
        RootCause,
        SessionClosed,
        ToolAbandoned,
        ToolFailed,
        ToolTimeout,
        ToolUnavailable,
        TraceError,
        TranscriptError,
        UnknownHandle,
        UnknownTool,
        UnresolvedPath,
        UnsupportedModel,
        UpstreamFailed,
        ValueDropped,
        WorkerLost,
        WouldDeadlock,
    )
    from asyncfc.execution.executors import Executor, LocalExecutor
    from asyncfc.execution.processes import ProcessExecutor
    from asyncfc.execution.statistics import Statistics
    from asyncfc.futures.call import Call
    from asyncfc.futures.future import Future
    from asyncfc.futures.handle import HandleGrammar
    from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
    from asyncfc.futures.store import MemoryStore
    from asyncfc.message import Message
    from asyncfc.runtime import Runtime
    from asyncfc.session import Session
    from asyncfc.tools import Tool, tool
    from asyncfc.trace.events import Event
    from asyncfc.trace.trace import Trace

    __version__: str

__all__ = [
    "Answer",
    "AsyncFCError",
    "Awaited",
    "BadArguments",
    "BadReference",
    "BlockingSession",
    "Call",
    "CallCancelled",
    "CallError",
    "CallWithheld",
    "Cancelled",
    "DeclarationError",
    "Delivery",
    "Dialogue",
    "Done",
    "DuplicateCall",
    "EffectEscape",
    "EngineError",
    "Event",
    "Executor",
    "Failure",
    "Finished",
    "Future",
    "HandleGrammar",
    "InternalError",
    "LocalExecutor",
    "MemoryStore",
    "Message",
    "NotSettled",
    "NotTransferable",
    "Note",
    "Outcome",
    "ProcessExecutor",
    "ProjectionError",
    "ResourceQuarantined",
    "RootCause",
    "Runtime",
    "Session",
    "SessionClosed",
    "Statistics",
    "Tool",
    "ToolAbandoned",
    "ToolFailed",
    "ToolTimeout",
    "ToolUnavailable",
    "Trace",
    "TraceError",
    "TranscriptError",
    "UnknownHandle",
    "UnknownTool",
    "UnresolvedPath",
    "UnsupportedModel",
    "UpstreamFailed",
    "Value",
    "ValueDropped",
    "Withheld",
    "Wording",
    "WorkerLost",
    "WouldDeadlock",
    "__version__",
    "run",
    "tool",
]

_MODULE_OF = {
    "Answer": "core",
    "Awaited": "core",
    "BlockingSession": "blocking",
    "Call": "futures.call",
    "Cancelled": "futures.outcome",
    "Delivery": "conversation.delivery",
    "Dialogue": "dialogue",
    "Done": "agent",
    "Event": "trace.events",
    "Executor": "execution.executors",
    "Failure": "futures.outcome",
    "Finished": "core",
    "Future": "futures.future",
    "HandleGrammar": "futures.handle",
    "LocalExecutor": "execution.executors",
    "MemoryStore": "futures.store",
    "Message": "message",
    "Note": "conversation.delivery",
    "Outcome": "futures.outcome",
    "ProcessExecutor": "execution.processes",
    "Runtime": "runtime",
    "Session": "session",
    "Statistics": "execution.statistics",
    "Tool": "tools",
    "Trace": "trace.trace",
    "Value": "futures.outcome",
    "Withheld": "futures.outcome",
    "Wording": "conversation.wording",
    "run": "agent",
    "tool": "tools",
}
"""Where each public name lives; those that are not here live in `asyncfc.errors`."""


if not TYPE_CHECKING:  # type checkers know the names from above, and refuse all others

    def __getattr__(name: str) -> object:
        """Load a public name on first use, then keep it (PEP 562)."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("asyncfc")
        elif name in __all__:
            from importlib import import_module

            value = getattr(import_module(f"asyncfc.{_MODULE_OF.get(name, 'errors')}"), name)
        else:
            raise AttributeError(f"module 'asyncfc' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names whether or not they are loaded yet."""
    return sorted({*globals(), *__all__})

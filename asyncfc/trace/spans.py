"""Spans: a trace for OpenTelemetry, by the semantic conventions for generative AI.

A request to the model is a span `chat`, a call one `execute_tool`; what a call needed, or was ordered
after, is a link to the span of that call. Arguments and results are content: they go out only if asked for.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace as otel
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer

from asyncfc.trace.events import NO_CALL, Event
from asyncfc.trace.plain import plain_event
from asyncfc.trace.trace import Trace


class Spans:
    """A listener that makes spans as things happen: `Session(tools, on_event=Spans())`.

    The span that is current when it is made is the parent of all of them.

    Args:
        tracer: of OpenTelemetry; default: that of the global provider.
        model: the name of the model, for `gen_ai.request.model`.
        session: the id of the session, for `gen_ai.conversation.id`.
        content: whether arguments and results are put in, cut to 2,000 characters each.
    """

    def __init__(
        self, tracer: Tracer | None = None, *, model: str = "", session: str = "", content: bool = False
    ) -> None:
        self._tracer = tracer or otel.get_tracer("asyncfc")
        self._model = model
        self._common = {"gen_ai.conversation.id": session} if session else {}
        self._content = content
        self._parent: Context = get_current()
        self._offset: int | None = None
        """Nanoseconds since 1970 at which the loop's clock showed 0."""
        self._chat: Span | None = None
        self._open: dict[int, Span] = {}
        self._done: dict[int, SpanContext] = {}
        self._sealed: dict[int, Mapping[str, Any]] = {}

    def __call__(self, event: Event) -> None:
        """Take the next event of a session."""
        if self._offset is None:
            self._offset = time.time_ns() - int(event.t * 1e9)
        self.take(plain_event(event))

    @classmethod
    def export(cls, trace: Trace, tracer: Tracer | None = None, **settings: Any) -> None:
        """Make the spans of a trace that is complete; settings as for `Spans`."""
        spans = cls(tracer, **{"session": trace.session, **settings})
        spans._offset = int((trace.header.epoch - trace.header.t) * 1e9)
        for event in trace.events:
            spans.take(event)

    def take(self, event: Event) -> None:
        """Take the next event, as a trace keeps it."""
        if event.call == NO_CALL:
            self._of_conversation(event)
            return
        match event.kind:
            case "sealed":
                self._sealed[event.call] = event.data
            case "committed":
                self._name(event)
            case "started":
                span = self._open[event.call] = self._begin(event)
                if self._content:
                    span.set_attribute("gen_ai.tool.call.arguments", _json(event.data["arguments"]))
            case "settled":
                self._settle(event)
            case _:
                pass  # neither a span's beginning nor its end

    def _of_conversation(self, event: Event) -> None:
        if event.kind == "sampling":
            attributes = {"gen_ai.operation.name": "chat", **self._common}
            attributes |= {"gen_ai.request.model": self._model} if self._model else {}
            self._chat = self._tracer.start_span(
                f"chat {self._model}".strip(),
                self._parent,
                SpanKind.CLIENT,
                attributes,
                start_time=self._at(event),
            )
        elif event.kind == "sampled" and self._chat is not None:
            if not event.data["ok"]:
                self._chat.set_status(Status(StatusCode.ERROR, "the request failed"))
            self._chat.end(self._at(event))
            self._chat = None

    def _begin(self, event: Event) -> Span:
        data = self._sealed.get(event.call, {})
        tool = data.get("tool", "?")
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.call.id": data.get("call_id", ""),
            "gen_ai.tool.type": "function",
            "asyncfc.order": event.call,
            **self._common,
            **{name: value for name, value in data.get("names", {}).items() if value is not None},
        }
        return self._tracer.start_span(
            f"execute_tool {tool}",
            self._parent,
            SpanKind.INTERNAL,
            attributes,
            self._links(data),
            start_time=self._at(event),
        )

    def _links(self, data: Mapping[str, Any]) -> list[Link]:
        wanted = [(order, {"asyncfc.dependency": "data"}) for order in data.get("needs", ())]
        wanted += [(order, {"asyncfc.dependency": "gate"}) for order in data.get("gates", ())]
        for order, kind, label in data.get("effects", ()):
            why = {"asyncfc.dependency": "effect", "asyncfc.conflict": kind, "asyncfc.label": label}
            wanted.append((order, why))
        return [Link(self._done[order], why) for order, why in wanted if order in self._done]

    def _name(self, event: Event) -> None:
        """A call of a stream may have started before its message was complete and it had a handle."""
        if event.call in self._done:
            return
        names = {"gen_ai.tool.call.id": event.data["call_id"], "asyncfc.handle": event.data["handle"]}
        known = self._sealed.get(event.call, {"tool": event.data["tool"]})
        self._sealed[event.call] = {**known, "names": names}
        if event.call in self._open:
            self._open[event.call].set_attributes({k: v for k, v in names.items() if v is not None})

    def _settle(self, event: Event) -> None:
        outcome = event.data["outcome"]
        span = self._open.pop(event.call, None) or self._begin(event)
        span.set_attribute("asyncfc.outcome", outcome["kind"])
        if outcome["kind"] == "failure":
            span.set_attribute("error.type", outcome["error"])
            span.set_status(Status(StatusCode.ERROR, outcome["text"]))
        elif outcome["kind"] != "value":
            span.set_attribute("error.type", outcome["kind"])
        elif self._content:
            span.set_attribute("gen_ai.tool.call.result", outcome["text"])
        span.end(self._at(event))
        self._done[event.call] = span.get_span_context()
        self._sealed.pop(event.call, None)

    def _at(self, event: Event) -> int:
        return (self._offset or 0) + int(event.t * 1e9)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

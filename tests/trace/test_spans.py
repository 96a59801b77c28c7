from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from asyncfc import Call, Session
from asyncfc.trace.spans import Spans
from tests.trace.runs import converse, play


class Collector:
    """A tracer, and the spans that came of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, span.name))

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collected() -> Collector:
    return Collector()


def _seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def _attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_calls_and_messages_are_spans_of_the_conventions(collected: Collector) -> None:
    play(on_event=Spans(collected.tracer, model="m1", session="run"))
    assert [span.name for span in collected.spans if span.name.startswith("chat")] == ["chat m1"] * 3
    [chat, *_] = collected.of("chat m1")
    assert dict(_attributes(chat)) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "run",
        "gen_ai.request.model": "m1",
    }
    assert chat.kind is SpanKind.CLIENT
    assert _seconds(chat) == pytest.approx(0.5)
    [book] = collected.of("execute_tool book")
    found = dict(_attributes(book))
    assert found.pop("asyncfc.handle").startswith("$")
    assert found == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c3",
        "gen_ai.conversation.id": "run",
        "asyncfc.order": 2,
        "asyncfc.outcome": "value",
    }
    assert book.kind is SpanKind.INTERNAL
    assert _seconds(book) == pytest.approx(2)


def test_dependencies_are_links(collected: Collector) -> None:
    play(on_event=Spans(collected.tracer))
    [mail] = collected.of("execute_tool mail")
    ids = {span.context.span_id: span.name for span in collected.spans if span.context is not None}
    links = [(ids[link.context.span_id], dict(link.attributes or {})) for link in mail.links]
    assert links == [
        ("execute_tool find", {"asyncfc.dependency": "data"}),
        (
            "execute_tool book",
            {"asyncfc.dependency": "effect", "asyncfc.conflict": "WAW", "asyncfc.label": "*"},
        ),
    ]


def test_a_failure_is_an_error_of_its_kind(collected: Collector) -> None:
    play(on_event=Spans(collected.tracer))
    [mail] = collected.of("execute_tool mail")
    assert (mail.status.status_code, mail.status.description) == (StatusCode.ERROR, "no server")
    assert _attributes(mail)["error.type"] == "ConnectionError"


def test_what_never_ran_is_a_span_of_no_length(collected: Collector) -> None:
    async def body(session: Session) -> None:
        await session.submit([Call("c1", "mail", {"text": "a"})])
        [failed] = list(session.owed)
        await session.submit([Call("c2", "book", {"flight": str(failed)}), Call("c3", "nothing", {})])
        await session.await_future()

    play(body, on_event=Spans(collected.tracer))
    [book] = collected.of("execute_tool book")
    assert (_seconds(book), _attributes(book)["error.type"]) == (0, "UpstreamFailed")
    [unknown] = [span for span in collected.spans if _attributes(span).get("error.type") == "UnknownTool"]
    assert _attributes(unknown)["gen_ai.operation.name"] == "execute_tool"


def test_content_goes_out_only_if_asked_for(collected: Collector) -> None:
    play(on_event=Spans(collected.tracer))
    assert not any("London" in str(dict(_attributes(span))) for span in collected.spans)
    other = Collector()
    play(on_event=Spans(other.tracer, content=True))
    first = other.of("execute_tool find")[0]
    assert _attributes(first)["gen_ai.tool.call.arguments"] == '{"city": "London"}'
    assert _attributes(first)["gen_ai.tool.call.result"] == '{"id":"London-1"}'


def test_the_current_span_is_the_parent(collected: Collector) -> None:
    with collected.tracer.start_as_current_span("invoke_agent mine") as parent:
        play(on_event=Spans(collected.tracer))
    [root] = collected.of("invoke_agent mine")
    assert all(
        span.parent is not None and span.parent.span_id == parent.get_span_context().span_id
        for span in collected.spans
        if span is not root
    )


def test_a_failed_request_is_an_error(collected: Collector) -> None:
    async def body(session: Session) -> None:
        with pytest.raises(ConnectionError), session.sampling():
            raise ConnectionError

    play(body, on_event=Spans(collected.tracer))
    [chat] = collected.of("chat")
    assert chat.status.status_code is StatusCode.ERROR


def test_a_trace_exported_later_gives_the_same_spans(collected: Collector) -> None:
    later = Collector()
    trace = play(converse, on_event=Spans(collected.tracer, session="run"))
    Spans.export(trace, later.tracer)

    def of(collector: Collector) -> list[tuple[str, float, Any]]:
        start = min(span.start_time or 0 for span in collector.spans)
        return [
            (span.name, round(((span.start_time or 0) - start) / 1e9, 3), dict(_attributes(span)))
            for span in collector.spans
        ]

    assert of(later) == of(collected)
    header = trace.header
    assert (later.spans[0].start_time or 0) / 1e9 == pytest.approx(header.epoch - header.t, abs=1e-3)


def test_without_a_provider_nothing_is_needed() -> None:
    assert isinstance(otel.get_tracer("asyncfc"), object)
    play(on_event=Spans())

"""Picture: a short run as one SVG, the same work one by one above what happened, for a README or a slide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from asyncfc.trace.report import Report
from asyncfc.trace.view import one_by_one

WIDTH, LEFT, RIGHT = 860, 96, 16
ROW, BAR, GAP = 26, 20, 18
"""Heights in pixels: of a lane, of a bar in it, between the two panels."""
CHAR = 6.4
"""Width of a character, about."""

STYLE = """
.asyncfc{background:#fff}.asyncfc text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1f2328}
.asyncfc .head{font-weight:600}.asyncfc .dim{fill:#59636e}
.asyncfc .model{fill:#b6d4fe}.asyncfc .extra{fill:none;stroke:#6ea8fe;stroke-dasharray:3 2}
.asyncfc .tool{fill:#a6e3b8}.asyncfc .bad{fill:#f4b6b1}.asyncfc .axis{stroke:#d1d9e0}
.asyncfc .wait{stroke:#818b98;stroke-width:2;stroke-dasharray:1 4}.asyncfc .late{fill:#fff;fill-opacity:.55}
@media (prefers-color-scheme:dark){.asyncfc{background:#0d1117}
.asyncfc text{fill:#f0f6fc}.asyncfc .dim{fill:#9198a1}
.asyncfc .model{fill:#1f4b8e}.asyncfc .tool{fill:#1e6b3a}.asyncfc .bad{fill:#8b2b24}
.asyncfc .axis{stroke:#3d444d}.asyncfc .late{fill:#0d1117}}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A message, a call, or a wait of the model: from when until when in seconds, and its class of style."""

    start: float
    stop: float
    text: str
    style: str
    late: float | None = None
    """From when on its outcome was known, though it still worked."""


def picture(report: Report) -> str:
    """Return the SVG. It is meant for some 20 calls; the timeline page takes any number."""
    zero = report.record.span[0]
    apart = _one_by_one(report)
    above = [
        ("model", [b for b in apart if b.style == "model"]),
        ("tools", [b for b in apart if b.style != "model"]),
    ]
    below = [("model", [*_waits(report, zero), *_messages(report, zero)])]
    below += [
        ("tools" if number == 0 else "", lane) for number, lane in enumerate(_packed(_calls(report, zero)))
    ]
    end = max([*(bar.stop for _, lane in (*above, *below) for bar in lane), 1e-9])
    once = max((bar.stop for bar in apart), default=0.0)
    parts: list[str] = []
    top = _panel(parts, 4, f"one by one: {once:.3g} s", above, end)
    top = _panel(parts, top + GAP, f"asyncfc: {report.wall:.3g} s", below, end)
    top = _axis(parts, top, end)
    label = f"one by one {once:.3g} s, with asyncfc {report.wall:.3g} s"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="asyncfc" viewBox="0 0 {WIDTH} {top}" role="img" '
        f"aria-label={quoteattr(label)}><style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )


def _one_by_one(report: Report) -> list[Bar]:
    calls = report.calls
    return [
        Bar(start, stop, str(which), "model")
        if kind == "message"
        else Bar(start, stop, calls[which].tool, _style(report, which))
        for kind, which, start, stop in one_by_one(report)
        if kind == "message" or calls[which].work is not None
    ]


def _messages(report: Report, zero: float) -> Iterator[Bar]:
    for message in report.record.messages:
        for start, stop in message.decoding:
            yield Bar(start - zero, stop - zero, str(message.number), "extra" if message.extra else "model")


def _waits(report: Report, zero: float) -> Iterator[Bar]:
    """Where the model, or the program in its place, waited for outcomes; drawn first, under the messages."""
    spans = [span for span, _ in report.record.waits]
    spans += [pause for message in report.record.messages for pause in message.pauses]
    for start, stop in spans:
        yield Bar(start - zero, stop - zero, "waits for outcomes", "wait")


def _calls(report: Report, zero: float) -> Iterator[Bar]:
    for order, call in sorted(report.calls.items()):
        if call.work is not None:
            start, stop = call.work
            late = None if call.ended is None or call.settled is None else call.settled - zero
            yield Bar(start - zero, stop - zero, call.tool, _style(report, order), late)


def _style(report: Report, order: int) -> str:
    outcome = report.calls[order].outcome
    return "tool" if outcome is None or outcome["kind"] == "value" else "bad"


def _packed(bars: Iterable[Bar]) -> list[list[Bar]]:
    """As few lanes as hold the bars without two at a time in one."""
    lanes: list[list[Bar]] = []
    for bar in sorted(bars, key=lambda one: one.start):
        lane = next((lane for lane in lanes if lane[-1].stop <= bar.start), None)
        if lane is None:
            lanes.append([bar])
        else:
            lane.append(bar)
    return lanes


def _panel(parts: list[str], top: int, head: str, lanes: list[tuple[str, list[Bar]]], end: float) -> int:
    parts.append(f'<text class="head" x="8" y="{top + 14}">{escape(head)}</text>')
    top += 22
    for name, bars in lanes:
        parts.append(f'<text class="dim" x="8" y="{top + 14}">{name}</text>')
        parts += [_bar(bar, top, end) for bar in bars]
        top += ROW
    return top


def _bar(bar: Bar, top: int, end: float) -> str:
    x, x2 = _x(bar.start, end), _x(bar.stop, end)
    width = max(x2 - x - 1.5, 1.5)
    name = f"✕ {bar.text}" if bar.style == "bad" else bar.text
    text = name if len(name) * CHAR + 8 <= width else name[: max(0, int((width - 12) / CHAR))]
    said = f'<text x="{x + 5:.1f}" y="{top + 14}">{escape(text)}</text>' if text else ""
    title = f"<title>{escape(bar.text)}: {bar.stop - bar.start:.3g} s</title>"
    if bar.style == "wait":
        middle = top + BAR // 2
        return f'<line class="wait" x1="{x:.1f}" x2="{x2:.1f}" y1="{middle}" y2="{middle}">{title}</line>'
    place = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3"'
    drawn = f'<rect class="{bar.style}" {place}>{title}</rect>'
    if bar.late is not None:
        at = _x(bar.late, end)
        place = f'x="{at:.1f}" y="{top}" width="{x + width - at:.1f}" height="{BAR}"'
        drawn += f'<rect class="late" {place}><title>its outcome was known</title></rect>'
    return drawn + said


def _axis(parts: list[str], top: int, end: float) -> int:
    step = next(step for step in _steps() if end / step <= 8)
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top + 2}" y2="{top + 2}"/>')
    for number in range(int(end / step + 1e-9) + 1):
        at = _x(number * step, end)
        parts.append(
            f'<text class="dim" x="{at:.1f}" y="{top + 16}" text-anchor="middle">{number * step:.6g}</text>'
        )
    parts.append(f'<text class="dim" x="8" y="{top + 16}">seconds</text>')
    return top + 26


def _steps() -> Iterator[float]:
    size = 1e-6
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10


def _x(seconds: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / end

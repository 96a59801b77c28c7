"""Graphs: which call needed which, as text for Mermaid and for Graphviz."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

from asyncfc.trace.record import CallRecord
from asyncfc.trace.report import Report


def mermaid(report: Report) -> str:
    """Return the graph of a run for Mermaid: arrows are data, dotted ones effects, thick ones critical."""
    lines = ["flowchart LR"]
    lines += [f'    c{order}["{_escaped(_label(call))}"]' for order, call in sorted(report.calls.items())]
    strong = _critical(report)
    for older, newer, why in _edges(report):
        arrow = "==>" if (older, newer) in strong else "-->" if not why else "-.->"
        label = f'|"{_escaped(why)}"|' if why else ""
        lines.append(f"    c{older} {arrow}{label} c{newer}")
    failed = [order for order, call in sorted(report.calls.items()) if _failed(call)]
    lines += [f"    style c{order} stroke:#c0392b" for order in failed]
    return "\n".join(lines) + "\n"


def dot(report: Report) -> str:
    """Return the graph of a run in Graphviz' language; the same, with failed calls in red."""
    style = 'node [shape=box, style=rounded, fontname="sans-serif"]'
    lines = ["digraph asyncfc {", "    rankdir=LR;", f"    {style};"]
    for order, call in sorted(report.calls.items()):
        colour = ', color="#c0392b"' if _failed(call) else ""
        lines.append(f"    c{order} [label={_quoted(_label(call))}{colour}];")
    strong = _critical(report)
    for older, newer, why in _edges(report):
        looks = [f"label={_quoted(why)}", "style=dashed"] if why else []
        looks += ["penwidth=3"] if (older, newer) in strong else []
        lines.append(f"    c{older} -> c{newer}" + (f" [{', '.join(looks)}]" if looks else "") + ";")
    return "\n".join([*lines, "}"]) + "\n"


def _edges(report: Report) -> Iterator[tuple[int, int, str]]:
    """Older call, newer call, and for an effect why; an effect is left out where data says the same."""
    for order, call in sorted(report.calls.items()):
        needed = sorted({*call.needs, *call.gates} & report.calls.keys())
        yield from ((older, order, "") for older in needed)
        for one in call.after:
            if one.call not in needed and one.call in report.calls:
                yield one.call, order, f"{one.kind} {one.label}"


def _critical(report: Report) -> set[tuple[int, int]]:
    return set(pairwise(report.critical_path))


def _failed(call: CallRecord) -> bool:
    return call.outcome is not None and call.outcome["kind"] != "value"


def _label(call: CallRecord) -> str:
    name = call.handle or call.call_id or str(call.order)
    return f"{call.tool} {name} {call.seconds:.3g} s"


def _escaped(text: str) -> str:
    """Mermaid has no escapes, but entities of its own."""
    return "".join(one if one.isalnum() or one in " $_.:/*-" else f"#{ord(one)};" for one in text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""Plot: of each of several distributions, which part is below what; as one SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 16, 44
"""Margins in pixels."""
POINTS = 200
COLOURS = ("#d1242f", "#8250df", "#1a7f37", "#59636e")
STYLE = (
    "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1f2328}.grid{stroke:#d1d9e0}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.grid{stroke:#3d444d}}"
)


def distributions(values: Mapping[str, Sequence[float]], label: str) -> str:
    """Return the SVG.

    Args:
        values: of each distribution, by its name; above 0.
        label: of the axis, which is logarithmic.
    """
    low = math.floor(math.log10(min(min(of) for of in values.values())))
    high = math.ceil(math.log10(max(max(of) for of in values.values())))

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(part: float) -> float:
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"><style>{STYLE}</style>']
    for power in range(low, high + 1):
        parts.append(_line(x(10**power), y(0), x(10**power), y(1)))
        parts.append(
            f'<text x="{x(10**power):.1f}" y="{y(0) + 16}" text-anchor="middle">{10**power:g}</text>'
        )
    for percent in (0, 50, 99):
        at, text = y(percent / 100), f"{percent} %"
        parts.append(_line(x(10**low), at, x(10**high), at))
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(label)}</text>')
    for number, (name, of) in enumerate(values.items()):
        colour, ordered = COLOURS[number % len(COLOURS)], sorted(of)
        cuts = [round(k / POINTS * (len(ordered) - 1)) for k in range(POINTS + 1)]
        line = " ".join(f"{x(ordered[cut]):.1f},{y((cut + 1) / len(ordered)):.1f}" for cut in cuts)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>')
        at = TOP + 18 + 18 * number
        parts.append(f'<text x="{LEFT + 12}" y="{at}" style="fill:{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'

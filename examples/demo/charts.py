"""Three kinds of chart as inline SVG: nothing is fetched when the page is opened."""

from __future__ import annotations

import html
import math

COLOURS = ["#2f6db3", "#c8553d", "#3c8d5a", "#8a5fb0"]
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 30, 44


def frame(body: str, x_label: str, y_label: str, legend: list[str]) -> str:
    keys = "".join(
        f'<rect x="{LEFT + 150 * number}" y="6" width="12" height="12" fill="{COLOURS[number]}"/>'
        f'<text x="{LEFT + 150 * number + 17}" y="16">{html.escape(name)}</text>'
        for number, name in enumerate(legend)
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(y_label)}">{keys}{body}'
        f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}" class="axis"/>'
        f'<line x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{HEIGHT - BOTTOM}" class="axis"/>'
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>'
        f'<text transform="rotate(-90 14 {middle})" x="14" y="{middle}" text-anchor="middle">{html.escape(y_label)}</text></svg>'
    )


def x_at(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y_at(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def tick_x(share: float, label: str) -> str:
    return f'<text x="{x_at(share):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>'


def tick_y(share: float, label: str) -> str:
    y = y_at(share)
    line = f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'


def lines(series: dict[str, list[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """A line for each series of (x, share)."""
    end = max(x for points in series.values() for x, _ in points) or 1
    body = "".join(tick_y(share / 4, f"{share * 25} %") for share in range(5))
    body += "".join(tick_x(share / 4, f"{end * share / 4:.1f}") for share in range(5))
    for number, points in enumerate(series.values()):
        path = " ".join(f"{x_at(x / end):.1f},{y_at(y):.1f}" for x, y in points)
        body += f'<polyline points="{path}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.5"/>'
    return frame(body, x_label, y_label, list(series))


def histogram(series: dict[str, list[float]], x_label: str, y_label: str, bins: int = 60) -> str:
    """A distribution for each series, over a logarithmic axis from the least to the greatest value."""
    values = [max(value, 0.1) for many in series.values() for value in many]
    low, high = math.log10(min(values)), math.log10(max(values)) + 1e-9
    counts = {}
    for name, many in series.items():
        counts[name] = [0] * bins
        for value in many:
            counts[name][min(bins - 1, int((math.log10(max(value, 0.1)) - low) / (high - low) * bins))] += 1
    most = max(max(count) for count in counts.values()) or 1
    body = "".join(tick_y(share / 4, f"{most * share // 4:,}") for share in range(5))
    for power in range(math.ceil(low), math.floor(high) + 1):
        body += tick_x((power - low) / (high - low), f"{10.0**power:,g}")
    for number, count in enumerate(counts.values()):
        steps = " ".join(f"{x_at((index + 0.5) / bins):.1f},{y_at(n / most):.1f}" for index, n in enumerate(count))
        body += f'<polyline points="{steps}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>'
    return frame(body, x_label, y_label, list(series))


def bars(values: dict[str, int], y_label: str) -> str:
    """One bar for each name."""
    most = max(values.values()) or 1
    body = "".join(tick_y(share / 4, f"{most * share // 4:,}") for share in range(5))
    for number, (name, value) in enumerate(values.items()):
        left, right = x_at((number + 0.2) / len(values)), x_at((number + 0.8) / len(values))
        top = y_at(value / most)
        body += (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{HEIGHT - BOTTOM - top:.1f}" '
            f'fill="{COLOURS[number]}"/><text x="{(left + right) / 2:.1f}" y="{top - 4:.1f}" text-anchor="middle">'
            f"{value:,}</text>{tick_x((number + 0.5) / len(values), html.escape(name))}"
        )
    return frame(body, "service", y_label, [])

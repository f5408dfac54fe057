"""Draws what was measured: a bar for each subject of each case.

chart.py NAME FOLDER METRIC    reads FOLDER/NAME.json, writes FOLDER/NAME.svg
"""

import html
import json
import pathlib
import sys

BAR, GAP, LEFT, WIDTH, RIGHT = 13, 16, 170, 520, 90
OURS, THEIRS = "#1f6f8b", "#b8c4cc"
FONT = 'font-family="sans-serif" font-size="11"'


def grouped(records: list[dict], metric: str) -> dict[str, list[tuple[str, float]]]:
    """The figures of each case, ours first, then the others from the best to the worst."""
    cases: dict[str, list[tuple[str, float]]] = {}
    for record in records:
        if record["metric"] == metric:
            cases.setdefault(record["case"], []).append((record["subject"], record["value"]))
    return {case: sorted(bars, key=lambda bar: (bar[0] != "scrubjay", -bar[1])) for case, bars in cases.items()}


def draw(name: str, records: list[dict], metric: str) -> str:
    """The chart: in each case the longest bar has the whole width, for cases differ by a factor of a hundred."""
    parts, y = [f'<text x="10" y="18" {FONT} font-weight="bold">{html.escape(name)}: {metric}</text>'], 34
    for case, bars in grouped(records, metric).items():
        parts.append(f'<text x="10" y="{y + 10}" {FONT} font-weight="bold">{html.escape(case)}</text>')
        y += BAR + 2
        most = max(value for _, value in bars)
        for subject, value in bars:
            length = WIDTH * value / most if most else 0
            color = OURS if subject == "scrubjay" else THEIRS
            parts += [
                f'<text x="{LEFT - 6}" y="{y + 10}" {FONT} text-anchor="end">{html.escape(subject)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{color}"/>',
                f'<text x="{LEFT + length + 4:.1f}" y="{y + 10}" {FONT}>{value:,.0f}</text>',
            ]
            y += BAR
        y += GAP
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def main() -> None:
    name, folder, metric = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    records = json.loads((folder / f"{name}.json").read_text())
    (folder / f"{name}.svg").write_text(draw(name, records, metric))
    print(f"chart: {folder}/{name}.svg")


if __name__ == "__main__":
    main()

"""What the demo's services measured: as a table for the terminal, and as one page with charts."""

from __future__ import annotations

import dataclasses
import html as escape
from pathlib import Path

import charts

TIERS = {"l1": "memory (L1)", "l2": "Redis (L2)", "load": "database"}
Answers = dict[str, list[tuple[int, float, str]]]


@dataclasses.dataclass
class Result:
    """`answers`: for each service, (ms since the start, latency in µs, tier) of each request."""

    answers: Answers
    distinct: int
    seconds: float
    shared: bool


def percentile(values: list[float], share: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(name: str, answers: list[tuple[int, float, str]]) -> dict:
    micros = [answer[1] for answer in answers]
    tiers = [answer[2] for answer in answers]
    return {
        "service": name,
        "requests": len(answers),
        "l1_hits": tiers.count("l1"),
        "l2_hits": tiers.count("l2"),
        "origin_loads": tiers.count("load"),
        "p50_us": percentile(micros, 0.50),
        "p99_us": percentile(micros, 0.99),
    }


def summary(result: Result) -> dict:
    rows = [row(name, answers) for name, answers in result.answers.items()]
    everything = [answer for answers in result.answers.values() for answer in answers]
    return {
        "services": rows,
        "all": row("all", everything),
        "distinct_pages": result.distinct,
        "seconds": round(result.seconds, 2),
        "shared": result.shared,
    }


def verdict(data: dict) -> str:
    loads, distinct = data["all"]["origin_loads"], data["distinct_pages"]
    saved = 1 - loads / data["all"]["requests"]
    return (
        f"Origin loads: {loads:,} for {distinct:,} distinct pages ({loads / distinct:.3f} loads a page); "
        f"the database was spared {saved:.1%} of the requests."
    )


def table(result: Result) -> str:
    data = summary(result)
    lines = [
        f"{'service':<8} {'requests':>9} {'L1 hits':>8} {'L2 hits':>8} {'origin loads':>13} {'p50 µs':>8} {'p99 µs':>8}"
    ]
    for one in [*data["services"], data["all"]]:
        lines.append(
            f"{one['service']:<8} {one['requests']:>9,} {one['l1_hits']:>8,} {one['l2_hits']:>8,} "
            f"{one['origin_loads']:>13,} {one['p50_us']:>8.1f} {one['p99_us']:>8.1f}"
        )
    rule = "-" * len(lines[0])
    lines.insert(1, rule)
    lines.insert(-1, rule)
    return "\n".join([*lines, "", f"{data['seconds']} s. {verdict(data)}"])


def hit_rate_over_time(answers: list[tuple[int, float, str]], steps: int = 120) -> list[tuple[float, float]]:
    end = max(answer[0] for answer in answers) + 1
    hits, total = [0] * steps, [0] * steps
    for at, _, tier in answers:
        step = at * steps // end
        total[step] += 1
        hits[step] += tier != "load"
    return [(step * end / steps / 1000, hits[step] / total[step]) for step in range(steps) if total[step]]


def html(result: Result) -> str:
    data = summary(result)
    everything = [answer for answers in result.answers.values() for answer in answers]
    rates = {name: hit_rate_over_time(answers) for name, answers in result.answers.items()}
    by_tier = {label: [micros for _, micros, tier in everything if tier == key] for key, label in TIERS.items()}
    loads = {one["service"]: one["origin_loads"] for one in data["services"]}
    cells = "".join(
        f"<tr><th>{escape.escape(one['service'])}</th><td>{one['requests']:,}</td><td>{one['l1_hits']:,}</td>"
        f"<td>{one['l2_hits']:,}</td><td>{one['origin_loads']:,}</td><td>{one['p50_us']:.1f}</td>"
        f"<td>{one['p99_us']:.1f}</td></tr>"
        for one in [*data["services"], data["all"]]
    )
    page = (Path(__file__).resolve().parent / "page.html").read_text()
    parts = {
        "verdict": escape.escape(verdict(data)),
        "how": "one Redis shared by all" if result.shared else "memory only, nothing shared",
        "seconds": f"{data['seconds']}",
        "requests": f"{data['all']['requests']:,}",
        "rows": cells,
        "rates": charts.lines(rates, "seconds since the start", "share of requests answered by a cache"),
        "latency": charts.histogram(by_tier, "latency in µs (logarithmic)", "requests"),
        "loads": charts.bars(loads, "origin loads"),
    }
    for name, value in parts.items():
        page = page.replace("{{" + name + "}}", value)
    return page

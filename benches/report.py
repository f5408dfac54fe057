"""Merges what the languages measured into one file and sets it against the targets.

report.py NAME FOLDER    reads FOLDER/NAME-<language>.json and benches/NAME/targets.json, writes FOLDER/NAME.json
"""

import json
import pathlib
import sys

LANGUAGES = ("rust", "python", "node", "go", "c")


def read_parts(name: str, folder: pathlib.Path) -> list[dict]:
    records = []
    for language in LANGUAGES:
        part = folder / f"{name}-{language}.json"
        if part.exists():
            records += json.loads(part.read_text())
    return records


def verdict(met: bool) -> str:
    return "met" if met else "not met"


def lines_of(target: dict, figures: dict[tuple[str, str, str], float], measured: set[str]) -> list[tuple[str, ...]]:
    """A target is how many times the figure of each peer ours may be, or must be, or a limit for ours alone."""
    case, metric = target["case"], target["metric"]
    title, ours = f"{case}, {metric}", figures.get((case, metric, "scrubjay"))
    if "limit" in target:
        if ours is None:
            return []
        met = ours <= target["limit"]
        return [(title, "(ours alone)", f"{ours:g}", "–", "–", f"<= {target['limit']:g}", verdict(met))]
    least = "at_least" in target
    lines = []
    for peer, wanted in target["at_least" if least else "at_most"].items():
        sign = f"{'>=' if least else '<='} {wanted:g}"
        theirs = figures.get((case, metric, peer))
        if ours is not None and theirs:
            ratio = ours / theirs
            met = ratio >= wanted if least else ratio <= wanted
            row = (f"{ours:,.1f}", f"{theirs:,.1f}", f"{ratio:.3f}", sign, verdict(met))
        else:
            row = ("–", "–", "–", sign, "no figure" if case.split("/")[0] in measured else "not run")
        lines.append((title, peer, *row))
    return lines


def main() -> int:
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    records = read_parts(name, folder)
    if not records:
        print(f"report: no {name}-*.json in {folder}", file=sys.stderr)
        return 1
    (folder / f"{name}.json").write_text(json.dumps(records, indent=1) + "\n")
    figures = {(r["case"], r["metric"], r["subject"]): r["value"] for r in records}
    measured = {case.split("/")[0] for case, _, _ in figures}
    lines = [("case, metric", "peer", "scrubjay", "peer's", "ratio", "target", "")]
    for target in json.loads((pathlib.Path(__file__).parent / name / "targets.json").read_text()):
        lines += lines_of(target, figures, measured)
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        left = "  ".join(text.ljust(width) for text, width in zip(line[:2], widths))
        right = "  ".join(text.rjust(width) for text, width in zip(line[2:6], widths[2:]))
        print(f"{left}  {right}  {line[6]}".rstrip())
    counts = {what: sum(line[6] == what for line in lines) for what in ("met", "not met", "no figure", "not run")}
    print(", ".join(f"{count} {what}" for what, count in counts.items()) + f"; figures: {folder}/{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())

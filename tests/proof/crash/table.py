"""What came out, for people."""

from __future__ import annotations

COLUMNS = {
    "rounds": "runs",
    "acknowledged": "acknowledged",
    "written": "reads",
    "lost": "lost",
    "reordered": "reordered",
    "unmarked": "unmarked_duplicates",
    "duplicates": "duplicates",
    "refused": "refused",
    "seconds": "seconds",
}


def show(results: dict[str, dict], seed: int) -> None:
    """A line a scenario; then what each language held, and how fast rows were."""
    print(f"\nseed {seed}; duplicates bear the name of the first write, unmarked ones do not")
    print(f"{'scenario':<20}" + "".join(f"{title:>13}" for title in COLUMNS) + "  killed, or what shows the fault")
    for name, result in results.items():
        if "lost" in result:
            cells = [
                sum(result[field].values()) if field == "refused" else result[field] for field in COLUMNS.values()
            ]
            proof = result.get("kills") or {**result["fault_proof"], "reported": sum(result["reported"].values())}
            told = ", ".join(f"{key} {value}" for key, value in proof.items() if key != "struck")
            print(f"{name:<20}" + "".join(f"{cell!s:>13}" for cell in cells) + f"  {told}")
    if slow := results.get("slow-source"):
        print(
            f"\na source ten times too slow, max_bytes {slow['max_bytes']:,}"
            f"\n{'':<20}{'writes/s':>13}{'source/s':>13}{'accepted':>13}"
            f"{'most bytes':>13}{'RSS before':>13}{'RSS at most':>13}"
        )
        for language, result in slow["languages"].items():
            cells = [result[field] for field in ("writes_per_second", "source_per_second", "accepted")]
            cells += [result[field] for field in ("most_bytes", "resident_before", "resident_most")]
            print(f"{language:<20}" + "".join(f"{cell:>13,}" for cell in cells))
    if rows := results.get("postgres"):
        print(
            "\nrows into Postgres, ten for each key"
            f"\n{'':<28}{'callers':>9}{'rows':>10}{'seconds':>10}{'rows/s':>10}{'behind is':>12}"
        )
        for subject, result in rows["measured"].items():
            faster = rows["times_faster"].get(subject)
            print(
                f"{subject:<28}{result['callers']:>9}{result['rows']:>10,}{result['seconds']:>10.2f}"
                f"{result['rows_per_second']:>10,}{f'{faster} x' if faster else '':>12}"
            )
    print()

"""The demo: four services, one per language, answer a real shop's requests through one cache.

Builds a SQLite database of the shop's pages, starts a Redis on a free port where there is one, runs the services
side by side and reports what the cache saved: a table here, and a page with charts under target/demo/.
"""

from __future__ import annotations

import argparse
import array
import json
import lzma
import random
import selectors
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import redis_server  # noqa: E402
import report  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TRACE = HERE / "data" / "cache2k_web12.trace.xz"
OUT = ROOT / "target" / "demo"
TIME_LIMIT_SECONDS = 300


def commands(python: str, rust: str, go: str) -> dict[str, list[str]]:
    services = HERE / "services"
    return {
        "Rust": [rust],
        "Python": [python, str(services / "python" / "shop.py")],
        "Node": ["node", str(services / "node" / "shop.mjs")],
        "Go": [go],
    }


def read_trace(limit: int | None) -> array.array:
    pages = array.array("I", lzma.decompress(TRACE.read_bytes()))
    if sys.byteorder == "little":
        pages.byteswap()
    return pages[:limit] if limit else pages


def build_database(path: Path, pages: array.array) -> int:
    """One row for each distinct page. The texts are made from a seed: some 300 to 1,500 bytes each."""
    made = random.Random(12)
    words = "oak walnut lamp shelf linen brass candle kettle drawer woven glazed copper tray basket stool".split()
    distinct = sorted(set(pages))
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE page (id INTEGER PRIMARY KEY, name TEXT, price REAL, stock INTEGER, text TEXT)")
        database.executemany(
            "INSERT INTO page VALUES (?, ?, ?, ?, ?)",
            (
                (
                    page,
                    f"{made.choice(words)} {made.choice(words)} {page}",
                    round(made.uniform(2, 900), 2),
                    made.randrange(200),
                    " ".join(made.choices(words, k=made.randrange(50, 250))),
                )
                for page in distinct
            ),
        )
    database.close()
    return len(distinct)


class Service:
    """One running service and what it has said so far."""

    def __init__(self, name: str, command: list[str], config: dict) -> None:
        self.name = name
        self.answered = 0
        self.finished = False
        self.answers = Path(config["answers"])
        self.process = subprocess.Popen(
            [*command, json.dumps(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read_line(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the {self.name} service ended early with status {self.process.wait()}")
        return line

    def start(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def hear(self) -> None:
        words = self.read_line().split()
        self.finished = words[0] == "done"
        self.answered = int(words[-1])


def follow(services: list[Service], total: int) -> None:
    """Shows a progress bar until every service is done."""
    selector = selectors.DefaultSelector()
    for service in services:
        selector.register(service.process.stdout, selectors.EVENT_READ, service)
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    while not all(service.finished for service in services):
        if time.monotonic() > deadline:
            raise SystemExit(f"the services did not end within {TIME_LIMIT_SECONDS} s")
        for key, _ in selector.select(timeout=1):
            key.data.hear()
            if key.data.finished:
                selector.unregister(key.fileobj)
        show_progress(sum(service.answered for service in services), total)
    print()


def show_progress(answered: int, total: int) -> None:
    if not sys.stdout.isatty() and answered < total:
        return
    width = 40
    filled = width * answered // total
    print(f"\r  [{'#' * filled}{'.' * (width - filled)}] {answered:,} of {total:,} requests", end="", flush=True)


def read_answers(path: Path) -> list[tuple[int, float, str]]:
    rows = (line.split() for line in path.read_text().splitlines())
    return [(int(at), float(micros), tier) for at, micros, tier in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rust", required=True, help="the built Rust service")
    parser.add_argument("--go", required=True, help="the built Go service")
    parser.add_argument("--requests", type=int, help="only the first so many requests")
    options = parser.parse_args()

    pages = read_trace(options.requests)
    with tempfile.TemporaryDirectory(prefix="scrubjay-demo-") as scratch_name, redis_server.optional() as url:
        scratch = Path(scratch_name)
        database = scratch / "shop.db"
        distinct = build_database(database, pages)
        print(f"A shop's {len(pages):,} requests for {distinct:,} distinct pages, one SQLite database, four services.")
        if url is None:
            print("No redis-server found (apt-get install redis-server): each service runs on memory:// alone.")
        else:
            print(f"They share one Redis: {url}")
        requests = scratch / "requests.bin"
        requests.write_bytes(lzma.decompress(TRACE.read_bytes())[: len(pages) * 4])

        services = []
        programs = commands(options.python, options.rust, options.go)
        for number, (name, command) in enumerate(programs.items()):
            config = {
                "database": str(database),
                "url": url or "memory://",
                "prefix": "shop",
                "requests": str(requests),
                "answers": str(scratch / f"{name}.txt"),
                "service": number,
                "services": len(programs),
            }
            services.append(Service(name, command, config))
        try:
            for service in services:
                while service.read_line().strip() != "ready":
                    pass
            begin = time.monotonic()
            for service in services:
                service.start()
            follow(services, len(pages))
            seconds = time.monotonic() - begin
        finally:
            for service in services:
                service.process.kill()
                service.process.wait()
        answers = {service.name: read_answers(service.answers) for service in services}

    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    result = report.Result(answers=answers, distinct=distinct, seconds=seconds, shared=url is not None)
    print(report.table(result))
    page = OUT / "index.html"
    page.write_text(report.html(result))
    (OUT / "result.json").write_text(json.dumps(report.summary(result), indent=2))
    print(f"\nCharts: {page.relative_to(ROOT)}")


main()

"""The shop's product pages, served by Python: every page comes through the cache."""

import array
import json
import sqlite3
import sys
import time

from scrubjay import CacheService

TTL_SECONDS = 300


def main() -> None:
    config = json.loads(sys.argv[1])
    database = sqlite3.connect(f"file:{config['database']}?mode=ro", uri=True)
    cache = CacheService(config["url"], config["prefix"])
    pages = array.array("I", open(config["requests"], "rb").read())
    if sys.byteorder == "little":
        pages.byteswap()
    mine = pages[config["service"] :: config["services"]]
    answers = open(config["answers"], "w")

    def load(page: int) -> dict:
        name, price, stock, text = database.execute(
            "SELECT name, price, stock, text FROM page WHERE id = ?", (page,)
        ).fetchone()
        return {"id": page, "name": name, "price": price, "stock": stock, "text": text}

    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter_ns()
    before = cache.stats()
    for count, page in enumerate(mine, 1):
        asked = time.perf_counter_ns()
        value = cache.get_or_fetch(f"page:{page}", TTL_SECONDS, lambda: load(page))
        answered = time.perf_counter_ns()
        assert value["id"] == page
        after = cache.stats()
        tier = "load" if after.loads > before.loads else "l2" if after.hits_l2 > before.hits_l2 else "l1"
        before = after
        answers.write(f"{(answered - start) // 1000000} {(answered - asked) / 1000:.1f} {tier}\n")
        if count % 500 == 0:
            print(count, flush=True)
    answers.close()
    cache.close()
    print("done", len(mine), flush=True)


main()

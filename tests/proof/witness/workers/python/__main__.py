"""The worker of Python: half of its readers are threads, half are tasks; see `make witness` in tests/README.md."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))

from steps import Worker, at_once  # noqa: E402
from worlds import Plain, Tasks  # noqa: E402

from caches import open_cache  # noqa: E402


async def main(config: dict) -> None:
    """Does what standard input says, a word a line, and answers each with that word."""
    loop = asyncio.get_running_loop()
    options = config["options"]
    cache = open_cache(config["kind"], options, config["seed"])
    worker = Worker(config, cache)
    tasks = Tasks(cache, config["truth"])

    def thread(number: int) -> None:
        world = Plain(cache, config["truth"])
        at_once(worker.read_on(world, random.Random(f"{config['seed']} thread {number}")))

    print("ready", flush=True)
    readers, threads, writer = [], [], None
    landing = asyncio.create_task(worker.watch_landing())
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if word == "go":
            threads = [threading.Thread(target=thread, args=(n,)) for n in range(config["readers"] // 2)]
            for one in threads:
                one.start()
            for n in range(config["readers"] // 2):
                rng = random.Random(f"{config['seed']} task {n}")
                readers.append(asyncio.create_task(worker.read_on(tasks, rng)))
            writer = asyncio.create_task(worker.write_on(tasks, random.Random(f"{config['seed']} writer")))
        elif word == "quiet":
            # Readers go on: what they see while writes land is looked at as well.
            worker.writing = False
            await writer
            await worker.landed()
        elif word == "rest":
            worker.reading = False
            await asyncio.gather(*readers)
            for one in threads:
                await loop.run_in_executor(None, one.join)
        elif word == "last":
            await worker.read_last(tasks, shared=None)
            if config["observes"]:
                shared = open_cache("scrubjay", {**options, "l1_bytes": 0}, 0)
                await worker.read_last(Tasks(shared, config["truth"]), shared=shared)
                await shared.aclose()
        print(word, flush=True)
    landing.cancel()
    worker.log.close()
    await cache.aclose()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

"""The worker of Python of `make crash`: see `protocol.py`."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from scrubjay import CacheService, ScrubjayError, Write, WriteBehind

# As in each language: so many keys of values and one of changes.
KEYS = 3
KINDS = {"set": "s", "delta": "d"}
DRAIN_SECONDS = 60


def say(line: str) -> None:
    """Say a line to the parent, at once and whole."""
    left = line.encode() + b"\n"
    while left:
        left = left[os.write(1, left) :]


class Worker:
    """Its callers, and its way to the truth."""

    def __init__(self, config: dict) -> None:
        self.config = config
        options = dict(config["behind"])
        self.behind: WriteBehind = CacheService(config["url"], config["prefix"]).write_behind(
            options.pop("name"), **options
        )
        self.quiet = False
        self.confirmed = asyncio.Event()

    async def write(self, writes: list[Write]) -> None:
        """Write these, and wait until the truth has them."""
        self.confirmed.clear()
        rows = (
            f"{KINDS[write.kind]},{write.key},{write.value['v']},{write.process},{write.sequence}"
            for write in writes
        )
        say("w " + " ".join(rows))
        await self.confirmed.wait()

    async def produce(self, caller: int) -> None:
        """Write behind, and say what was acknowledged, until it is told to be quiet."""
        version = self.config["version"]
        while not self.quiet:
            version += 1
            number = version % (KEYS + 1)
            key = f"{self.config['name']}:{caller}:{number}"
            value = {"v": version, "pad": "x" * self.config["padding"]}
            changes = self.config["changes"] or number == KEYS
            try:
                if changes:
                    await self.behind.adelta(key, value)
                else:
                    await self.behind.aset(key, value, 600)
            except ScrubjayError as error:
                say(f"f {type(error).__name__}")
                await asyncio.sleep(0.02)
            else:
                say(f"a {'d' if changes else 's'} {key} {version}")
            await asyncio.sleep(self.config["pause_ms"] / 1000)

    async def tell_stats(self) -> None:
        """Tell the counters, again and again."""
        while True:
            say(f"s {json.dumps(self.behind.stats()._asdict())}")
            await asyncio.sleep(self.config["stats_ms"] / 1000)

    async def close(self) -> None:
        """Bring what is left to the truth."""
        report = await self.behind.aclose(DRAIN_SECONDS)
        say(f"c {report.left} {report.dead}")


async def main() -> None:
    config = json.loads(sys.argv[1])
    if config["ack_first"]:
        raise SystemExit("a control of the worker of Rust")
    worker = Worker(config)
    say("ready")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    producers = [asyncio.create_task(worker.produce(caller)) for caller in range(config["producers"])]
    tasks = [asyncio.create_task(worker.behind.arun(worker.write))] if config["works"] else []
    if config["stats_ms"]:
        tasks.append(asyncio.create_task(worker.tell_stats()))

    async def rest() -> None:
        await asyncio.gather(*producers)
        say("q")

    while word := (await reader.readline()).decode().strip():
        if word == "ok":
            worker.confirmed.set()
        elif word == "quiet":
            worker.quiet = True
            tasks.append(asyncio.create_task(rest()))
        elif word == "close":
            tasks.append(asyncio.create_task(worker.close()))
        elif word == "end":
            break
        else:
            raise SystemExit(f"what is {word!r}?")
    for task in [*tasks, *producers]:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())

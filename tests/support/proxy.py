"""A TCP proxy whose network can be made bad: it stops forwarding, or is late and stalls.

    proxy.py PORT          listens on a free port, which it prints first, and forwards to PORT

Then it reads a line of standard input at a time and answers each with what it counted since the one before:

- `pass`: forwards. What was held back goes on its way, as after retransmissions.
- `hole both`, `hole up`, `hole down`: forwards nothing in both directions, to the server, or to the clients. Nobody is
  told; new connections are accepted and then as silent.
- `rough LOSS DELAY_MS`: each piece is late by DELAY_MS, give or take half of that; of LOSS of the pieces the first copy
  is lost, which delays them, and all that comes after them, by 200 ms more.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path

RETRANSMISSION_SECONDS = 0.2
UP, DOWN = "up", "down"


class Network:
    """What becomes of the pieces."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.rng = port, random.Random(seed)
        self.open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        for event in self.open.values():
            event.set()
        self.loss = self.delay = 0.0
        self.counts = {"accepted": 0, "held": 0, "late": 0, "lost": 0, "forwarded": 0}

    def obey(self, line: str) -> None:
        """Does what a line says."""
        what, *rest = line.split()
        self.loss, self.delay = (float(rest[0]), float(rest[1]) / 1000) if what == "rough" else (0.0, 0.0)
        for direction, event in self.open.items():
            if what == "hole" and rest[0] in ("both", direction):
                event.clear()
            else:
                event.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forwards a connection until either side ends it."""
        self.counts["accepted"] += 1
        # Who connects through a hole reaches nobody.
        await self.open[UP].wait()
        await self.open[DOWN].wait()
        try:
            server = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self.forward(reader, server[1], UP), self.forward(server[0], writer, DOWN))

    async def forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str) -> None:
        """Forwards one direction; pieces keep their order."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        delivery = asyncio.create_task(self.deliver(pieces, sink, direction))
        loop = asyncio.get_running_loop()
        piece = b"-"
        while piece:
            try:
                piece = await source.read(1 << 16)
            except OSError:
                piece = b""
            late = self.delay * self.rng.uniform(0.5, 1.5)
            if late and self.rng.random() < self.loss:
                self.counts["lost"] += 1
                late += RETRANSMISSION_SECONDS
            self.counts["late"] += late > 0
            await pieces.put((loop.time() + late, piece))
        await delivery

    async def deliver(
        self,
        pieces: asyncio.Queue[tuple[float, bytes]],
        sink: asyncio.StreamWriter,
        direction: str,
    ) -> None:
        """Hands the pieces on when their time has come."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, piece = await pieces.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                if not self.open[direction].is_set():
                    self.counts["held"] += 1
                    await self.open[direction].wait()
                if not piece:
                    break
                self.counts["forwarded"] += 1
                sink.write(piece)
                await sink.drain()
        except OSError:
            # The other direction ends too; what still comes is of no use.
            while (await pieces.get())[1]:
                pass
        finally:
            sink.close()


async def main(port: int, seed: int) -> None:
    """Forwards until standard input ends."""
    network = Network(port, seed)
    server = await asyncio.start_server(network.accept, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        counted = dict(network.counts)
        network.counts = dict.fromkeys(counted, 0)
        network.obey(line)
        print(json.dumps(counted), flush=True)


class Proxy:
    """The proxy, as a process of its own."""

    def __init__(self, port: int, seed: int) -> None:
        command = [sys.executable, str(Path(__file__)), str(port), str(seed)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def say(self, line: str) -> dict[str, int]:
        """Changes the network; what was counted until then."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))

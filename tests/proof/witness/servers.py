"""What happens to the server and its connections."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from server import Server
from stage import Stage

CHANNEL, SEQUENCE, ENTRIES = "sj:{witness.0}:c", "sj:{witness.0}:s", b"sj:{witness.0}:e:"
INVALIDATE = (Path(__file__).parents[3] / "core/src/redis/scripts/invalidate.lua").read_text()


def kill(stage: Stage) -> dict[str, int]:
    """kill -9; it comes back empty."""
    before = stage.server.process.pid
    stage.server.kill()
    time.sleep(0.6)
    stage.server.start()
    with stage.server.connect() as redis:
        after = int(redis.info("server")["process_id"])
    return {"struck": before != after, "restarts": 1}


def freeze(seconds: float) -> Callable[[Stage], dict[str, int]]:
    """SIGSTOP for so long."""

    def strike(stage: Stage) -> dict[str, int]:
        # Returns only when the kernel says that it has stopped.
        stage.server.freeze()
        begun = time.monotonic()
        time.sleep(seconds)
        stage.server.thaw()
        stopped = time.monotonic() - begun
        return {"struck": stopped >= seconds, "stopped_ms": round(stopped * 1000)}

    return strike


def demote(stage: Stage) -> dict[str, int]:
    """REPLICAOF a server that has been its replica until then; later it is a primary again."""
    other = Server(stage.folder / "other")
    try:
        with stage.server.connect() as redis, other.connect() as promoted:
            promoted.command("REPLICAOF", "127.0.0.1", stage.server.port)
            wait_until(lambda: promoted.info("replication")["master_link_status"] == "up")
            promoted.command("REPLICAOF", "NO", "ONE")
            refused = refusals(redis)
            redis.command("REPLICAOF", "127.0.0.1", other.port)
            time.sleep(3 * stage.max_staleness + 0.5)
            role = redis.info("replication")["role"]
            left = listeners(redis)
            refused = refusals(redis) - refused
            redis.command("REPLICAOF", "NO", "ONE")
    finally:
        other.stop()
    return {"struck": role == "slave" and refused > 0, "refused_writes": refused, "sessions_left": left}


def refusals(redis: object) -> int:
    """How many commands it has refused because it is a replica."""
    line = redis.info("errorstats").get("errorstat_READONLY", "count=0")
    return int(line.partition("=")[2])


def wait_until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("the fault could not be prepared")
        time.sleep(0.01)


def listeners(redis: object) -> int:
    """How many listen to what is published of writes."""
    return redis.command("PUBSUB", "NUMSUB", CHANNEL)[1]


def kill_pubsub(stage: Stage) -> dict[str, int]:
    """CLIENT KILL TYPE pubsub."""
    with stage.server.connect() as redis:
        killed = redis.command("CLIENT", "KILL", "TYPE", "pubsub")
    return {"struck": killed > 0, "killed": killed}


def overflow(stage: Stage) -> dict[str, int]:
    """A client that does not read is told more than the server keeps for it: its connection is closed."""
    worker = stage.workers[stage.turn() % len(stage.workers)]
    with stage.server.connect() as redis:
        redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 32kb 1")
        before = overflows(stage)
        worker.freeze()
        # Somebody invalidates many long keys, none of which is one of the workers'.
        keys = [b"%s%s%d" % (ENTRIES, b"x" * 900, number) for number in range(900)]
        begun = time.monotonic()
        while overflows(stage) == before and time.monotonic() - begun < 5:
            redis.command("EVAL", INVALIDATE, len(keys) + 1, SEQUENCE, *keys, CHANNEL, len(ENTRIES), b"")
        worker.thaw()
        closed = overflows(stage) - before
        redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
    return {"struck": closed > 0, "closed": closed}


def overflows(stage: Stage) -> int:
    """How many connections the server says that it has closed for that."""
    return stage.server.log.read_text().count("overcoming of output buffer limits")

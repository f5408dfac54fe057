"""What happens to what the server holds."""

from __future__ import annotations

import time

from stage import Stage

JUNK_BYTES = 16_384
POLICIES = ("allkeys-lru", "allkeys-random")


def flushall(stage: Stage) -> dict[str, int]:
    """FLUSHALL: entries, leases and the sequence are gone."""
    with stage.server.connect() as redis:
        held = redis.command("DBSIZE")
        before = calls(redis, "flushall")
        redis.command("FLUSHALL")
        struck = held > 0 and calls(redis, "flushall") == before + 1
    return {"struck": struck, "keys_flushed": held}


def script_flush(stage: Stage) -> dict[str, int]:
    """SCRIPT FLUSH: every script has to be sent again."""
    with stage.server.connect() as redis:
        held = int(redis.info("memory")["number_of_cached_scripts"])
        redis.command("SCRIPT", "FLUSH")
    return {"struck": held > 0, "scripts_flushed": held}


def evict(stage: Stage) -> dict[str, int]:
    """Memory is short, and others write much: any key may go, the sequence too."""
    with stage.server.connect() as redis:
        before = int(redis.info("stats")["evicted_keys"])
        ours = sizes(redis)
        redis.command("CONFIG", "SET", "maxmemory-policy", POLICIES[stage.turn() % 2])
        redis.command("CONFIG", "SET", "maxmemory", int(redis.info("memory")["used_memory"]) + 20 * JUNK_BYTES)
        lost = 0
        begun = time.monotonic()
        number = 0
        # For a second, and until it was seen that it is not only others' keys that go.
        while (lasted := time.monotonic() - begun) < 1 or (lost == 0 and lasted < 10):
            for _ in range(20):
                redis.command("SET", f"junk:{number % 100}", b"." * JUNK_BYTES)
                number += 1
            now = sizes(redis)
            lost += max(ours - now, 0)
            ours = now
            time.sleep(0.005)
        redis.command("CONFIG", "SET", "maxmemory", 0)
        redis.command("UNLINK", *(f"junk:{number}" for number in range(100)))
        evicted = int(redis.info("stats")["evicted_keys"]) - before
    return {"struck": evicted > 0 and lost > 0, "evicted_keys": evicted, "entries_seen_to_go": lost}


def sizes(redis: object) -> int:
    """How many keys there are that are no junk."""
    return sum(not key.startswith(b"junk:") for key in redis.command("KEYS", "*"))


def calls(redis: object, command: str) -> int:
    """How often a command has been called."""
    line = redis.info("commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(line.partition("=")[2].partition(",")[0])

"""What goes wrong. A fault strikes until there have been enough reads, and says how it knows that it did.

Each is a function of the stage that strikes once, heals, and returns what it saw of that: numbers, which are added
up. `struck` among them is 1 where it surely struck.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import clients
import data
import networks
import servers
from stage import Stage

Strike = Callable[[Stage], dict[str, int]]

# All is well for so long before the first strike, and after each.
CALM_SECONDS = 0.7


def none(stage: Stage, reads: int) -> dict:
    """Nothing goes wrong."""
    stage.wait(reads)
    return {"struck": True}


def striking(strike: Strike, calm: float = CALM_SECONDS) -> Callable[[Stage, int], dict]:
    """Strikes until there have been enough reads, at least once; each strike has to strike."""

    def fault(stage: Stage, reads: int) -> dict:
        seen: Counter[str] = Counter()
        strikes = 0
        time.sleep(calm)
        while strikes == 0 or stage.reads() < reads:
            stage.look()
            seen.update(strike(stage))
            strikes += 1
            time.sleep(calm)
        struck = seen.pop("struck", 0)
        return {"struck": struck == strikes, "strikes": strikes, **seen}

    return fault


KILL = striking(servers.kill)
FREEZE_1S = striking(servers.freeze(1))
FREEZE_5S = striking(servers.freeze(5))
DEMOTE = striking(servers.demote)
HOLE_BOTH = striking(networks.hole("both"))
HOLE_UP = striking(networks.hole("up"))
HOLE_DOWN = striking(networks.hole("down"))
ROUGH = striking(networks.rough, 0)
KILL_PUBSUB = striking(servers.kill_pubsub, 0.2)
OVERFLOW = striking(servers.overflow)
FLUSHALL = striking(data.flushall, 0.15)
SCRIPT_FLUSH = striking(data.script_flush, 0.15)
EVICTION = striking(data.evict, 0)
FREEZE_CLIENT = striking(clients.freeze)
CLOCK = striking(clients.jump, 0.5)

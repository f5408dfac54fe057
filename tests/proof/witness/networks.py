"""What happens on the way to the server: see `tests/support/proxy.py`."""

from __future__ import annotations

import time
from collections.abc import Callable

from stage import Stage

HOLE_SECONDS = 1.5


def hole(direction: str) -> Callable[[Stage], dict[str, int]]:
    """A black hole: nothing arrives, and nobody is told."""

    def strike(stage: Stage) -> dict[str, int]:
        stage.proxy.say(f"hole {direction}")
        time.sleep(HOLE_SECONDS)
        counted = stage.proxy.say("pass")
        return {"struck": counted["held"] > 0, "held_back": counted["held"], "connects": counted["accepted"]}

    return strike


def rough(stage: Stage) -> dict[str, int]:
    """1 % loss, and 50 to 150 ms in each direction."""
    stage.proxy.say("rough 0.01 100")
    time.sleep(5)
    counted = stage.proxy.say("pass")
    # One in a hundred of many is hardly ever none.
    struck = counted["late"] > 0 and (counted["lost"] > 0 or counted["late"] < 500)
    return {"struck": struck, "late_pieces": counted["late"], "lost_pieces": counted["lost"]}

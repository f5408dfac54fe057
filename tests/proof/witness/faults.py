"""What goes wrong. Each fault strikes until there have been enough reads, and says how it knows that it did."""

from __future__ import annotations

from stage import Stage


def none(stage: Stage, reads: int) -> dict:
    """Nothing goes wrong."""
    stage.wait(reads)
    return {"struck": True}

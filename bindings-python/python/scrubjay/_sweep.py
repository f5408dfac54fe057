"""The thread that drops what has left a cache by itself."""

from __future__ import annotations

import _thread

from ._scrubjay import swept


def start() -> None:
    """Start the thread. It keeps no interpreter from its end: `shutdown` ends it."""
    _thread.start_new_thread(_sweep, ())


def _sweep() -> None:
    while (gone := swept()) is not None:
        del gone  # what a `__del__` does runs here, with no frame of the native half below

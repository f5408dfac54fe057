"""Keeps the processors from falling asleep, as on a busy server, until its input ends: one idle-priority spinner each.

On an idle virtual machine a processor takes tens of microseconds to wake up, which is all that a single call would show.
"""

import multiprocessing
import os
import sys


def spin() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


def main() -> None:
    spinners = [multiprocessing.Process(target=spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for spinner in spinners:
        spinner.start()
    print("awake", flush=True)
    sys.stdin.read()
    for spinner in spinners:
        spinner.terminate()


if __name__ == "__main__":
    main()

"""Signs of life: a task that takes steps is not stuck, however long it takes, and the parent sees who works on what.

Each worker process has a row of three numbers in memory that it shares with its parent: its process, its task, and a
count that :func:`beat` raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

PROCESS, TASK, BEATS, WIDTH = 0, 1, 2, 3
_row: tuple[Any, int] | None = None  #: this process's own, if it is a worker


def beat() -> None:
    """To be called with every step of what may take long."""
    if _row is not None:
        numbers, first = _row
        numbers[first + BEATS] += 1


class Life:
    """The rows of all workers of a pool, as the parent sees them.

    Args:
        context: as of ``multiprocessing.get_context``; its processes get :attr:`shared`, for :func:`join`.
    """

    def __init__(self, context: Any, workers: int) -> None:
        self._numbers = context.Array("q", WIDTH * workers, lock=False)
        self.shared = (self._numbers, context.Value("i", 0))
        self._before = self._beats()

    def moved(self) -> bool:
        """Whether anybody took a step since this was asked before."""
        before, self._before = self._before, self._beats()
        return before != self._before

    def tasks(self, processes: Sequence[int] | None = None) -> list[int]:
        """What the workers are at: all of them, or these."""
        rows = [self._numbers[first : first + WIDTH] for first in range(0, len(self._numbers), WIDTH)]
        return [row[TASK] - 1 for row in rows if row[TASK] and (processes is None or row[PROCESS] in processes)]

    def _beats(self) -> list[int]:
        return list(self._numbers[BEATS::WIDTH])


def join(shared: tuple[Any, Any]) -> None:
    """Take a row, in a process that has just started."""
    global _row
    numbers, taken = shared
    with taken.get_lock():
        row, taken.value = taken.value, taken.value + 1
    if WIDTH * row < len(numbers):
        _row = numbers, WIDTH * row
        numbers[WIDTH * row + PROCESS] = os.getpid()


def count_here() -> Callable[[], int]:
    """Count the steps of this process, which shares no memory with who asks: a function that tells how many."""
    global _row
    numbers = [0] * WIDTH
    _row = numbers, 0
    return lambda: numbers[BEATS]


def at(task: int | None) -> None:
    """Note which task this worker begins; None after its end."""
    if _row is not None:
        numbers, first = _row
        numbers[first + TASK] = 0 if task is None else task + 1
        numbers[first + BEATS] += 1

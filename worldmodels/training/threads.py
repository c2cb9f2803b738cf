"""One thread, where results must not depend on how many there are."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums are grouped by threads: with one thread, results are the same in a worker and in the main process."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if multiprocessing.parent_process() is None:  # a worker stays at one thread: switching costs 0.2 ms
            torch.set_num_threads(before)

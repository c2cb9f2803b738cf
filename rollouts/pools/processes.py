"""A pool of worker processes that cannot hang.

The standard library's ``ProcessPoolExecutor`` does the work; this module adds what long experiments need: when a
worker dies (killed, out of memory) or stalls, the pool is rebuilt and the unfinished tasks are done again; a task
that keeps killing its worker ends the run with a clear error; workers never outlive their parent. Tasks are pure
functions of their arguments, so work done twice gives the same answer.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import Any

from rollouts.errors import UserError
from rollouts.pools import life
from rollouts.pools.life import Life

_setup_result: tuple[Any, ...] = ()  #: to every task of this worker process: what the setup returned, if there is one
_setup_error: Exception | None = None


GUARD = (
    'A script that uses worker processes needs the guard `if __name__ == "__main__":` around what it does: every '
    "worker imports the script, and without the guard does it all again. Add it, or use workers=0."
)


class _StalledError(Exception):
    """No task has finished for too long."""


def _start_worker(pickled_setup: bytes, shared: tuple[Any, Any]) -> None:
    global _setup_result, _setup_error
    life.join(shared)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle

    def leave_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        wait_for([parent.sentinel])
        os._exit(1)  # the parent was killed: nobody is left to return a result to

    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        setup, arguments = pickle.loads(pickled_setup)
        _setup_result = () if setup is None else (setup(*arguments),)
    except Exception as error:  # told to the parent by the first task, as if it had happened there
        _setup_error = error


def _run_task(function: Callable[..., Any], task: tuple[Any, ...], index: int) -> Any:
    if _setup_error is not None:
        raise _setup_error
    life.at(index)
    try:
        return function(*_setup_result, *task)
    finally:
        life.at(None)


class WorkerPool:
    """``workers`` processes that run ``function(task)`` for many tasks; 0 runs everything in this process.

    Args:
        workers: number of processes.
        setup: called once in every worker with ``arguments``; what it returns is every task's first argument.
        stall_s: when no task has finished, and none has taken a step (:func:`rollouts.pools.life.beat`), for so many
            seconds, the workers are taken for stuck and replaced.
        retries: how often a task may be lost with its worker before the pool gives up.
    """

    def __init__(
        self,
        workers: int,
        setup: Callable[..., Any] | None = None,
        arguments: tuple[Any, ...] = (),
        stall_s: float = 600.0,
        retries: int = 3,
    ) -> None:
        if workers < 0:
            raise UserError(f"The number of workers cannot be negative (got {workers}); 0 uses this process alone.")
        refuse_unguarded()
        self.workers, self.stall_s, self.retries = workers, stall_s, retries
        self._setup, self._arguments = setup, arguments
        self._pool: ProcessPoolExecutor | None = None
        self._processes: list[Any] = []
        self._life: Life | None = None
        self._answered = False
        self._result_here: tuple[Any, ...] | None = None

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, busy ones too."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            self._pool = None

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield ``(index of the task, function(*task))`` as the results come in.

        Raises:
            UserError: a task lost its worker more than ``retries`` times.
            Exception: whatever ``function`` or ``setup`` raised in the worker, with the worker's traceback.
        """
        if self.workers == 0:
            if self._result_here is None:
                self._result_here = () if self._setup is None else (self._setup(*self._arguments),)
            resources = self._result_here
            yield from ((index, function(*resources, *task)) for index, task in enumerate(tasks))
            return
        losses = dict.fromkeys(range(len(tasks)), 0)  # of every unfinished task
        while losses:
            running = dict[Future[Any], int]()
            try:
                for index, result in self._attempt(function, tasks, sorted(losses), running):
                    del losses[index]
                    self._answered = True
                    yield index, result
            except (BrokenProcessPool, _StalledError) as loss:
                if isinstance(loss, BrokenProcessPool) and self._never_started():
                    self.close()
                    raise UserError(f"The worker processes ended while they started. {GUARD}") from loss
                guilty = self._guilty(isinstance(loss, BrokenProcessPool)) or list(running.values()) or [min(losses)]
                self.close()
                for index in set(guilty) & losses.keys():
                    losses[index] += 1
                if max(losses.values()) > self.retries:
                    raise UserError(
                        f"A task lost its worker process {self.retries + 1} times ({loss}). The usual cause is too "
                        "little memory: try fewer --workers, or --workers 0 to see the error itself."
                    ) from loss

    def _never_started(self) -> bool:
        """Whether a worker ended with an exception of Python's, exit status 1, before any task was done."""
        if self._answered:
            return False
        for process in self._processes:
            process.join(1.0)
        return any(process.exitcode == 1 for process in self._processes)

    def _guilty(self, died: bool) -> list[int]:
        """The tasks of the workers that died, or that are stuck: those that only waited, or ran beside, did nothing.

        Nobody is known to have died where the system does not tell the dead from those that the pool then ended.
        """
        assert self._life is not None
        if not died:
            return self._life.tasks()
        for process in self._processes:
            process.join(1.0)
        dead = [p.pid for p in self._processes if p.exitcode not in (None, 0, -signal.SIGTERM)]
        return self._life.tasks(dead) or self._life.tasks()

    def _attempt(
        self,
        function: Callable[..., Any],
        tasks: Sequence[tuple[Any, ...]],
        indices: list[int],
        running: dict[Future[Any], int],
    ) -> Iterator[tuple[int, Any]]:
        if self._pool is None:
            # "spawn": forked copies of a process that has used torch or OpenCV threads can deadlock.
            # Pickled here: left to multiprocessing, torch would move this process's tensors to shared memory.
            setup, context = pickle.dumps((self._setup, self._arguments)), multiprocessing.get_context("spawn")
            self._life = Life(context, self.workers)
            self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, (setup, self._life.shared))
        queue = iter(indices)

        def feed() -> None:
            # One task in reserve per worker keeps them busy; more would only be lost with a broken pool.
            assert self._pool is not None
            while len(running) < 2 * self.workers and (index := next(queue, None)) is not None:
                running[self._pool.submit(_run_task, function, tasks[index], index)] = index
            self._processes = list((self._pool._processes or {}).values()) or self._processes

        feed()
        while running:
            done, _ = wait(running, timeout=self.stall_s, return_when=FIRST_COMPLETED)
            if not done and not (self._life is not None and self._life.moved()):
                raise _StalledError(f"No result for {self.stall_s:.0f} s.")
            for future in done:
                result = future.result()  # a lost task stays in ``running``
                yield running.pop(future), result
            feed()


def refuse_unguarded() -> None:
    """Refuse to work in a process that is still importing the main script of the one that started it.

    Raises:
        UserError: it names the guard that the script lacks.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(GUARD)


def default_workers() -> int:
    """One worker per CPU that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

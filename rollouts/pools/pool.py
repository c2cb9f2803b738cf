"""Where tasks run: in this process, in worker processes, or on a Ray cluster, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol

from rollouts.console import extra
from rollouts.errors import UserError
from rollouts.pools.processes import WorkerPool

Workers = int | str
"""A number of worker processes (0: none but this one), or ``ray[:ADDRESS]`` for the cores of a Ray cluster."""


class Pool(Protocol):
    """Runs tasks, which are pure functions of their arguments: results do not depend on who does which.

    A pool may be given a ``setup``, called once in every worker with its ``arguments``; what it returns (a model, an
    environment) is the first argument of every task. It reaches workers as a value, never as a path: they may be on
    another machine.
    """

    @property
    def workers(self) -> int:
        """How many tasks run at a time; 0 if only this process works."""

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield ``(index of the task, function(*task))`` as the results come in.

        Raises:
            UserError: a task lost its worker too often.
            Exception: whatever ``function`` or ``setup`` raised in the worker, with the worker's traceback.
        """

    def close(self) -> None:
        """End the workers, busy ones too."""

    def __enter__(self) -> Pool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_pool(workers: Workers, setup: Callable[..., Any] | None = None, arguments: tuple[Any, ...] = ()) -> Pool:
    """A pool of the kind that ``--workers`` asks for.

    Raises:
        UserError: the number is negative, or the Ray cluster does not answer.
    """
    check_workers(workers)
    if isinstance(workers, int):
        return WorkerPool(workers, setup, arguments)
    from rollouts.pools.ray_cluster import RayPool

    return RayPool(workers.removeprefix("ray").removeprefix(":"), setup, arguments)


def check_workers(workers: Workers) -> None:
    """Refuse what :func:`open_pool` could not open, without connecting to anything.

    Raises:
        UserError: it is neither a number of processes nor the address of a Ray cluster, or Ray is not installed.
    """
    if isinstance(workers, int):
        if workers < 0:
            raise UserError(f"The number of workers cannot be negative (got {workers}); 0 uses this process alone.")
        return
    scheme, _, address = workers.partition(":")
    _, colon, port = address.rpartition(":")
    if scheme != "ray" or (address not in ("", "auto") and not (colon and port.isdigit())):
        raise UserError(f"--workers takes a number, ray, ray:auto or ray:HOST:PORT, not {workers!r}.")
    if find_spec("ray") is None:
        raise UserError(f"--workers {workers} needs Ray on this machine and on every node: {extra('ray')}")

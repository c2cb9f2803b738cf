"""Workers on a Ray cluster: one long-lived actor per core, wherever in the cluster that core is.

What all workers need is put into Ray's object store once, and each node fetches it once. Actors that are lost, alone
or with their node, are replaced as soon as the cluster has cores for them, and their unfinished tasks are done again.
Actors belong to this process: Ray ends them when it is gone.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import ray

from rollouts.console import say
from rollouts.errors import UserError
from rollouts.pools import life
from rollouts.runs.provenance import package_versions

LOOK_S = 2.0  #: between looks at what the cluster consists of
STARTS = 3  #: actors that may fail to start in a row, while no other works, before the cluster is called unusable
ANSWER_S = 5.0  #: a cluster that takes longer to accept a connection is not there; Ray itself would try for minutes


class _Worker:
    """An actor. It keeps what the setups of this process's pools made, by the number of the pool.

    While it works it can be asked how many steps it has taken, in a thread of its own.
    """

    def __init__(self) -> None:
        self._results = dict[int, tuple[Any, ...]]()
        self._beats = life.count_here()

    def versions(self) -> dict[str, str]:
        return package_versions()

    def work(self, pool: int, setup: list[Any], function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
        life.beat()
        if pool not in self._results:
            make, arguments = ray.get(setup[0])
            self._results[pool] = () if make is None else (make(*arguments),)
        return function(*self._results[pool], *task)

    def forget(self, pool: int) -> None:
        self._results.pop(pool, None)

    @ray.method(concurrency_group="life")
    def beats(self) -> int:
        return self._beats()


_Actor: Any = ray.remote(num_cpus=1, max_restarts=0, concurrency_groups={"life": 1})(_Worker)


class _Fleet:
    """This process's connection and its actors, which all its pools share: a core holds one actor at a time."""

    _current: _Fleet | None = None

    def __init__(self, address: str) -> None:
        self.connected_here = not ray.is_initialized()
        if self.connected_here:
            _connect(address)
        self.idle, self.starting, self.size = list[Any](), dict[Any, Any](), 0
        self.pools = set[int]()
        self._versions = package_versions()
        self._failed_starts, self._next_look = 0, 0.0

    @classmethod
    def join(cls, address: str, pool: int) -> _Fleet:
        """The fleet of this process, made by its first pool."""
        if cls._current is None:
            cls._current = cls(address)
        cls._current.pools.add(pool)
        return cls._current

    def leave(self, pool: int) -> None:
        """Forget a pool; the last one ends all actors."""
        self.pools.discard(pool)
        if self.pools:
            for actor in self.idle:
                actor.forget.remote(pool)
            return
        for actor in [*self.idle, *self.starting.values()]:
            ray.kill(actor)
        if self.connected_here:
            ray.shutdown()
        _Fleet._current = None

    @staticmethod
    def cores() -> int:
        return int(ray.cluster_resources().get("CPU", 0))

    def grow(self) -> None:
        """Ask for an actor on every core that has none; it starts when the core is free."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_S
        for _ in range(self.cores() - self.size):
            actor = _Actor.remote()
            self.starting[actor.versions.remote()] = actor
            self.size += 1

    def wait(self, running: Sequence[Any]) -> list[Any]:
        """Those of ``running`` that are done, or lost; actors that have started meanwhile join the idle ones.

        Raises:
            UserError: actors cannot start, or have other versions of the packages that decide results.
        """
        waited_for = [*running, *self.starting]
        if not waited_for:
            time.sleep(LOOK_S)
            return []
        ray.wait(waited_for, timeout=LOOK_S)  # for one; then all: tasks that end quickly must not hide new actors
        done, _ = ray.wait(waited_for, num_returns=len(waited_for), timeout=0)
        for started in [ref for ref in done if ref in self.starting]:
            actor = self.starting.pop(started)
            try:
                check_versions(ray.get(started), self._versions)
            except UserError:
                self.discard(actor)
                raise
            except ray.exceptions.RayError as error:
                self.discard(actor)
                self._failed_starts, self._next_look = self._failed_starts + 1, time.monotonic() + LOOK_S
                if self._failed_starts >= STARTS and not self.idle and not running:
                    raise UserError(
                        f"Workers cannot start on the Ray cluster ({_first_line(error)}). Is this package, with the "
                        "extra [ray], installed on every node?"
                    ) from error
            else:
                self._failed_starts = 0
                self.idle.append(actor)
        return [ref for ref in done if ref in set(running)]

    def discard(self, actor: Any) -> None:
        """End an actor that is lost, stuck or no longer wanted; another one will take its core."""
        ray.kill(actor)
        self.size -= 1
        self._next_look = 0.0


class RayPool:
    """A :class:`rollouts.pools.pool.Pool` on a Ray cluster.

    Args:
        address: ``HOST:PORT``, ``auto`` for the cluster that this machine belongs to, or empty: that one, or else a
            new one on this machine alone.
        setup: called once in every worker with ``arguments``; what it returns is every task's first argument.
        stall_s: when no task has finished for so many seconds, the workers that have taken no step meanwhile
            (:func:`rollouts.pools.life.beat`) are taken for stuck and replaced; the others work on.
        retries: how often a task may be lost with its worker before the pool gives up.

    Raises:
        UserError: no cluster answers at the address.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        address: str,
        setup: Callable[..., Any] | None = None,
        arguments: tuple[Any, ...] = (),
        stall_s: float = 600.0,
        retries: int = 3,
    ) -> None:
        self.stall_s, self.retries, self._number = stall_s, retries, next(self._numbers)
        self._fleet = _Fleet.join(address, self._number)
        self._setup = [ray.put((setup, arguments))]  # in a list, because Ray would fetch a bare one for every task
        self._open = True

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def workers(self) -> int:
        """Cores of the cluster, at this moment."""
        return self._fleet.cores()

    def close(self) -> None:
        """Let the workers go; they end with the last pool of this process."""
        if self._open:
            self._open = False
            self._setup.clear()
            self._fleet.leave(self._number)

    def run(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """Yield ``(index of the task, function(*task))`` as the results come in.

        Raises:
            UserError: a task lost its worker more than ``retries`` times, or there are no workers for ``stall_s``.
            Exception: whatever ``function`` or ``setup`` raised in the worker, with the worker's traceback.
        """
        fleet, losses = self._fleet, dict.fromkeys(range(len(tasks)), 0)  # of every unfinished task
        waiting, running = deque(losses), dict[Any, tuple[Any, int]]()
        beats = dict[Any, int]()  # of every worker, as it was when it was last asked
        last = time.monotonic()
        try:
            while losses:
                fleet.grow()
                while waiting and fleet.idle:
                    actor, index = fleet.idle.pop(), waiting.popleft()
                    reference = actor.work.remote(self._number, self._setup, function, tasks[index])
                    running[reference] = actor, index
                for reference in fleet.wait(list(running)):
                    actor, index = running.pop(reference)
                    try:
                        result = ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        fleet.idle.append(actor)
                        raise error.cause from error
                    except ray.exceptions.RayError as loss:
                        fleet.discard(actor)
                        waiting.appendleft(index)
                        self._count_loss(losses, index, loss)
                    else:
                        fleet.idle.append(actor)
                        del losses[index]
                        yield index, result
                    last = time.monotonic()
                if time.monotonic() - last > self.stall_s:
                    if not running:
                        raise UserError(f"The Ray cluster had no free core for {self.stall_s:.0f} s. Who else uses it?")
                    for actor in _stuck([actor for actor, _ in running.values()], beats):
                        fleet.discard(actor)  # its task is lost with it, and done again
                    last = time.monotonic()
        finally:
            for actor, _ in running.values():
                fleet.discard(actor)

    def _count_loss(self, losses: dict[int, int], index: int, loss: Exception) -> None:
        losses[index] += 1
        if losses[index] > self.retries:
            raise UserError(
                f"A task lost its worker on the Ray cluster {losses[index]} times ({_first_line(loss)}). The usual "
                "cause is too little memory on a node: start it with fewer --num-cpus, or try --workers 0."
            ) from loss
        say(f"A worker on the Ray cluster was lost ({_first_line(loss)}); its task is done again.")


def _stuck(actors: Sequence[Any], before: dict[Any, int]) -> list[Any]:
    """Those that have taken no step since they were last asked, or do not answer; ``before`` is brought up to date."""
    questions = {actor.beats.remote(): actor for actor in actors}
    answered, _ = ray.wait(list(questions), num_returns=len(questions), timeout=ANSWER_S)
    moved = list[Any]()
    for reference in answered:
        try:
            beats, actor = ray.get(reference), questions[reference]
        except ray.exceptions.RayError:  # it is lost, which its task tells
            continue
        if beats != before.get(actor, 0):
            moved.append(actor)
        before[actor] = beats
    return [actor for actor in actors if actor not in moved]


def _connect(address: str) -> None:
    """Connect this process to a cluster.

    Raises:
        UserError: nobody answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here reports to nobody
    host, _, port = address.rpartition(":")
    try:
        if host:
            socket.create_connection((host, int(port)), ANSWER_S).close()
        ray.init(address=address or None, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"No Ray cluster answers at {address or 'this machine'} ({_first_line(error)}). Start one with 'ray start "
            "--head', and run this command on one of its nodes."
        ) from error


def check_versions(there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Refuse a node whose packages may give other results.

    Raises:
        UserError: a version differs.
    """
    names = sorted(set(there) | set(here))
    unlike = [name for name in names if there.get(name) != here.get(name)]
    if unlike:
        differences = ", ".join(
            f"{name} {there.get(name, 'none')} there, {here.get(name, 'none')} here" for name in unlike
        )
        raise UserError(f"A node of the Ray cluster may compute other results ({differences}): install equal versions.")


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".")

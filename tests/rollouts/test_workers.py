"""A pool that cannot hang: workers that die, stall or raise, and results that do not depend on their number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError
from rollouts.pools.life import beat
from rollouts.pools.processes import WorkerPool, default_workers
from rollouts.runs.files import sweep


def square(number: int) -> int:
    return number * number


def die_once(number: int, marker: Path) -> int:
    if number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def stall_once(number: int, marker: Path) -> int:
    if number == 1 and not marker.exists():
        marker.touch()
        time.sleep(600)
    return square(number)


def die_always(number: int) -> int:
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def fail(error: Exception) -> None:
    raise error


def add(one: int, other: int) -> int:
    return one + other


def step_slowly(number: int) -> int:
    for _ in range(9):
        time.sleep(0.2)
        beat()
    return square(number)


def die_beside_others(number: int, marker: Path, times: int) -> int:
    if number == 0 and len(list(marker.glob("*"))) < times:
        time.sleep(0.3)  # until the others are at work
        (marker / str(time.monotonic_ns())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)
    return square(number)


def results(pool: WorkerPool, function: object, tasks: list[tuple]) -> list[object]:
    with pool:
        return [result for _, result in sorted(pool.run(function, tasks))]


@pytest.mark.parametrize("function", [die_once, pytest.param(stall_once, marks=pytest.mark.slow)])
def test_tasks_of_a_worker_that_died_or_stalled_are_done_again(function, tmp_path: Path):
    pool = WorkerPool(2, stall_s=4.0)  # longer than a worker's start, on a loaded machine too
    assert results(pool, function, [(n, tmp_path / "marker") for n in range(6)]) == [0, 1, 4, 9, 16, 25]


def test_a_task_that_takes_steps_is_not_stuck_however_long_it_takes():
    with WorkerPool(1, retries=0) as pool:
        assert list(pool.run(square, [(2,)])) == [(0, 4)]  # its start, of some seconds, is no step
        pool.stall_s = 1.5
        assert list(pool.run(step_slowly, [(3,)])) == [(0, 9)]


def test_only_the_task_of_the_worker_that_died_is_blamed(tmp_path: Path):
    """The first task loses its worker as often as is allowed; each time, others are lost with it and not blamed."""
    pool, blamed, original = WorkerPool(3, retries=2), [], WorkerPool._guilty
    pool._guilty = lambda died: blamed.append(original(pool, died)) or blamed[-1]  # type: ignore[method-assign]
    assert results(pool, die_beside_others, [(n, tmp_path, 2) for n in range(6)]) == [0, 1, 4, 9, 16, 25]
    assert blamed == [[0], [0]]


def test_a_task_that_always_kills_its_worker_ends_in_a_sentence_although_others_succeed():
    with WorkerPool(1, retries=1) as pool, pytest.raises(UserError, match="lost its worker process 2 times"):
        list(pool.run(die_always, [(n,) for n in range(8)]))


@pytest.mark.parametrize("error", [ValueError("broken"), TimeoutError("slow server"), UserError("mend it")])
def test_an_error_in_a_task_reaches_the_parent_with_the_workers_traceback(error: Exception):
    with WorkerPool(1) as pool, pytest.raises(type(error), match=str(error)) as caught:
        list(pool.run(fail, [(error,)]))
    assert "in fail" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_setup_is_the_error_that_is_told(workers: int):
    with WorkerPool(workers, fail, (UserError("no such world"),)) as pool, pytest.raises(UserError, match="no such wo"):
        list(pool.run(square, [(1,)]))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_setup_returns_is_given_to_every_task(workers: int):
    assert results(WorkerPool(workers, square, (3,)), add, [(1,), (2,)]) == [10, 11]


def test_without_workers_everything_runs_here():
    assert results(WorkerPool(0), os.getpid, [()]) == [os.getpid()]


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(UserError, match="cannot be negative"):
        WorkerPool(-1)


def test_there_is_at_least_one_worker_by_default():
    assert default_workers() >= 1


def test_a_pool_that_is_closed_leaves_no_worker_behind():
    with WorkerPool(2) as pool:
        processes = [process for _, process in pool.run(os.getpid, [(), ()])]
        next(pool.run(time.sleep, [(0,), (600,), (600,), (600,)]))
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_collected_episodes_are_the_same_bytes_for_any_number_of_workers(workers: int, tmp_path: Path):
    runs = {number: tmp_path / str(number) for number in (0, workers)}
    for number, run in runs.items():
        collect(CollectConfig(episodes=5, max_steps=20), EnvConfig("toy"), run, number)
    alone, together = ({file.name: file.read_bytes() for file in run.rglob("*.npz")} for run in runs.values())
    assert len(alone) == 5
    assert alone == together


def test_the_sweep_leaves_what_belongs_to_this_process(tmp_path: Path):
    own = tmp_path / f".file.{os.getpid()}.tmp"
    own.touch()
    sweep(tmp_path)
    assert own.exists()


def test_fitness_is_the_same_for_any_number_of_workers(tiny_run: Path):
    import numpy as np  # here, so that the workers of the tests above do not import torch

    from agents.controller import ControllerSpec
    from agents.fitness import PoolEvaluator, RealTask
    from worldmodels import WorldModel

    candidates = np.random.default_rng(0).normal(size=(3, 21))
    task = RealTask(WorldModel.load(tiny_run, fast=True), EnvConfig("toy"), ControllerSpec())
    outcomes = []
    for workers in (0, 2):
        with PoolEvaluator(task, workers, 4) as evaluator:
            outcomes.append(evaluator(candidates, [7, 8, 9], 30))
    assert np.array_equal(outcomes[0].returns, outcomes[1].returns)
    assert np.array_equal(outcomes[0].lengths, outcomes[1].lengths)


UNGUARDED = """
import pathlib
from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError

try:
    collect(CollectConfig(episodes=4, max_steps=5), EnvConfig("toy"), pathlib.Path("run"), workers=2)
except UserError as error:
    print(error)
    raise SystemExit(1)
"""


def test_a_script_without_the_main_guard_is_recognised_and_its_workers_do_not_begin_the_work(tmp_path: Path):
    (tmp_path / "script.py").write_text(UNGUARDED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    said = [line for line in result.stdout.splitlines() if "ended while they started" in line]
    assert len(said) == 1, result.stdout + result.stderr
    assert '`if __name__ == "__main__":`' in said[0]
    assert not list(tmp_path.rglob("*.npz"))

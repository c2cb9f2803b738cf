"""A Ray cluster of two nodes on this machine: the same results as without it, whatever is lost on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.controller import ControllerSpec
from agents.fitness import DreamTask, PoolEvaluator, RealTask
from agents.lanes import Lanes
from rollouts.collect import CollectConfig, collect
from rollouts.envs.config import EnvConfig
from rollouts.errors import UserError
from rollouts.pools import life
from rollouts.pools.pool import open_pool
from worldmodels import WorldModel

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
from rollouts.pools.ray_cluster import RayPool, check_versions  # noqa: E402

ROOT = Path(__file__).parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 128 * 2**20}


pytestmark = pytest.mark.slow  # a cluster has to start


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 would let any other process of this machine starve them
        from ray.cluster_utils import Cluster

        nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        nodes.add_node(**NODE)
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="module")
def address(cluster: Any) -> Iterator[str]:
    """For ``--workers``; actors live as long as this, so that not every test waits for theirs."""
    address = f"ray:{cluster.address}"
    with open_pool(address):
        yield address


def square(number: int) -> int:
    return number * number


def add(one: int, other: int) -> int:
    return one + other


def fail(error: Exception) -> None:
    raise error


def die(number: int, marker: Path | None) -> int:
    """Takes its worker along: always without a marker, else only the first time."""
    if number == 1 and (marker is None or not marker.exists()):
        if marker is not None:
            marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def slow_or_stuck(number: int, folder: Path) -> int:
    """The first takes long and says that it lives; the other is stuck for ever, the first time."""
    begun = folder / f"{number}.begun"
    with begun.open("a") as notes:
        notes.write("x")
    if number == 1 and begun.stat().st_size == 1:
        time.sleep(600)
    while number == 0 and (folder / "1.begun").stat().st_size < 2:
        life.beat()
        time.sleep(0.05)
    return square(number)


def node_here() -> str:
    time.sleep(0.1)
    return ray.get_runtime_context().get_node_id()


@dataclass(frozen=True)
class StuckOn(RealTask):
    """Real lanes that never get going on one node, which a marker tells."""

    node: str = ""
    marker: Path = Path()

    def lanes(self) -> Lanes:
        if node_here() == self.node:
            self.marker.touch()
            time.sleep(600)
        return super().lanes()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_an_address_where_nobody_answers_is_told_at_once():
    start = time.monotonic()
    with pytest.raises(UserError, match=r"No Ray cluster answers at 127\.0\.0\.1:1 "):
        open_pool("ray:127.0.0.1:1")
    assert time.monotonic() - start < 30


def test_a_node_with_another_version_is_refused():
    check_versions({"torch": "2.13.0"}, {"torch": "2.13.0"})
    with pytest.raises(UserError, match=r"torch 2\.12\.0 there, 2\.13\.0 here, vizdoom 1\.2 there, none"):
        check_versions({"torch": "2.12.0", "vizdoom": "1.2"}, {"torch": "2.13.0"})


def test_a_killed_process_leaves_no_workers_behind(cluster: Any):
    program = (
        "import os, sys, time; from rollouts.pools.pool import open_pool\n"
        "pool = open_pool(sys.argv[1])\n"
        "print(next(pool.run(os.getpid, [()]))[1], flush=True)\n"
        "list(pool.run(time.sleep, [(600,)] * 4))"
    )
    command = [sys.executable, "-c", program, f"ray:{cluster.address}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        worker = Path(f"/proc/{int(process.stdout.readline())}")
        assert worker.exists()
        process.kill()
    assert wait_until(lambda: not worker.exists(), 200)


def test_the_setup_and_errors_travel(address: str):
    with open_pool(address, square, (3,)) as pool:
        assert pool.workers == 2
        assert sorted(pool.run(add, [(1,), (2,), (3,)])) == [(0, 10), (1, 11), (2, 12)]
    with open_pool(address) as pool, pytest.raises(UserError, match=r"^mend it$") as caught:
        list(pool.run(fail, [(UserError("mend it"),)]))
    assert "in fail" in "".join(traceback.format_exception(caught.value))
    with open_pool(address, fail, (UserError("no such world"),)) as pool, pytest.raises(UserError, match="no such wo"):
        list(pool.run(square, [(1,)]))


def test_collected_episodes_are_the_same_bytes(address: str, tmp_path: Path):
    runs = {workers: tmp_path / str(number) for number, workers in enumerate((0, address))}
    for workers, run in runs.items():
        collect(CollectConfig(episodes=5, max_steps=20), EnvConfig("toy"), run, workers)
    alone, together = ({file.name: file.read_bytes() for file in run.rglob("*.npz")} for run in runs.values())
    assert len(alone) == 5
    assert alone == together


@pytest.mark.parametrize("world", ["real", "dream"])
def test_fitness_is_the_same_and_the_run_is_not_needed_on_the_nodes(
    world: str, address: str, tiny_run: Path, tmp_path: Path
):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    model, spec = WorldModel.load(run, fast=world == "real"), ControllerSpec()
    real, dream = RealTask(model, EnvConfig("toy"), spec), DreamTask(model, spec, 1.15, 30, "any")
    candidates, outcomes = np.random.default_rng(0).normal(size=(3, 21)), []
    for workers in (0, address):
        with PoolEvaluator(real if world == "real" else dream, workers, 4) as evaluator:
            shutil.rmtree(run, ignore_errors=True)
            outcomes.append(evaluator(candidates, [7, 8, 9], 30))
    assert np.array_equal(outcomes[0].returns, outcomes[1].returns)
    assert np.array_equal(outcomes[0].lengths, outcomes[1].lengths)


def test_tasks_of_a_lost_worker_are_done_again_but_not_for_ever(cluster: Any, address: str, tmp_path: Path):
    with open_pool(address) as pool:
        again = pool.run(die, [(n, tmp_path / "marker") for n in range(4)])
        assert sorted(again) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    with (
        RayPool(cluster.address, retries=1) as pool,
        pytest.raises(UserError, match="lost its worker on the Ray cluster 2 ti"),
    ):
        list(pool.run(die, [(1, None)]))


def test_a_slow_task_that_takes_steps_is_not_blamed_for_one_that_is_stuck(cluster: Any, tmp_path: Path):
    (tmp_path / "1.begun").touch()
    with RayPool(cluster.address, stall_s=15.0, retries=3) as pool:  # a new worker starts slowly
        assert sorted(pool.run(slow_or_stuck, [(0, tmp_path), (1, tmp_path)])) == [(0, 0), (1, 1)]
    assert (tmp_path / "0.begun").read_text() == "x"


def test_a_node_killed_in_the_middle_of_a_generation_changes_nothing_and_is_replaced(
    cluster: Any, address: str, tiny_run: Path, tmp_path: Path
):
    marker, victim = tmp_path / "marker", next(iter(cluster.worker_nodes))

    def kill_the_node() -> None:
        if wait_until(marker.exists, 200):
            cluster.remove_node(victim, allow_graceful=False)

    parts = WorldModel.load(tiny_run, fast=True), EnvConfig("toy"), ControllerSpec()
    candidates = np.random.default_rng(0).normal(size=(8, 21))
    with PoolEvaluator(RealTask(*parts), 0, 4) as evaluator:
        expected = evaluator(candidates, [7, 8], 30)
    killer = threading.Thread(target=kill_the_node)
    killer.start()
    with PoolEvaluator(StuckOn(*parts, node=victim.node_id, marker=marker), address, 4) as evaluator:
        outcome = evaluator(candidates, [7, 8], 30)
    killer.join()
    assert marker.exists()
    assert np.array_equal(outcome.returns, expected.returns)
    replacement = cluster.add_node(**NODE)
    with open_pool(address) as pool:
        nodes = lambda: {node for _, node in pool.run(node_here, [()] * 4)}  # noqa: E731
        assert wait_until(lambda: replacement.node_id in nodes(), 200)

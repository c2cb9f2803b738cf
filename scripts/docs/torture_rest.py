"""Two processes on one run, and going on after very many generations."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torture_runs import STAGES, copy, forked, reopened

from agents.controller import ControllerSpec
from agents.learning.config import ControllerConfig
from agents.learning.history import Course, RecentMeans
from agents.learning.history import resume as resumed
from agents.learning.learner import Task
from rollouts.runs.files import write_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.lock import lock
from rollouts.runs.stage import Stage
from tests.faults.helpers import MICRO, differences
from worldmodels.world_model import WorldModel

Row = dict[str, Any]
UPDATES = 20  #: generations with updates, after which the strategy's state grows no more
SOON_S = 10.0  #: of the processor (others may keep it busy), within which a long evolution goes on


def two_processes(finished: Path, run: Path) -> Iterator[Callable[[], Row]]:
    """A second process on every stage."""
    for name in ("rollouts", "vae", "mdnrnn", "controller", "images: gan"):
        yield partial(_second, name, finished, run)


def _second(name: str, finished: Path, run: Path) -> Row:
    """One process holds the stage; another is to say so and leave it alone, and works when the first is gone."""
    step = STAGES[name]
    shutil.rmtree(run, ignore_errors=True)
    copy(finished, run)
    shutil.rmtree(run / "round-1", ignore_errors=True)
    reopened(run / step.makes)
    log = run.with_suffix(".log")
    log.unlink(missing_ok=True)
    ready, done = os.pipe(), os.pipe()
    holder = os.fork()
    if holder == 0:
        held = lock(run / step.makes)
        os.write(ready[1], b"1")
        os.read(done[0], 1)
        held.release()
        os._exit(0)
    os.read(ready[0], 1)
    before = differences(finished / step.makes, run / step.makes)
    second = forked(step.work(run), log)
    untouched = differences(finished / step.makes, run / step.makes) == before
    os.write(done[1], b"1")
    os.waitpid(holder, 0)
    after = forked(step.work(run), log)
    lines = second.output.splitlines()
    sentence = next((line for line in lines if "Another process works in" in line), second.output[-200:])
    right = second.status == 2 and "Another process works in" in sentence and untouched and after.status == 0
    shutil.rmtree(run)
    log.unlink(missing_ok=True)
    outcome = "one worked, the other said so" if right else "wrong"
    return {"what": name, "outcome": outcome, "told": sentence.replace(str(run), "RUN")}


def resume(finished: Path, run: Path, generations: int) -> Row:
    """An evolution of so many generations, whose returns are drawn at random, is gone on with."""
    shutil.rmtree(run, ignore_errors=True)
    copy(finished, run, ("rollouts", "vae", "mdnrnn"))
    file = run.with_suffix(".seconds")
    ended = forked(lambda: _history(run, generations), run.with_suffix(".log"))
    if ended.status:
        raise RuntimeError(ended.output[-2000:])
    ended = forked(lambda: _timed(run, generations, file), run.with_suffix(".log"))
    seconds, cpu = map(float, file.read_text().split()) if ended.status == 0 else (float("inf"), float("inf"))
    history = (run / "controller" / "history.jsonl").stat().st_size
    shutil.rmtree(run)
    return {
        "what": f"{generations:,} generations of CMA-ES, 64 candidates, {history / 1e6:.1f} MB of history",
        "outcome": "soon" if cpu < SOON_S else "slow",
        "told": f"It went on after {seconds:.1f} s, of which {cpu:.1f} s were the processor's own, imports apart.",
    }


def _begun(run: Path, generations: int) -> tuple[Stage, Task, ControllerConfig]:
    config = replace(MICRO.controller, generations=generations, population=64)
    model = WorldModel.from_folder(run, torch.device("cpu")).act_through(MICRO.env)
    spec = ControllerSpec(hidden=64)  # about as many weights as the paper's
    controller = spec.build(model)
    stage = Run(run).controller.open(config, {"mdnrnn": "0", "vae": "0", "env": "toy"}, growable=("generations",))
    initial = np.zeros(controller.parameter_count)
    return stage, Task(model, spec, controller, initial, False, config.seed, stage.path), config


def _history(run: Path, generations: int) -> int:
    """What an evolution of so many generations leaves behind, without what takes so long: the world, and updates of
    the covariance matrix, which has its size from the first of them on."""
    stage, task, config = _begun(run, generations)
    learner: Any = config.options.begin(task)
    course, rng = Course(learner, RecentMeans(config.average), of=stage.id), np.random.default_rng(0)
    for generation in range(generations):
        fitness = rng.normal(size=config.population)
        record = {"generation": generation, "fitness": fitness.tolist(), "steps": 80, "seconds": 1.0}
        if generation < UPDATES:
            learner.strategy.ask()
            learner.strategy.tell(fitness)
        record["sigma"] = learner.strategy.sigma
        record |= {"averaged": config.average, "validation": float(fitness.mean())} if generation % 10 == 9 else {}
        course.recent.add(learner.weights)
        course.add(record, task.initial)
    write_json_lines(stage.history, course.history, stage.id)
    course.save(stage.state)
    return 0


def _timed(run: Path, generations: int, file: Path) -> int:
    stage, task, config = _begun(run, generations + 1)
    began, cpu_before = time.perf_counter(), time.process_time()
    course = resumed(stage, config.options.begin(task), config.average, task.initial)
    file.write_text(f"{time.perf_counter() - began} {time.process_time() - cpu_before}")
    return int(len(course.history) != generations)

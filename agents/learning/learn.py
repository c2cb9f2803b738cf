"""Learn C, by evolution or by another learner, in the real world or in the dream.

Iteration by iteration the learner improves C. Every so often the weights as they stand are scored in the real world on
validation seeds; the best of these is the agent. ``history.jsonl`` has one line for each iteration, ``state.pt`` what
the learner needs to go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from agents.controller import Controller, ControllerSpec, LinearController, Spec
from agents.fitness import DREAM_LANES_PER_TASK, Evaluator, PoolEvaluator, RealTask, dream_evaluator
from agents.lanes import check_observations
from agents.learning.config import ControllerConfig
from agents.learning.gate import before_evolution
from agents.learning.history import (
    Course,
    better,
    log_iteration,
    resume,
    scored_again,
    shown_beside_the_bar,
    steps_taken,
)
from agents.learning.learner import Learner, Task, World
from agents.learning.lessons import after_lessons, lessons_in
from agents.learning.restarts import best_of_tries, tries_in
from agents.networks import plain, spec_of
from agents.standardiser import Standardiser
from rollouts.console import command, duration, progress_bar, say
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import identity, resolve
from rollouts.errors import UserError
from rollouts.pools.pool import Workers
from rollouts.runs.files import append_json_line, file_hash, write_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from rollouts.seeds import VALIDATION
from worldmodels.dream import feature_size
from worldmodels.training.checkpoint import load_tensors, save_tensors
from worldmodels.training.loop import MetricsLog
from worldmodels.training.precision import Format, settle
from worldmodels.world_model import WorldModel

ESTIMATE_AFTER = 3  #: iterations; the first one also loads models and makes environments
SAVE_EVERY = 10.0  #: seconds between states of the learner: what is repeated after a kill takes no longer


def evolve(
    config: ControllerConfig,
    run: Path,
    env: EnvConfig,
    workers: Workers,
    device: torch.device,
    start_from: Path | None = None,
    into: Path | None = None,
) -> Path:
    """Learn a controller on the world model in ``run`` and write ``run/controller/weights.safetensors``.

    The file holds ``selected`` (the best validated weights: the agent), ``mean`` (the last ones) and, of an evolution,
    ``best`` (the candidate of highest fitness ever).

    Args:
        env: the real environment, for ``world=real`` and for validation.
        start_from: a controller's folder whose ``selected`` weights are where learning begins, and the agent until
            something better is found; it may see fewer features.
        into: the folder that gets the stage instead of ``run``, for one of several controllers of one world model.

    Raises:
        UserError: V or M is missing, or the options make no sense.
    """
    config.check()
    model = WorldModel.from_folder(run, device).act_through(env)
    check_observations(model, env)
    spec = config.controller
    controller = spec.build(model)
    inputs = {stage.name: file_hash(stage.weights) for stage in Run(run).model}
    inputs["env"] = identity(env)
    if start_from is not None:
        inputs["start_from"] = file_hash(Run(start_from.parent).controller.weights)
    stage = Run(into or run).controller.open(
        config, inputs, growable=("generations", "average"), shrinkable=("generations",)
    )
    if stage.complete and stage.weights.exists():
        return stage.path
    if config.restarts:
        start_from = best_of_tries(
            config, into or run, lambda options, folder: evolve(options, run, env, workers, device, start_from, folder)
        )
    if config.taught:
        start_from = after_lessons(
            config, into or run, lambda options, folder: evolve(options, run, env, workers, device, None, folder)
        )
    stage.start_clock()  # tries and lessons have their own
    initial = _initial_mean(controller, spec, model, start_from)
    task = Task(model, spec, controller, initial, start_from is not None, config.seed, stage.path, run)
    learner = config.options.begin(task)
    course = resume(stage, learner, config.average, initial)
    done = len(course.history)
    if config.generations < done:
        raise UserError(
            f"{done} generations are done in {stage.path}: to end there, give --controller.generations {done}; fewer "
            "cannot be had."
        )
    say(
        f"C: {controller.parameter_count} parameters; {config.generations} generations of {config.learner} in the "
        f"{config.world} world" + (f", {done} of them done before." if done else ".")
    )
    with (
        _worlds(config, stage, run, model, env, workers, controller.standardiser) as (world, real),
        progress_bar(config.generations, f"{config.learner} ({config.world})", "gen", done) as bar,
    ):
        validate = partial(_validation, real, [VALIDATION + episode for episode in range(config.validation_episodes)])
        if config.world == "dream" and config.learner == "evolution" and config.gate and not done:
            before_evolution(config, stage, world, real, task)
        log, saved = MetricsLog(stage, done, (done, 0)), time.monotonic()
        for iteration in range(done, config.generations):
            began = {}
            if iteration == 0 and start_from is not None:  # kept as the agent, should nothing better be found
                began = {f"initial_{name}": value for name, value in validate(initial).items()}
            record, facts = _iteration(learner, world, iteration)
            record |= began
            course.recent.add(learner.weights)
            due = (iteration + 1) % config.validation_every == 0 or iteration + 1 == config.generations
            if due:
                record |= {"averaged": config.average, **validate(course.recent.average)}
            course.add(record, initial)
            steps = steps_taken(course.history, config.world, resolve(env).action_repeat)
            log_iteration(log, record, facts, learner.weights, steps)
            append_json_line(
                stage.history, record, sync=True, of=stage.id
            )  # last: an iteration that is not in the history is done, and logged, again
            if due or time.monotonic() - saved >= SAVE_EVERY:
                course.save(stage.state)
                saved = time.monotonic()
            stage.tick()
            bar.update()
            bar.set_postfix(shown_beside_the_bar(course.history), refresh=False)
            if len(course.history) == ESTIMATE_AFTER:
                seconds = float(np.mean([record["seconds"] for record in course.history[1:]]))
                say(f"C: about {duration(seconds * (config.generations - ESTIMATE_AFTER))} to go, validation apart.")
        log.close()
        last = course.history[-1]
        if "validation" not in last or last.get("averaged", 1) != config.average:  # ended early, or this was raised
            last = course.history[-1] = scored_again(
                last, {"averaged": config.average, **validate(course.recent.average)}
            )
            course.selected = better(
                course.selected, (last["validation"], len(course.history) - 1, course.recent.average)
            )
            write_json_lines(stage.history, course.history, stage.id)
    course.save(stage.state)
    return _finish(stage, config, spec, controller.standardiser, env, course)


@contextmanager
def _worlds(
    config: ControllerConfig,
    stage: Stage,
    run: Path,
    model: WorldModel,
    env: EnvConfig,
    workers: Workers,
    standardiser: Standardiser | None,
) -> Iterator[tuple[World, Evaluator]]:
    """Where C learns, and whole episodes of the real world."""
    full_length = resolve(env).max_decisions or config.max_steps
    with ExitStack() as stack:
        seeing = WorldModel.from_folder(run, "cpu", fast=True).act_through(env)
        task = RealTask(seeing, env, config.controller, standardiser)
        real = stack.enter_context(PoolEvaluator(task, workers, config.lanes_per_task))
        evaluator: Evaluator = partial(real, max_steps=config.max_steps, patience=config.patience)
        world = World(evaluator, real.pool.run, config.max_steps, config.patience)
        if config.world == "dream":
            dreaming = config.dream(model.multiplying_in(_precision(config, stage, model)), standardiser)
            dream = stack.enter_context(dream_evaluator(dreaming, workers))
            evaluator = partial(dream, max_steps=config.max_steps)
            world = World(evaluator, dream.pool.run, config.max_steps, members=model.mdnrnn.members)
        yield world, partial(real, max_steps=full_length)


def _precision(config: ControllerConfig, stage: Stage, model: WorldModel) -> Format:
    """What M multiplies in while it dreams."""
    lanes = min(config.population * config.rollouts, DREAM_LANES_PER_TASK)
    formats = {precision: model.multiplying_in(precision) for precision in get_args(Format)}
    z = torch.zeros(lanes, model.latent_size, device=model.device)
    action = torch.zeros(lanes, model.action_spec.size, device=model.device)

    def one_step(precision: Format) -> None:
        formats[precision].step(z, action, model.initial_state(lanes), noise=(z, z))

    steps = config.generations * config.max_steps * -(-config.population * config.rollouts // lanes)
    return settle(stage, config.precision, model.device, steps, one_step, f"a dream of {lanes} lanes")


def _iteration(learner: Learner, world: World, iteration: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Let the learner improve C once: its line in the history, and what it tells beside the fitness."""
    start = time.perf_counter()
    progress = learner.improve(world, iteration)
    if not np.isfinite(progress.fitness).all():
        raise UserError(
            f"Generation {iteration}: a return is not a finite number. The world model or the environment is broken; "
            f"look at the dream ({command('watch')} --watch.world dream), or fit M again."
        )
    record = {
        "generation": iteration,
        "fitness": progress.fitness.tolist(),
        **progress.facts,
        "steps": progress.steps,
        "seconds": round(time.perf_counter() - start, 3),
    }
    return record, dict(progress.facts)


def _validation(real: Evaluator, seeds: Sequence[int], weights: NDArray[np.float64]) -> dict[str, Any]:
    """The score of one candidate in the real world, and its cost."""
    start = time.perf_counter()
    outcome = real(weights[None], seeds)
    returns = outcome.returns
    if not np.isfinite(returns).all():
        raise UserError("A validation return is not a finite number: the environment or the world model is broken.")
    return {
        "validation": float(returns.mean()),
        "validation_sd": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "validation_steps": int(outcome.lengths.sum()),
        "validation_seconds": round(time.perf_counter() - start, 3),
    }


def _finish(
    stage: Stage,
    config: ControllerConfig,
    spec: Spec,
    standardiser: Standardiser | None,
    env: EnvConfig,
    course: Course,
) -> Path:
    assert course.selected is not None  # the last iteration is always validated
    score, generation, weights = course.selected
    kept = {"selected": weights, "mean": course.learner.weights, **course.learner.results}
    save_tensors(
        {name: torch.tensor(np.asarray(value), dtype=torch.float32) for name, value in kept.items()}
        | (standardiser.tensors() if standardiser else {}),
        stage.weights,
    )
    steps = steps_taken(course.history, config.world, resolve(env).action_repeat)
    for before in [*tries_in(config, stage.run), *lessons_in(config, stage.run)]:
        noted = before.controller.manifest
        steps = {name: count + noted[name] for name, count in steps.items()}
    stage.finish(
        env=config_to_dict(env),
        spec=config_to_dict(spec),
        parameters=len(weights),
        selected_generation=generation,
        validation=score,
        **steps,
    )
    which = f"the mean of generation {generation + 1}" if generation >= 0 else "what it began with"
    say(f"C: {which} is kept; it scored {score:.1f} over {config.validation_episodes} validation episodes.")
    return stage.path


def _initial_mean(
    controller: Controller, spec: Spec, model: WorldModel, start_from: Path | None
) -> NDArray[np.float64]:
    """Zeros, or an earlier agent's weights, widened if the new controller sees more."""
    if start_from is None:
        return np.zeros(controller.parameter_count)
    begun = Run(start_from.parent).controller
    kept = load_tensors(begun.weights)
    parameters, standardiser = kept["selected"].cpu(), Standardiser.among(kept)
    before = spec_of(begun.manifest["spec"])
    if isinstance(controller, LinearController):
        before = plain(before)
    if not isinstance(controller, LinearController) or not isinstance(before, ControllerSpec):
        if before != spec or len(parameters) != controller.parameter_count:
            raise UserError(
                f"The controller in {start_from} has {len(parameters)} parameters; it cannot be the start of one "
                f"with {controller.parameter_count} of another kind."
            )
        return parameters.double().numpy()
    assert isinstance(spec, ControllerSpec)
    inputs = feature_size(model, before.features)
    small = LinearController(inputs, model.action_spec, before.hidden, before.bias)
    alike = replace(before, features=spec.features, standardised=spec.standardised, latent=spec.latent) == spec
    grows = not before.hidden and spec.features.startswith(before.features)
    if not alike or not (grows or before.features == spec.features) or len(parameters) != small.parameter_count:
        raise UserError(
            f"The controller in {start_from} ({len(parameters)} parameters on [{', '.join(before.features)}]) cannot "
            f"be the start of one with {controller.parameter_count} on [{', '.join(spec.features)}]: only a linear one "
            "can grow, by what comes after all that it sees, and outputs, hidden units and bias stay. To keep what it "
            f"sees: --controller.spec.features {before.features}."
        )
    if before.features != spec.features:
        parameters = controller.grow(parameters, inputs)
        standardiser = standardiser and standardiser.grow(controller.inputs)
    return controller.translate(parameters, standardiser).double().numpy()

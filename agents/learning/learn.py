"""Evolve C, by CMA-ES or PGPE, in the real world or in the dream.

One generation: ask for candidates, run each of them on the same few episodes (common random numbers), tell their mean
returns. Every so often the mean of the distribution is scored in the real world on validation seeds; the best of these
means is the agent. Fitness is the only thing a strategy depends on, so ``history.jsonl``, one line of fitness per
generation, is the whole training state: to continue, it is told again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from agents.controller import LinearController
from agents.fitness import DREAM_LANES_PER_TASK, Evaluator, PoolEvaluator, RealTask, dream_evaluator
from agents.lanes import check_observations
from agents.learning.base import Strategy, centred_ranks
from agents.learning.config import ControllerConfig
from agents.learning.history import (
    RecentMeans,
    Selected,
    better,
    log_generation,
    replay,
    scored_again,
    shown_beside_the_bar,
    steps_taken,
)
from agents.learning.strategies import make_strategy
from agents.learning.subspace import Subspace, principal_weights
from rollouts.console import command, duration, progress_bar, say
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import identity, resolve
from rollouts.errors import UserError
from rollouts.pools.pool import Workers
from rollouts.runs.files import append_json_line, file_hash, write_json_lines
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from rollouts.seeds import VALIDATION, evolution_seed
from worldmodels.dream import feature_size
from worldmodels.training.checkpoint import load_tensors, save_tensors
from worldmodels.training.loop import MetricsLog
from worldmodels.training.precision import Format, settle
from worldmodels.world_model import WorldModel

Validate = Callable[[NDArray[np.float64]], dict[str, Any]]
ESTIMATE_AFTER = 3  #: generations; the first one also loads models and makes environments


def evolve(
    config: ControllerConfig,
    run: Path,
    env: EnvConfig,
    workers: Workers,
    device: torch.device,
    start_from: Path | None = None,
    into: Path | None = None,
) -> Path:
    """Evolve a controller on the world model in ``run`` and write ``run/controller/weights.safetensors``.

    The file holds ``selected`` (the best validated mean: the agent), ``mean`` (the last one) and ``best`` (the
    candidate of highest fitness ever).

    Args:
        env: the real environment, for ``world=real`` and for validation.
        start_from: a controller's folder whose ``selected`` weights become the initial mean, and the agent until
            something better is found; it may see fewer features.
        into: the folder that gets the stage instead of ``run``, for one of several controllers of one world model.

    Raises:
        UserError: V or M is missing, or the options make no sense.
    """
    config.check()
    model = WorldModel.from_folder(run, device)
    check_observations(model, env)
    controller = config.spec.build(model)
    inputs = {
        "mdnrnn": file_hash(run / "mdnrnn" / "weights.safetensors"),
        "vae": file_hash(run / "vae" / "weights.safetensors"),
    }
    inputs["env"] = identity(env)
    if start_from is not None:
        inputs["start_from"] = file_hash(start_from / "weights.safetensors")
    stage = Stage.open(into or run, "controller", config, inputs, growable=("generations", "average"))
    if stage.complete and (stage.path / "weights.safetensors").exists():
        return stage.path
    initial = _initial_mean(controller, model, start_from)
    strategy = _strategy(config, stage, model, initial)
    recent = RecentMeans(config.average)
    history, selected = replay(stage, strategy, recent)
    say(
        f"C: {controller.parameter_count} parameters; {config.generations} generations of {config.population} "
        f"candidates x {config.rollouts} episodes in the {config.world} world"
        + (f", {len(history)} of them done before." if history else ".")
    )
    with (
        _evaluators(config, stage, run, model, env, workers) as (evaluator, validate),
        progress_bar(config.generations, f"evolve ({config.world})", "gen", len(history)) as bar,
    ):
        log = MetricsLog(stage.path, len(history))
        for generation in range(len(history), config.generations):
            began = {}
            if generation == 0 and start_from is not None:  # kept as the agent, should nothing better be found
                began = {f"initial_{name}": value for name, value in validate(initial).items()}
                selected = (began["initial_validation"], -1, initial)
            record = _generation(config, generation, strategy, evaluator) | began
            recent.add(strategy.mean)
            if (generation + 1) % config.validation_every == 0 or generation + 1 == config.generations:
                record |= {"averaged": config.average, **validate(recent.average)}
                selected = better(selected, (record["validation"], generation, recent.average))
            history.append(record)
            log_generation(log, history, strategy, steps_taken(history, config.world, resolve(env).action_repeat))
            append_json_line(
                stage.path / "history.jsonl", record
            )  # last: a generation that is not in the history is done, and logged, again
            stage.tick()
            bar.update()
            bar.set_postfix(shown_beside_the_bar(history), refresh=False)
            if len(history) == ESTIMATE_AFTER:
                seconds = float(np.mean([record["seconds"] for record in history[1:]]))
                say(f"C: about {duration(seconds * (config.generations - ESTIMATE_AFTER))} to go, validation apart.")
        log.close()
        if history[-1].get("averaged", 1) != config.average:  # it alone was raised: the agent has no score yet
            history[-1] = scored_again(history[-1], {"averaged": config.average, **validate(recent.average)})
            selected = better(selected, (history[-1]["validation"], len(history) - 1, recent.average))
            write_json_lines(stage.path / "history.jsonl", history)
    return _finish(stage, config, controller, env, strategy, history, selected)


@contextmanager
def _evaluators(
    config: ControllerConfig, stage: Stage, run: Path, model: WorldModel, env: EnvConfig, workers: Workers
) -> Iterator[tuple[Evaluator, Validate]]:
    """What measures a generation's fitness, and what scores one candidate in the real world."""
    seeds = [VALIDATION + episode for episode in range(config.validation_episodes)]
    full_length = resolve(env).max_decisions or config.max_steps
    with ExitStack() as stack:
        seeing = WorldModel.from_folder(run, "cpu", fast=True)
        real = stack.enter_context(PoolEvaluator(RealTask(seeing, env, config.spec), workers, config.lanes_per_task))
        evaluator: Evaluator = partial(real, max_steps=config.max_steps, patience=config.patience)
        if config.world == "dream":
            dreaming = model.multiplying_in(_precision(config, stage, model))
            dream = stack.enter_context(dream_evaluator(config.dream(dreaming), workers))
            evaluator = partial(dream, max_steps=config.max_steps)
        yield evaluator, partial(_validation, partial(real, max_steps=full_length), seeds)


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


def _strategy(config: ControllerConfig, stage: Stage, model: WorldModel, initial: NDArray[np.float64]) -> Strategy:
    """Over all weights, or over those that move the action along the principal directions of what is seen."""

    def over(start: NDArray[np.float64]) -> Strategy:
        return make_strategy(config.strategy, start, config.sigma, config.population, config.seed, config.max_speed)

    if config.principal is None:
        return over(initial)
    kept = stage.path / "directions.safetensors"
    if not kept.exists():  # kept, because on another machine a direction may come out with the other sign
        save_tensors({"directions": torch.tensor(principal_weights(model, config.spec, config.principal))}, kept)
    directions = load_tensors(kept)["directions"].numpy()
    return Subspace(over(np.zeros(directions.shape[1])), initial, directions)


def _generation(config: ControllerConfig, generation: int, strategy: Strategy, evaluator: Evaluator) -> dict[str, Any]:
    """Ask, evaluate, tell."""
    start = time.perf_counter()
    candidates = strategy.ask()
    seeds = [evolution_seed(config.seed, generation, rollout) for rollout in range(config.rollouts)]
    outcome = evaluator(candidates, seeds)
    returns = outcome.returns.reshape(config.population, config.rollouts)
    if not np.isfinite(returns).all():
        raise UserError(
            f"Generation {generation}: a return is not a finite number. The world model or the environment is broken; "
            f"look at the dream ({command('watch')} --watch.world dream), or fit M again."
        )
    fitness = returns.mean(1)
    told = np.mean([centred_ranks(episode) for episode in returns.T], axis=0) if config.ranked else fitness
    strategy.tell(told)
    return {
        "generation": generation,
        "fitness": fitness.tolist(),
        **({"told": told.tolist()} if config.ranked else {}),
        "sigma": strategy.sigma,
        "steps": int(outcome.lengths.sum()),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _validation(real: Evaluator, seeds: Sequence[int], weights: NDArray[np.float64]) -> dict[str, Any]:
    """The score of one candidate in the real world, and its cost."""
    start = time.perf_counter()
    outcome = real(weights[None], seeds)
    returns = outcome.returns
    return {
        "validation": float(returns.mean()),
        "validation_sd": float(returns.std(ddof=1)) if len(returns) > 1 else 0.0,
        "validation_steps": int(outcome.lengths.sum()),
        "validation_seconds": round(time.perf_counter() - start, 3),
    }


def _finish(
    stage: Stage,
    config: ControllerConfig,
    controller: LinearController,
    env: EnvConfig,
    strategy: Strategy,
    history: Sequence[dict[str, Any]],
    selected: Selected | None,
) -> Path:
    assert selected is not None  # the last generation is always validated
    score, generation, weights = selected
    save_tensors(
        {
            name: torch.tensor(np.asarray(value), dtype=torch.float32)
            for name, value in (("selected", weights), ("mean", strategy.mean), ("best", strategy.best))
        },
        stage.path / "weights.safetensors",
    )
    stage.finish(
        env=config_to_dict(env),
        spec=config_to_dict(config.spec),
        parameters=controller.parameter_count,
        selected_generation=generation,
        validation=score,
        **steps_taken(history, config.world, resolve(env).action_repeat),
    )
    kept = f"the mean of generation {generation + 1}" if generation >= 0 else "what it began with"
    say(f"C: {kept} is kept; it scored {score:.1f} over {config.validation_episodes} validation episodes.")
    return stage.path


def _initial_mean(controller: LinearController, model: WorldModel, start_from: Path | None) -> NDArray[np.float64]:
    """Zeros, or an earlier agent's weights, widened if the new controller sees more."""
    if start_from is None:
        return np.zeros(controller.parameter_count)
    parameters = load_tensors(start_from / "weights.safetensors")["selected"]
    if len(parameters) != controller.parameter_count:
        before: dict[str, Any] = Stage(start_from.parent, "controller").manifest["spec"]
        inputs = feature_size(model, "z")
        small = LinearController(inputs, model.action_spec, bias=controller.bias)
        linear = before["features"] == "z" and not before["hidden"] and not controller.hidden
        if not linear or before["bias"] != controller.bias or len(parameters) != small.parameter_count:
            raise UserError(
                f"The controller in {start_from} ({len(parameters)} parameters on [{', '.join(before['features'])}]) "
                f"cannot be the start of one with {controller.parameter_count}: only a linear one on [z] of {inputs} "
                f"numbers can grow. To keep what it sees: --controller.spec.features {before['features']}."
            )
        parameters = controller.grow(parameters, inputs)
    return parameters.double().numpy()

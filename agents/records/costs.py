"""What the stages of a run cost: environment steps, imagined steps, seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.agent import find_agent
from agents.learning.config import ControllerConfig
from agents.learning.history import steps_taken
from rollouts.envs.presets import resolve
from rollouts.envs.trust import recorded_env
from rollouts.runs.files import read_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import Stage


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one stage of one round took."""

    round: int
    stage: str
    what: str
    environment_steps: int
    imagined_steps: int
    seconds: float


def rounds_of(agent: str | Path) -> list[Path]:
    """The folders that led to an agent: the run itself (round 0), ``round-1``, ..., the agent's own.

    Raises:
        UserError: there is no such agent.
    """
    own = Run(find_agent(agent))
    return [own.whole.round(number).path for number in range(own.number + 1)]


def only_controller(rounds: Sequence[Path]) -> bool:
    """Whether a run learned C alone, on V and M that were copied into it: it recorded nothing."""
    return bool(rounds) and not Run(rounds[0]).rollouts.manifest_file.exists()


def costs(rounds: Sequence[Path]) -> list[Cost]:
    """Every stage of every round, in the order in which they ran; of C alone, where V and M are not the run's own."""
    if only_controller(rounds):
        return [cost_of(0, stage) for stage in stages_of(rounds[0]) if stage.name == "controller"]
    return [cost_of(number, stage) for number, folder in enumerate(rounds) for stage in stages_of(folder)]


def stages_of(folder: Path) -> list[Stage]:
    """A round's stages in the order in which they ran, those of a controller's tries and teacher before its own."""
    run = Run(folder)
    lessons = [run_.controller for run_ in (run.teacher, run.distilled) if run_.controller.manifest_file.exists()]
    return [run.rollouts, *run.model, *(tried.controller for tried in run.restarts), *lessons, run.controller]


def history(stage: Stage) -> list[dict[str, Any]]:
    """The generations of a controller's evolution, validation's steps and seconds included."""
    records: list[dict[str, Any]] = [*read_json_lines(stage.history, "fitness", stage.id)]
    config = stage.config(ControllerConfig)
    env = resolve(recorded_env(stage.manifest))
    whole = config.validation_episodes * (env.max_decisions or config.max_steps)
    for record in records:
        validated = "validation" in record
        record.setdefault("validation_steps", whole if validated else 0)  # at most, in runs that did not count them
        record.setdefault("validation_seconds", 0.0)
        for name in ("validation_steps", "validation_seconds"):
            record[name] += record.pop(f"initial_{name}", 0)
    return records


def cost_of(number: int, stage: Stage) -> Cost:
    """What a finished stage took."""
    manifest, config = stage.manifest, stage.options
    environment = imagined = 0
    seconds = manifest.get("seconds")
    if stage.name == "rollouts":
        repeat = resolve(recorded_env(manifest)).action_repeat
        environment = manifest["steps"] * repeat
        what = f"{manifest['episodes']} episodes ({manifest['policy']}), mean return {manifest['mean_return']:.0f}"
    elif stage.name == "controller":
        records, repeat = history(stage), resolve(recorded_env(manifest)).action_repeat
        environment, imagined = steps_taken(records, config["world"], repeat).values()
        learner = config.get("learner", "evolution")
        how = f"{len(records)} iterations of {learner}"
        if learner == "evolution":
            how = f"{len(records)} generations of {config['population']} candidates x {config['rollouts']} episodes"
        features = ", ".join(config["spec"]["features"])
        what = f"{how} in the {config['world']} world, {manifest['parameters']} weights on [{features}]"
        generations = sum(record["seconds"] + record["validation_seconds"] for record in records)
        seconds = max(seconds or 0.0, generations)  # manifests did not always tell
    else:
        reused = not stage.metrics.exists()
        what = "kept from the round before" if reused else f"{config['steps']:,} steps of {config['batch_size']}"
        seconds = seconds or logged_seconds(stage)
    return Cost(number, stage.name, what, environment, imagined, seconds or 0.0)


def logged_seconds(stage: Stage) -> float:
    """A training's time by its log, for runs whose manifests do not tell."""
    total = last = 0.0
    for record in read_json_lines(stage.metrics, "seconds", stage.id):
        if record["seconds"] < last:  # the clock starts again when a run is continued
            total += last
        last = record["seconds"]
    return total + last

"""The books of a run: which stages made its agent, by which commands, and what they cost."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agents.agent import find_agent
from agents.controller_config import ControllerConfig
from agents.history import steps_taken
from agents.iterate import episodes_of
from agents.presets import PRESETS, PipelineConfig
from rollouts.artifacts import config_from_dict, read_json, read_json_lines
from rollouts.collect import CollectConfig
from rollouts.envs import EnvConfig, resolve
from rollouts.rounds import round_folder, round_number
from rollouts.stage import Stage
from worldmodels.fit_vae import VAEConfig, data_hash
from worldmodels.mdn_rnn_config import MDNRNNConfig

STAGES = ("rollouts", "vae", "mdnrnn", "controller")


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
    folder = find_agent(agent)
    number = round_number(folder)
    return [round_folder(folder.parent if number else folder, k) for k in range(number + 1)]


def costs(rounds: Sequence[Path]) -> list[Cost]:
    """Every stage of every round, in the order in which they ran."""
    return [_cost(number, stage) for number, folder in enumerate(rounds) for stage in _stages(folder)]


def _stages(folder: Path) -> list[Stage]:
    tries = sorted((folder / "restarts").glob("*"), key=lambda path: int(path.name))
    stages = [Stage(folder, name) for name in STAGES]
    return [*stages[:-1], *[Stage(path, "controller") for path in tries], stages[-1]]


def history(stage: Stage) -> list[dict[str, Any]]:
    """The generations of a controller's evolution, validation's steps and seconds included."""
    records, config = read_json_lines(stage.path / "history.jsonl", "fitness"), stage.config(ControllerConfig)
    env = resolve(config_from_dict(EnvConfig, stage.manifest["env"]))
    whole = config.validation_episodes * (env.max_decisions or config.max_steps)
    for record in records:
        validated = "validation" in record
        record.setdefault("validation_steps", whole if validated else 0)  # at most, in runs that did not count them
        record.setdefault("validation_seconds", 0.0)
        for name in ("validation_steps", "validation_seconds"):
            record[name] += record.pop(f"initial_{name}", 0)
    return records


def _cost(number: int, stage: Stage) -> Cost:
    manifest, config = stage.manifest, read_json(stage.path / "config.json")
    environment = imagined = 0
    seconds = manifest.get("seconds")
    if stage.name == "rollouts":
        repeat = resolve(config_from_dict(EnvConfig, manifest["env"])).action_repeat
        environment = manifest["steps"] * repeat
        what = f"{manifest['episodes']} episodes ({manifest['policy']}), mean return {manifest['mean_return']:.0f}"
    elif stage.name == "controller":
        records, repeat = history(stage), resolve(config_from_dict(EnvConfig, manifest["env"])).action_repeat
        environment, imagined = steps_taken(records, config["world"], repeat).values()
        what = (
            f"{len(records)} generations of {config['population']} candidates x {config['rollouts']} episodes in the "
            f"{config['world']} world, {manifest['parameters']} weights on [{', '.join(config['spec']['features'])}]"
        )
        generations = sum(record["seconds"] + record["validation_seconds"] for record in records)
        seconds = max(seconds or 0.0, generations)  # manifests did not always tell
    else:
        reused = not (stage.path / "metrics.jsonl").exists()
        what = "kept from the round before" if reused else f"{config['steps']:,} steps of {config['batch_size']}"
        seconds = seconds or logged_seconds(stage)
    return Cost(number, stage.name, what, environment, imagined, seconds or 0.0)


def logged_seconds(stage: Stage) -> float:
    """A training's time by its log, for runs whose manifests do not tell."""
    total = last = 0.0
    for record in read_json_lines(stage.path / "metrics.jsonl", "seconds"):
        if record["seconds"] < last:  # the clock starts again when a run is continued
            total += last
        last = record["seconds"]
    return total + last


def commands(rounds: Sequence[Path], run: str) -> list[str]:
    """The commands that make such a run: its presets' options, and those in which it differs.

    An agent that was recorded or begun with is shown as ``AGENT-`` and the hash of its weights.

    Args:
        run: the run directory to show in them.
    """
    note = rounds[0] / "run.json"
    name = read_json(note).get("preset", "laptop") if note.exists() else "laptop"
    preset: PipelineConfig = PRESETS[name]
    first = rounds[0]
    lines = [
        ("collect", ["--preset", name, "--run", run, *_recording(first, preset)]),
        ("train_vae", ["--run", run, *_section(first, "vae", "vae", preset)]),
        ("train_mdnrnn", ["--run", run, *_section(first, "mdnrnn", "mdnrnn", preset)]),
        ("train_controller", ["--run", run, *_beginning(first), *_section(first, "controller", "controller", preset)]),
    ]
    for number in range(1, len(rounds)):
        options = ["--run", run, "--iterate.rounds", str(number), *_iteration(rounds[: number + 1], preset)]
        lines.append(("iterate", options))
    made = [shlex.join(["python", f"scripts/{script}.py", *options]) for script, options in lines]
    if Stage(first, "rollouts").manifest["policy"] == "human":
        made[0] = f"# {run} begins with what people drove on the page of scripts/play.py"
    return made


_CONFIGS: dict[str, type[Any]] = {
    "collect": CollectConfig,
    "vae": VAEConfig,
    "mdnrnn": MDNRNNConfig,
    "controller": ControllerConfig,
}


def _section(folder: Path, stage: str, section: str, preset: PipelineConfig) -> list[str]:
    value = Stage(folder, stage).config(_CONFIGS[section])
    return list(_differences(section, value, getattr(preset, section)))


def _recording(folder: Path, preset: PipelineConfig) -> list[str]:
    """What was recorded first: an environment and a policy, or an agent in its own environment."""
    stage = Stage(folder, "rollouts")
    who, _, rest = stage.manifest["policy"].partition(" ")
    options = _section(folder, "rollouts", "collect", preset)
    if who == "agent":
        weights, _, noise = rest.partition(" noise ")
        return ["--agent", f"AGENT-{weights}", "--noise", noise, *options]
    env = config_from_dict(EnvConfig, stage.manifest["env"])
    return [*_differences("env", env, preset.env), *options]


def _beginning(folder: Path) -> list[str]:
    """Whose weights the first controller began with; only their hash is known."""
    weights = Stage(folder, "controller").manifest["inputs"].get("start_from")
    return ["--start-from", f"AGENT-{weights}"] if weights else []


def _iteration(rounds: Sequence[Path], preset: PipelineConfig) -> list[str]:
    """Options of the last of these rounds: episodes and noise, whether people's were among them, whether V was
    refitted, how V, M and C were, and where C began."""
    usual, number, folder = preset.iterate, len(rounds) - 1, rounds[-1]
    recorded = Stage(folder, "rollouts")
    refitted = (folder / "vae" / "metrics.jsonl").exists()
    made = dataclasses.replace(
        usual,
        rounds=number,
        episodes=recorded.config(CollectConfig).episodes,
        max_steps=recorded.config(CollectConfig).max_steps,
        noise=float(recorded.manifest["policy"].rpartition(" ")[2]),
        refit_vae=max(usual.refit_vae, number) if refitted else min(usual.refit_vae, number - 1),
        vae=Stage(folder, "vae").config(VAEConfig) if refitted else usual.vae,
        human=(rounds[0] / "human").exists()
        and Stage(folder, "mdnrnn").manifest["inputs"]["episodes"] != data_hash(list(map(episodes_of, rounds))),
        mdnrnn=Stage(folder, "mdnrnn").config(MDNRNNConfig),
        fresh="start_from" not in Stage(folder, "controller").manifest["inputs"],
        controller=Stage(folder, "controller").config(ControllerConfig),
    )
    return list(_differences("iterate", made, dataclasses.replace(usual, rounds=number)))


def _differences(prefix: str, value: Any, usual: Any) -> Iterator[str]:
    """Options on the command line that turn ``usual`` into ``value``."""
    for field in dataclasses.fields(value):
        mine, theirs = getattr(value, field.name), getattr(usual, field.name)
        option = f"{prefix}.{field.name.replace('_', '-')}"
        if mine == theirs:
            continue
        if dataclasses.is_dataclass(mine):
            yield from _differences(option, mine, theirs)
        elif isinstance(mine, bool):
            section, _, name = option.rpartition(".")
            yield f"--{section}.{name}" if mine else f"--{section}.no-{name}"
        else:
            parts = (
                mine if isinstance(mine, tuple | list) else sum(mine.items(), ()) if isinstance(mine, dict) else [mine]
            )
            yield from (f"--{option}", *map(str, parts))

"""The commands that made a run: those that were typed, or for runs of before, such as make the same."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agents.learning.config import ControllerConfig
from agents.pipeline.config import PipelineConfig
from agents.pipeline.presets import PRESETS
from agents.records.costs import only_controller
from rollouts.collect import CollectConfig
from rollouts.envs.trust import recorded_env
from rollouts.runs.files import file_hash, read_json
from rollouts.runs.layout import PRETRAINED, Run, runs_in
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.data.lineage import data_hash


def commands(rounds: Sequence[Path], run: str) -> list[str]:
    """The commands that made a run, as they stand in the manifests of its stages, with ``run`` in the place of its
    directory.

    For a run of before manifests noted them, they are worked out: its presets' options, and those in which it differs.
    An agent that was recorded or begun with is then shown as ``AGENT-`` and the hash of its weights.

    Args:
        run: the run directory to show in them.
    """
    if only_controller(rounds):
        lines = Run(rounds[0]).controller.manifest["commands"]
        return [*_copied(rounds[0], run), *(_elsewhere(line, run) for line in lines)]
    manifests = [stage.manifest for folder in rounds for stage in Run(folder).stages]
    if not all(manifest.get("commands") for manifest in manifests):
        return worked_out(rounds, run)
    typed = dict.fromkeys(line for manifest in manifests for line in manifest["commands"])
    if manifests[0]["policy"] == "human":
        return [_begun_by_people(run), *(_elsewhere(line, run) for line in list(typed)[1:])]
    return [_elsewhere(line, run) for line in typed]


def _copied(folder: Path, run: str) -> list[str]:
    """Commands that copy V and M from the released agent that has the same ones, where there is one."""
    own = [file_hash(stage.weights) for stage in Run(folder).model]
    released = [run for run in runs_in(PRETRAINED) if all(stage.complete for stage in run.model)]
    source = next((run.path.name for run in released if [file_hash(s.weights) for s in run.model] == own), None)
    if source is None:
        return [f"# {run} begins with the V and M of another run"]
    return [f"mkdir -p {run}", f"cp -r agents/pretrained/{source}/vae agents/pretrained/{source}/mdnrnn {run}/"]


def _begun_by_people(run: str) -> str:
    return f"# {run} begins with what people drove on the page of worldmodels play"


def _elsewhere(line: str, run: str) -> str:
    """A command for another run directory, without the paths of the machine that it was typed on."""
    command, name, *words = shlex.split(line)
    kept, shown = iter(words), []
    for word in kept:
        option, equals, value = word.partition("=")
        if option == "--run":
            value = value if equals else next(kept, "")
            continue
        if option in ("--agent", "--start-from") and not equals:
            shown += [word, _relative(next(kept, ""))]
        else:
            shown.append(f"{option}={_relative(value)}" if equals else word)
    return shlex.join([command, name, *(["--run", run] if name != "quickstart" else []), *shown])


def _relative(path: str) -> str:
    """An absolute path's last part; all else as it is."""
    return Path(path).name if Path(path).is_absolute() else path


def worked_out(rounds: Sequence[Path], run: str) -> list[str]:
    """Commands that make such a run, from the options that its stages have kept."""
    note = Run(rounds[0]).note
    name = read_json(note).get("preset", "laptop") if note.exists() else "laptop"
    preset: PipelineConfig = PRESETS[name]
    first = rounds[0]
    lines = [
        ("collect", ["--preset", name, "--run", run, *_recording(first, preset)]),
        ("train-vae", ["--run", run, *_section(first, "vae", "vae", preset)]),
        ("train-mdnrnn", ["--run", run, *_section(first, "mdnrnn", "mdnrnn", preset)]),
        ("train-controller", ["--run", run, *_beginning(first), *_section(first, "controller", "controller", preset)]),
    ]
    for number in range(1, len(rounds)):
        options = ["--run", run, "--iterate.rounds", str(number), *_iteration(rounds[: number + 1], preset)]
        lines.append(("iterate", options))
    reconstructed = [shlex.join(["worldmodels", name, *options]) for name, options in lines]
    if Run(first).rollouts.manifest["policy"] == "human":
        reconstructed[0] = _begun_by_people(run)
    return reconstructed


_CONFIGS: dict[str, type[Any]] = {
    "collect": CollectConfig,
    "vae": VAEConfig,
    "mdnrnn": MDNRNNConfig,
    "controller": ControllerConfig,
}


def _section(folder: Path, stage: str, section: str, preset: PipelineConfig) -> list[str]:
    value = Run(folder).stage(stage).config(_CONFIGS[section])
    return list(_differences(section, value, getattr(preset, section)))


def _recording(folder: Path, preset: PipelineConfig) -> list[str]:
    """What was recorded first: an environment and a policy, or an agent in its own environment."""
    stage = Run(folder).rollouts
    who, _, rest = stage.manifest["policy"].partition(" ")
    options = _section(folder, "rollouts", "collect", preset)
    if who == "agent":
        weights, _, noise = rest.partition(" noise ")
        return ["--agent", f"AGENT-{weights}", "--noise", noise, *options]
    env = recorded_env(stage.manifest)
    return [*_differences("env", env, preset.env), *options]


def _beginning(folder: Path) -> list[str]:
    """Whose weights the first controller began with; only their hash is known."""
    weights = Run(folder).controller.manifest["inputs"].get("start_from")
    return ["--start-from", f"AGENT-{weights}"] if weights else []


def _iteration(rounds: Sequence[Path], preset: PipelineConfig) -> list[str]:
    """Options of the last of these rounds: episodes and noise, whether people's were among them, whether V was
    refitted, how V, M and C were, and where C began."""
    usual, number, folder = preset.iterate, len(rounds) - 1, rounds[-1]
    run, recorded = Run(folder), Run(folder).rollouts
    refitted = run.vae.metrics.exists()
    reconstructed = dataclasses.replace(
        usual,
        rounds=number,
        episodes=recorded.config(CollectConfig).episodes,
        max_steps=recorded.config(CollectConfig).max_steps,
        noise=float(recorded.manifest["policy"].rpartition(" ")[2]),
        refit_vae=max(usual.refit_vae, number) if refitted else min(usual.refit_vae, number - 1),
        vae=run.vae.config(VAEConfig).training if refitted else usual.vae,
        human=Run(rounds[0]).human.path.exists()
        and run.mdnrnn.manifest["inputs"]["episodes"] != data_hash([Run(one).episodes for one in rounds]),
        mdnrnn=run.mdnrnn.config(MDNRNNConfig).training,
        fresh="start_from" not in run.controller.manifest["inputs"],
        controller=run.controller.config(ControllerConfig),
    )
    return list(_differences("iterate", reconstructed, dataclasses.replace(usual, rounds=number)))


def _differences(prefix: str, value: Any, usual: Any) -> Iterator[str]:
    """Options on the command line that turn ``usual`` into ``value``."""
    for field in dataclasses.fields(value):
        here, there = getattr(value, field.name), getattr(usual, field.name)
        option = f"{prefix}.{field.name.replace('_', '-')}"
        if here == there:
            continue
        if dataclasses.is_dataclass(here):
            yield from _differences(option, here, there)
        elif isinstance(here, bool):
            section, _, name = option.rpartition(".")
            yield f"--{section}.{name}" if here else f"--{section}.no-{name}"
        else:
            parts = (
                here if isinstance(here, tuple | list) else sum(here.items(), ()) if isinstance(here, dict) else [here]
            )
            yield from (f"--{option}", *map(str, parts))

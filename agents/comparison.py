"""What does C need? Controllers that differ in one thing each, evolved and scored alike.

The paper's ablation ([z] alone, [z] with a hidden layer, [z, h]), an M that was never trained, other strategies, and
other ways to spend a generation's episodes. All begin at zero, in the real world, and get the same number of episodes
per generation. Everything is kept under ``RUN/comparison``, one folder per variant, so that an interrupted comparison
continues.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from agents.controller_config import ControllerConfig
from agents.evaluation import SCORE_EPISODES, play, summarise
from agents.evaluators import RealTask
from agents.evolution import evolve
from agents.sweep import world_model_folder
from rollouts.artifacts import atomic_path, config_from_dict, file_hash, read_json, write_json
from rollouts.console import say
from rollouts.envs import EnvConfig, reported, resolve
from rollouts.errors import UserError
from rollouts.pools import Workers
from rollouts.seeds import TEST
from rollouts.stage import Stage
from worldmodels.checkpoint import load_tensors, save_tensors
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.world_model import WorldModel

HIDDEN = 40  #: the paper's
PRINCIPAL = 48

Change = Callable[[ControllerConfig], ControllerConfig]


def _sees(features: Any, hidden: int = 0) -> Change:
    return lambda config: replace(config, spec=replace(config.spec, features=features, hidden=hidden))


def _spends(factor: int) -> Change:
    """More episodes for fewer candidates, or the other way round."""

    def change(config: ControllerConfig) -> ControllerConfig:
        config = _sees("zh")(config)
        if factor > 0:
            return replace(config, population=config.population // factor, rollouts=config.rollouts * factor)
        return replace(config, population=config.population * -factor, rollouts=max(1, config.rollouts // -factor))

    return change


#: name -> what it is, and how it differs
VARIANTS: dict[str, tuple[str, Change]] = {
    "zh": ("[z, h]", _sees("zh")),
    "z": ("[z] alone", _sees("z")),
    "z-hidden": (f"[z], a hidden layer of {HIDDEN}", _sees("z", HIDDEN)),
    "zch": ("[z, c, h]", _sees("zch")),
    "untrained": ("[z, h], M never trained", _sees("zh")),
    "principal": (
        f"[z, h], {PRINCIPAL} principal directions",
        lambda config: replace(_sees("zh")(config), principal=PRINCIPAL),
    ),
    "sep-cma": ("[z, h], separable CMA-ES", lambda config: replace(_sees("zh")(config), strategy="sep-cma")),
    "pgpe": ("[z, h], PGPE with ClipUp", lambda config: replace(_sees("zh")(config), strategy="pgpe")),
    "ranked": ("[z, h], ranks in every episode as fitness", lambda config: replace(_sees("zh")(config), ranked=True)),
    "more-rollouts": ("[z, h], half the candidates, twice the episodes of each", _spends(2)),
    "more-candidates": ("[z, h], twice the candidates, half the episodes of each", _spends(-2)),
}


@dataclass(frozen=True)
class CompareConfig:
    """Which variants, and how well each is measured."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    """Some of: zh, z, z-hidden, zch, untrained, principal, sep-cma, pgpe, ranked, more-rollouts, more-candidates."""
    episodes: int = SCORE_EPISODES
    """Real episodes on test seeds that every variant is scored on."""
    round: int | None = None
    """Which round's world model to use; the newest one if not given, 0 is the first pass."""


def compare(
    config: CompareConfig, controller: ControllerConfig, run: Path, workers: Workers, device: torch.device
) -> dict[str, Any]:
    """Evolve and score every variant; write ``comparison.json`` and ``comparison.md``.

    Args:
        controller: the options that all variants share.

    Returns:
        the report: ``rows``, one per variant.

    Raises:
        UserError: there is no world model, or the options make no sense.
    """
    if config.episodes < SCORE_EPISODES:
        raise UserError(f"--compare.episodes must be at least {SCORE_EPISODES}: fewer are no score.")
    unknown = [name for name in config.variants if name not in VARIANTS]
    if unknown:
        raise UserError(f"There is no variant {', '.join(unknown)}; there are {', '.join(VARIANTS)}.")
    folder = world_model_folder(run, config.round)
    out = folder / "comparison"
    env = config_from_dict(EnvConfig, Stage(folder, "mdnrnn").manifest["env"])
    report: dict[str, Any] = {
        "world_model": str(folder),
        "environment": resolve(reported(env)).id,
        "generations": controller.generations,
        "rows": [],
    }
    for name in config.variants:
        say(f"{VARIANTS[name][0]}:")
        model = untrained(folder, out / name, controller.seed) if name == "untrained" else folder
        report["rows"].append(_row(config, name, controller, model, out / name, env, workers, device))
        write_json(out / "comparison.json", report)
        with atomic_path(out / "comparison.md") as temporary:
            temporary.write_text(markdown(report))
    return report


def untrained(folder: Path, into: Path, seed: int) -> Path:
    """A world model with the same V and an M of random weights."""
    for stage in ("vae", "mdnrnn"):
        only_results = shutil.ignore_patterns("*.pt", "*tfevents*")
        shutil.copytree(folder / stage, into / stage, ignore=only_results, dirs_exist_ok=True)
    torch.manual_seed(seed)
    mdnrnn = MDNRNN(**Stage(into, "mdnrnn").manifest["architecture"])
    save_tensors(mdnrnn.state_dict(), into / "mdnrnn" / "weights.safetensors")
    return into


def _row(
    config: CompareConfig,
    name: str,
    controller: ControllerConfig,
    folder: Path,
    into: Path,
    env: EnvConfig,
    workers: Workers,
    device: torch.device,
) -> dict[str, Any]:
    """One variant: evolve, then play whole episodes of the stock environment."""
    title, change = VARIANTS[name]
    changed = change(controller)
    stage = evolve(changed, folder, env, workers, device, into=into)
    score, weights = into / "score.json", stage / "weights.safetensors"
    identity = {"controller": file_hash(weights), "episodes": config.episodes}
    if score.exists() and (known := read_json(score))["identity"] == identity:
        return known
    parameters = load_tensors(weights)["selected"].double().numpy()
    seeds = range(TEST, TEST + config.episodes)
    played = play(RealTask(WorldModel.load(folder), reported(env), changed.spec), parameters, seeds, workers)
    manifest = Stage(into, "controller").manifest
    row = {
        "identity": identity,
        "variant": name,
        "title": title,
        "parameters": manifest["parameters"],
        "population": changed.population,
        "rollouts": changed.rollouts,
        "environment_steps": manifest["environment_steps"],
        "seconds": manifest["seconds"],
        "validation": manifest["validation"],
        "score": {**summarise(played.returns), "returns": [round(float(value), 3) for value in played.returns]},
    }
    write_json(score, row)
    return row


def markdown(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    episodes = len(report["rows"][0]["score"]["returns"])
    lines = [
        f"{report['generations']} generations from zero in the real world, on one V and one M, one seed; "
        f"{episodes} episodes of `{report['environment']}` on test seeds.",
        "",
        "| C | weights | candidates x episodes | score (mean ± sd) | 95 % interval | median | environment steps |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in report["rows"]:
        score = row["score"]
        lines.append(
            f"| {row['title']} | {row['parameters']:,} | {row['population']} x {row['rollouts']} "
            f"| {score['mean']:.0f} ± {score['sd']:.0f} "
            f"| {score['interval_95_low']:.0f} to {score['interval_95_high']:.0f} "
            f"| {score['median']:.0f} | {row['environment_steps'] / 1e6:.1f} M |"
        )
    return "\n".join(lines) + "\n"

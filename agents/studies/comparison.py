"""What does C need? Controllers that differ in one thing each, evolved and scored alike.

The paper's ablation ([z] alone, [z] with a hidden layer, [z, h]), an M that was never trained, other strategies, and
other ways to spend a generation's episodes. All begin at zero, in the real world, and get the same number of episodes
per generation. Everything is kept under ``RUN/comparison``, one folder per variant, so that an interrupted comparison
continues.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from agents.evaluation import SCORE_EPISODES
from agents.learning.config import ControllerConfig
from agents.studies.trials import rows_before, score_cells, trial, world_model_folder, world_of, write_report
from rollouts.console import say
from rollouts.envs.presets import reported, resolve
from rollouts.errors import UserError, require_at_least
from rollouts.pools.pool import Workers
from rollouts.runs.files import file_hash
from rollouts.runs.layout import Run
from worldmodels.cores import make_dynamics
from worldmodels.data.lineage import reuse_vae
from worldmodels.training.checkpoint import save_tensors

HIDDEN = 40  #: the paper's
PRINCIPAL = 48

Change = Callable[[ControllerConfig], ControllerConfig]


def _sees(features: Any, hidden: int = 0, **others: Any) -> Change:
    """A controller that sees these features; ``others`` are changed too, and no other option."""
    return lambda config: replace(config, spec=replace(config.spec, features=features, hidden=hidden), **others)


def _more_rollouts(config: ControllerConfig) -> ControllerConfig:
    return _sees("zh", population=config.population // 2, rollouts=config.rollouts * 2)(config)


def _more_candidates(config: ControllerConfig) -> ControllerConfig:
    return _sees("zh", population=config.population * 2, rollouts=config.rollouts // 2)(config)


#: name -> what it is, and how it differs
VARIANTS: dict[str, tuple[str, Change]] = {
    "zh": ("[z, h]", _sees("zh")),
    "z": ("[z] alone", _sees("z")),
    "z-hidden": (f"[z], a hidden layer of {HIDDEN}", _sees("z", HIDDEN)),
    "zch": ("[z, c, h]", _sees("zch")),
    "untrained": ("[z, h], M never trained", _sees("zh")),
    "principal": (f"[z, h], {PRINCIPAL} principal directions", _sees("zh", principal=PRINCIPAL)),
    "sep-cma": ("[z, h], separable CMA-ES", _sees("zh", strategy="sep-cma")),
    "pgpe": ("[z, h], PGPE with ClipUp", _sees("zh", strategy="pgpe")),
    "ranked": ("[z, h], ranks in every episode as fitness", _sees("zh", ranked=True)),
    "more-rollouts": ("[z, h], half the candidates, twice the episodes of each", _more_rollouts),
    "more-candidates": ("[z, h], twice the candidates, half the episodes of each", _more_candidates),
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

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UserError: it names the option.
        """
        require_at_least(1, self, ("episodes",), "compare.")
        require_at_least(0, self, ("round",), "compare.")


def compare(
    config: CompareConfig, controller: ControllerConfig, run: Path, workers: Workers, device: torch.device
) -> dict[str, Any]:
    """Evolve and score every variant; write ``comparison.json`` and ``comparison.md``.

    Args:
        controller: the options that all variants share but for what they differ in.

    Returns:
        the report: ``rows``, one per variant.

    Raises:
        UserError: there is no world model, or the options make no sense.
    """
    if config.episodes < SCORE_EPISODES:
        raise UserError(f"--compare.episodes must be at least {SCORE_EPISODES}: fewer are no score.")
    changed = variants(config.variants, controller)
    folder = world_model_folder(run, config.round)
    path = Run(folder).report("comparison")
    about = {"mdnrnn": file_hash(Run(folder).mdnrnn.weights), "generations": controller.generations}
    environment = resolve(reported(world_of(folder))).id
    rows = rows_before(path, "variant", config.episodes, **about)
    for name, variant in changed.items():
        title = VARIANTS[name][0]
        say(f"{title}:")
        model = untrained(folder, path.with_name(name), controller.seed) if name == "untrained" else folder
        row = trial(variant, model, path.with_name(name), config.episodes, workers, device)
        rows[name] = {"variant": name, "title": title, **row}
        report = {
            "world_model": str(folder),
            "environment": environment,
            **about,
            "rows": [rows[name] for name in VARIANTS if name in rows],
        }
        write_report(path, report, markdown(report))
    return report


def variants(names: Sequence[str], controller: ControllerConfig) -> dict[str, ControllerConfig]:
    """The options of every variant, all of them checked before the first is evolved: each takes its time.

    Raises:
        UserError: there is no such variant, or it cannot be had from these options. Of all variants, which is the
            default, it is left out instead.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown or not names:
        raise UserError(f"There is no variant {', '.join(unknown) or 'chosen'}; there are {', '.join(VARIANTS)}.")
    start = replace(controller, world="real", strategy="cma", principal=None, ranked=False, spread=0.0)
    start.check()
    changed = {}
    for name in names:
        variant = VARIANTS[name][1](start)
        try:
            if variant.population * variant.rollouts != start.population * start.rollouts:
                raise UserError(
                    f"It halves a number, which {start.population} candidates x {start.rollouts} episodes do not allow."
                )
            variant.check()
            changed[name] = variant
        except UserError as error:
            if tuple(names) != tuple(VARIANTS):
                raise UserError(f"The variant {name} cannot be had: {error}") from None
            say(f"The variant {name} is left out: {error}")
    return changed


def untrained(folder: Path, into: Path, seed: int) -> Path:
    """A world model with the same V and an M of random weights."""
    reuse_vae(into, folder)
    before, stage = Run(folder).mdnrnn, Run(into).mdnrnn
    stage.path.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(before.config_file, stage.config_file)
    shutil.copyfile(before.manifest_file, stage.manifest_file)
    torch.manual_seed(seed)
    save_tensors(make_dynamics(stage.manifest["architecture"]).state_dict(), stage.weights)
    stage.note(weights=file_hash(stage.weights))
    return into


def markdown(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    episodes = len(report["rows"][0]["real"]["returns"])
    lines = [
        f"{report['generations']} generations from zero in the real world, on one V and one M, one seed; "
        f"{episodes} episodes of `{report['environment']}` on test seeds.",
        "",
        "| C | weights | candidates x episodes | score (mean ± sd) | 95 % interval | median | environment steps |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in report["rows"]:
        score = row["real"]
        lines.append(
            f"| {row['title']} | {row['parameters']:,} | {row['population']} x {row['rollouts']} "
            f"| {score_cells(score)} | {score['median']:.0f} | {row['environment_steps'] / 1e6:.1f} M |"
        )
    return "\n".join(lines) + "\n"

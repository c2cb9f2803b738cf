"""Release: the newest agent of a run as ``agents/pretrained/NAME``, small enough to come with the package.

Of a run's gigabytes, acting and dreaming need V, M and its dream starts at half precision, one controller, and the
facts that tie them together. The layout stays that of a run directory, so everything that takes a run takes a release.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from agents.agent import Agent, find_agent
from agents.records.costs import rounds_of
from agents.records.model_card import Parity, model_card
from rollouts.console import say, size
from rollouts.envs.image_env import make_env
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, replace_folder, write_json
from rollouts.runs.layout import PRETRAINED, Run
from rollouts.seeds import VALIDATION
from worldmodels.training.checkpoint import load_tensors, save_tensors
from worldmodels.training.threads import one_thread

LARGEST = 14_000_000  #: bytes of a release, all files together: room for the paper's V and M of Take Cover
STARTS = 512  #: dream starts that are kept
MOST_CHANGE = 0.02  #: mean change of an action, in half-ranges, that half precision may cause
FACTS = ("format", "stage", "complete", "inputs", "versions", "git_commit", "seconds", "observation_hash")
STAGE_FACTS = {
    "vae": ("architecture",),
    "mdnrnn": ("architecture", "env", "action_spec", "death_weight"),
    "controller": (
        *("env", "spec", "parameters", "selected_generation", "validation"),
        *("environment_steps", "imagined_steps"),
    ),
}


def release(agent: str | Path, name: str, kept: Path | None = None) -> Path:
    """Write ``agents/pretrained/NAME`` from the newest agent of a run, or from one of its rounds.

    Args:
        kept: the run as a folder under ``docs/results``, see :func:`agents.records.model_card.model_card`.

    An ``evaluation.json`` of an earlier release stays if every weight is the same as then.

    Raises:
        UserError: there is no such agent, it acts differently at half precision, or the files are too large.
    """
    if not name.isidentifier():
        raise UserError(f"A released agent's name is one word of letters, digits and underscores, not {name!r}.")
    source, target = find_agent(agent), PRETRAINED / name
    PRETRAINED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{name}.", PRETRAINED) as temporary:
        folder = Path(temporary) / name
        _write_stages(source, folder)
        parity = compare(Agent.from_folder(source), Agent.from_folder(folder))
        if parity.mean_change > MOST_CHANGE:
            raise UserError(
                f"Half precision changes the actions of {source} by {parity.mean_change:.3f} of their half-range on "
                f"average, more than the {MOST_CHANGE:g} that is allowed: this agent cannot be released so."
            )
        score = Run(target).evaluation
        if score.exists() and _weights(target) == _weights(folder):
            shutil.copyfile(score, folder / score.name)
        (folder / "README.md").write_text(model_card(name, rounds_of(source), folder, parity, kept))
        total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if total > LARGEST:
            raise UserError(f"The release would have {size(total)}, more than {size(LARGEST)}: use a smaller V or M.")
        replace_folder(folder, target)
    say(
        f"{target}: {size(total)}; over {parity.steps} steps half precision changes the actions by "
        f"{parity.mean_change:.2g} of their half-range on average, {parity.largest_change:.2g} at most."
    )
    return target


def _write_stages(source: Path, folder: Path) -> None:
    """V, M and C with the facts that loading them asks for."""
    run, small = Run(source), Run(folder)
    vae, mdnrnn = (
        {name: tensor.half() for name, tensor in load_tensors(stage.weights).items()} for stage in run.model
    )
    controller = load_tensors(run.controller.weights)
    controller = {name: tensor for name, tensor in controller.items() if name not in ("mean", "best")}
    for stage, tensors in ((small.vae, vae), (small.mdnrnn, mdnrnn), (small.controller, controller)):
        stage.path.mkdir(parents=True)
        save_tensors(tensors, stage.weights)
    if run.mdnrnn.value.exists():
        shutil.copyfile(run.mdnrnn.value, small.mdnrnn.value)
    if run.mdnrnn.starts.exists():
        tensors = load_tensors(run.mdnrnn.starts)
        count = len(tensors["warm"])
        kept = torch.linspace(0, count - 1, min(STARTS, count)).long()  # the episode starts come first: some of both
        save_tensors({name: tensor[kept] for name, tensor in tensors.items()}, small.mdnrnn.starts)
    hashes = _weights(folder)
    for name, facts in STAGE_FACTS.items():
        before, stage = run.stage(name).manifest, small.stage(name)
        manifest = {fact: before[fact] for fact in (*FACTS, *facts) if fact in before}
        manifest["weights"] = hashes[name]
        if name != "vae":
            manifest["vae"] = hashes["vae"]
        if name == "controller":
            manifest["mdnrnn"] = hashes["mdnrnn"]
        for part, file in (("starts", stage.starts), ("value", stage.value)):
            if file.exists():
                manifest[part] = file_hash(file)
        write_json(stage.config_file, run.stage(name).options)
        write_json(stage.manifest_file, manifest)


def _weights(folder: Path) -> dict[str, str]:
    return {name: file_hash(Run(folder).stage(name).weights) for name in STAGE_FACTS}


def compare(original: Agent, released: Agent, seed: int = VALIDATION, max_steps: int = 1000) -> Parity:
    """Let the original play one episode while the released agent sees and remembers the same."""
    env, spec = make_env(original.env), original.model.action_spec
    half = (np.array(spec.high) - np.array(spec.low)) / 2
    frame, _ = env.reset(seed=seed)
    acting, shadow, changes = original.begin(seed), released.begin(seed), []
    with one_thread():
        for _ in range(max_steps):
            action = acting.act(frame)
            changes.append(np.abs(shadow.act(frame) - action) / half)
            acting.remember(action)
            shadow.remember(action)
            frame, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                break
    env.close()
    return Parity(len(changes), float(np.mean(changes)), float(np.max(changes)))

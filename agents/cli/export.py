"""Export: a run's episodes, its V and M, or its agent, for other programs.

worldmodels export --what videos --run runs/car --out films
worldmodels export --what minari --run runs/car --out datasets --id carracing/random-v0
worldmodels export --what onnx --run pretrained/carracing --out model   # or torch: programs of torch.export
worldmodels export --what hub --run runs/car --out car                  # as Hugging Face's libraries expect it

Minari data sets have every pixel and action as they are, and can be imported again; videos are for people, with
actions and rewards in .npz files beside them. V and M are compared with the originals as they are written.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agents.agent import Agent
from agents.cli.options import AgentName, Command
from agents.cli.places import default_agent
from agents.viewing.moments import step_seconds
from rollouts.console import say
from rollouts.envs.actions import ActionSpec
from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import make_env
from rollouts.envs.trust import recorded_env
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.layout import Run
from rollouts.transfer.exports import export_data_set, export_videos
from worldmodels.exporting import export_model
from worldmodels.training.threads import one_thread
from worldmodels.world_model import WorldModel


@dataclass(frozen=True)
class Arguments:
    """What to export, of which run, and where to."""

    what: Literal["videos", "minari", "onnx", "torch", "hub"] | None = None
    """Episodes as videos or as a Minari data set; V and M as ONNX or as programs of torch.export; or the whole agent
    as a folder for Hugging Face's hub, with a card."""
    agent: AgentName = None
    """Run directory or, for V and M, pretrained/NAME. Default: the newest run."""
    out: Path | None = None
    """The folder to write to."""
    round: int = 0
    """Which round's episodes: 0 for those of the first pass."""
    id: str = "worldmodels/episodes-v0"
    """What the Minari data set is called: NAMESPACE/NAME-vN."""


def body(arguments: Arguments) -> None:
    """Write, and say what was written."""
    if arguments.what is None or arguments.out is None:
        raise UserError("Say what to export and where to: --what videos, minari, onnx, torch or hub, and --out FOLDER.")
    run, out = Run.named(arguments.agent or default_agent()), arguments.out
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; --out takes a folder.")
    if arguments.what in ("onnx", "torch"):
        with one_thread():
            files = export_model(WorldModel.load(run.path), out, "onnx" if arguments.what == "onnx" else "torch")
        say(f"Wrote {', '.join(str(file) for file in files)}.")
        return
    if arguments.what == "hub":
        Agent.load(run.path).save_pretrained(out)
        say(f"The agent is in {out}. To upload it: hf upload OWNER/NAME {shlex.quote(str(out))}")
        return
    recorded = run.round(arguments.round)
    env, store = recorded_env(recorded.rollouts.require().manifest), recorded.episodes
    if arguments.what == "videos":
        count = export_videos(store, out, max(round(1 / step_seconds(env)), 1))
        say(f"{count} videos are in {out}.")
    else:
        say(f"The data set is in {export_data_set(store, out, arguments.id, env, _actions(env, store))}.")


def _actions(env: EnvConfig, store: EpisodeStore) -> ActionSpec:
    """What the episodes' actions may be: the environment's limits, or where it cannot be made, those that occurred."""
    try:
        world = make_env(env)
    except UserError:
        actions = np.concatenate([episode.actions for episode in store])
        low, high = (tuple(limit.tolist()) for limit in (actions.min(0), actions.max(0)))
        return ActionSpec("box", low, high, low, high)
    world.close()
    return world.action_spec


COMMAND = Command(__doc__, Arguments, body, main=("what", "agent", "out", "round", "id"))

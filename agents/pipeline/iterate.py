"""Iterate: watch the world with the agent one has, learn it better, evolve again (the paper's section 6).

Every round is a run directory of its own inside the run, ``round-1``, ``round-2``, ...; M (and V) of a round learn
from the episodes of all rounds up to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from agents.learning.config import ControllerConfig
from agents.learning.learn import evolve
from agents.recording import agent_policy
from rollouts.collect import CollectConfig, collect
from rollouts.console import say
from rollouts.envs.trust import recorded_env
from rollouts.errors import named_within, require_at_least
from rollouts.pools.pool import Workers
from rollouts.runs.layout import Run
from worldmodels.configs import MDNRNNConfig, MDNRNNTraining, VAEConfig, VAETraining
from worldmodels.data.lineage import reuse_vae
from worldmodels.fit_mdn_rnn import fit_mdn_rnn
from worldmodels.fit_vae import fit_vae


@dataclass(frozen=True)
class IterateConfig:
    """Rounds after the first pass through all stages. Each continues from the last round's weights, whose shapes V and
    M keep."""

    rounds: int = 1
    """How many rounds; may be raised later."""
    episodes: int = 100
    """Episodes recorded per round with the current agent: half as it is, half with action noise."""
    max_steps: int = 1000
    """Stop recording an episode after so many steps."""
    noise: float = 0.15
    """Size of that noise, in half-ranges of the action space."""
    refit_vae: int = 1
    """Refit V in the first so many rounds, then keep it: a new V moves z under C's weights."""
    human: bool = False
    """Learn also from what people drove on the live page (RUN/human)."""
    vae: VAETraining = field(default_factory=VAETraining)
    """How to refit V."""
    mdnrnn: MDNRNNTraining = field(default_factory=MDNRNNTraining)
    """How to refit M in every round."""
    fresh: bool = False
    """Evolve from zero instead of from the last round's agent, which then only chose what M learned from."""
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    """How to evolve C in every round."""

    def check(self) -> None:
        """Refuse what makes no sense, in any round.

        Raises:
            UserError: it names the option.
        """
        require_at_least(0, self, ("rounds", "noise", "refit_vae"), "iterate.")
        require_at_least(1, self, ("episodes", "max_steps"), "iterate.")
        with named_within("iterate"):
            self.vae.check()
            self.mdnrnn.check()
            self.controller.check()


def iterate(config: IterateConfig, run: Path, workers: Workers, device: torch.device) -> Path:
    """Run all rounds that are not finished yet; options may differ from those that earlier rounds were made with.

    Returns:
        The last round's folder, which holds the newest agent.

    Raises:
        UserError: the first pass is missing.
    """
    config.check()
    first = Run(run)
    env = recorded_env(first.controller.require().manifest)
    first.rollouts.require()
    vae = VAEConfig.of(first.vae.config(VAEConfig), config.vae)
    mdnrnn = MDNRNNConfig.of(first.mdnrnn.config(MDNRNNConfig), config.mdnrnn)
    for number in range(1, config.rounds + 1):
        before, now = first.round(number - 1), first.round(number)
        folder = now.path
        if number < config.rounds and now.controller.complete:
            say(f"Round {number} of {config.rounds} is finished, as {folder}; options are for the rounds after it.")
            continue
        say(f"Round {number} of {config.rounds}: {folder}")
        collect(
            CollectConfig(config.episodes, "default", config.max_steps),
            env,
            folder,
            workers,
            number,
            agent_policy(before.path, config.noise),
        )
        stores = [first.round(k).episodes for k in range(number + 1)]
        if config.human:
            stores.insert(1, first.human.episodes)
        if number <= config.refit_vae:
            fit_vae(vae, folder, stores, device, before.vae.weights)
        else:
            reuse_vae(folder, before.path)
        latents = first.round(min(number, config.refit_vae)).latents  # beside the V they were made with
        fit_mdn_rnn(mdnrnn, folder, stores, device, before.mdnrnn.weights, latents)
        start_from = None if config.fresh or config.controller.taught else before.controller.path
        evolve(config.controller, folder, env, workers, device, start_from)
    return first.round(config.rounds).path

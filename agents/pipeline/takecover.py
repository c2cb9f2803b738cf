"""Presets of Take Cover, which is learned in the dream alone (docs/takecover.md)."""

from __future__ import annotations

from dataclasses import replace

from agents.controller import ControllerSpec
from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.learning.ppo import PPOConfig
from agents.pipeline.config import PipelineConfig
from agents.pipeline.iterate import IterateConfig
from agents.viewing.watch import WatchConfig
from rollouts.collect import CollectConfig
from rollouts.envs.config import EnvConfig
from worldmodels.configs import MDNRNNConfig, VAEConfig

_DODGER = ControllerSpec("zch", bias=False)
_DOOM_V = VAEConfig(
    latent_size=64,
    batch_size=128,
    learning_rate=1e-3,
    decay=True,
    motion_weight=16.0,  # a ball's pixels weigh seven times a wall's
    motion_lag=4,
    checkpoint_every=250,
)
_DOOM_M = MDNRNNConfig(
    hidden_size=512,
    reward_head=False,
    fall_head=True,
    start_flag=True,
    dropout=0.1,
    batch_size=32,
    sequence_length=128,
    carry_state=True,
    decay=True,
)
# Fitness is minus the hits to be expected in 300 tics from recorded moments. Survival is told by a die on top of each
# hit: its deviation is as large as its mean. For the paper's way: --controller.falls ignored, with --controller.ends
# sampled --controller.starts episode --controller.max-steps 2100, or with --controller.ends paid. No dropout: without
# some of its units M sees death everywhere, and as nothing ends an episode, such ones outweigh all others.
_DOOM_C = ControllerConfig(
    world="dream",
    spec=_DODGER,
    population=32,
    principal=64,
    sigma=0.01,
    max_steps=300,
    starts="recorded",
    ends="sampled",
    falls="paid",
    average=3,
    validation_every=5,
    validation_episodes=64,
)

#: Take Cover, learned in the dream alone, with the paper's V, M and C. Two to three hours on 2 cores; docs/takecover.md
#: has the measured times. Latents of 4,000 games are M's data in all rounds, so V stays what it is.
TAKECOVER = PipelineConfig(
    env=EnvConfig("takecover"),
    collect=CollectConfig(episodes=4000, max_steps=2100),
    vae=replace(_DOOM_V, steps=3000),
    mdnrnn=replace(_DOOM_M, steps=3000),
    controller=replace(_DOOM_C, generations=20),
    iterate=IterateConfig(
        rounds=2,
        episodes=250,
        max_steps=2100,
        noise=0.3,
        refit_vae=0,
        vae=_DOOM_V.training,
        mdnrnn=replace(_DOOM_M, steps=1000, learning_rate=7e-4).training,
        fresh=True,
        controller=replace(_DOOM_C, generations=120, average=5, validation_every=10),
    ),
    evaluate=EvaluateConfig(episodes=400),
    watch=WatchConfig(max_steps=2100, starts="episode"),
)

# A decision for every four tics: a ball in flight is five of M's steps instead of twenty, and PPO learns from every one
# of forty thousand dreamed decisions in an iteration. What M learned from first is early in a game, where there are few
# monsters; later rounds are later in it, because the agent lives longer.
_FAST_M = replace(_DOOM_M, sequence_length=64, dropout=0.0)
_FAST_C = replace(
    _DOOM_C,
    learner="ppo",
    spec=ControllerSpec("zh", latent="mean"),
    ppo=PPOConfig(layers=(128, 128), output="clip", episodes=512, gamma=0.9, trace=0.9),
    principal=None,
    generations=30,
    max_steps=75,
    average=5,
    validation_every=10,
)

#: Take Cover in an evening on 2 cores: the paper's V and M in decisions of four tics, C a network by PPO in the dream.
TAKECOVER_PPO = replace(
    TAKECOVER,
    env=EnvConfig("takecover", action_repeat=4),
    collect=CollectConfig(episodes=1260, max_steps=525),
    vae=replace(_DOOM_V, steps=2500, motion_lag=1),
    mdnrnn=replace(_FAST_M, steps=2000),
    controller=_FAST_C,
    iterate=replace(
        TAKECOVER.iterate,
        episodes=300,
        max_steps=525,
        mdnrnn=replace(_FAST_M, steps=1200).training,
        controller=_FAST_C,
    ),
    evaluate=EvaluateConfig(episodes=1000),
    watch=WatchConfig(max_steps=525, starts="episode"),
)

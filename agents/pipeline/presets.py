"""Presets of the whole pipeline, each with a stated budget."""

from __future__ import annotations

from dataclasses import replace

from agents.controller import ControllerSpec
from agents.evaluation import EvaluateConfig
from agents.learning.config import ControllerConfig
from agents.learning.sac import SACConfig
from agents.pipeline.config import PipelineConfig
from agents.pipeline.iterate import IterateConfig
from agents.pipeline.takecover import TAKECOVER, TAKECOVER_PPO
from agents.viewing.watch import WatchConfig
from rollouts.collect import CollectConfig
from rollouts.envs.config import EnvConfig
from rollouts.envs.presets import PRESETS as WORLDS
from worldmodels.configs import MDNRNNConfig, VAEConfig

#: The toy environment, everything in well under a minute: for tests, and to see how the pieces fit.
_TINY_V = VAEConfig(
    latent_size=8, steps=120, batch_size=32, learning_rate=1e-3, kl_floor=0.1, log_every=20, checkpoint_every=40
)
_TINY_M = MDNRNNConfig(
    hidden_size=32,
    mixtures=3,
    steps=200,
    batch_size=32,
    sequence_length=24,
    learning_rate=5e-3,
    starts=64,
    log_every=20,
    checkpoint_every=60,
)
_TINY_C = ControllerConfig(
    generations=8, population=8, rollouts=2, sigma=0.3, max_steps=50, validation_every=4, validation_episodes=4, gate=8
)
TINY = PipelineConfig(
    env=EnvConfig("toy"),
    collect=CollectConfig(episodes=30, max_steps=50),
    vae=_TINY_V,
    mdnrnn=_TINY_M,
    controller=_TINY_C,
    iterate=IterateConfig(
        rounds=0,
        episodes=20,
        max_steps=50,
        refit_vae=0,
        vae=_TINY_V.training,
        mdnrnn=_TINY_M.training,
        controller=_TINY_C,
    ),
    evaluate=EvaluateConfig(episodes=10),
    watch=WatchConfig(max_steps=50),
)

# A driver that decides 12.5 times a second instead of 50: episodes are four times shorter for V, M, C and the dream.
_CAR = EnvConfig("carracing-fast", action_repeat=4)
# The mean of z instead of a sample: with a fraction of the noise in what C sees, evolution takes half the generations.
_SEES_Z, _SEES_ZHA = ControllerSpec("z", latent="mean"), ControllerSpec("zha", latent="mean")
_SHORT_V = VAEConfig(batch_size=128, learning_rate=1e-3, decay=True, log_every=20, checkpoint_every=100)
_SHORT_M = MDNRNNConfig(
    batch_size=64,
    sequence_length=64,
    burn_in=8,
    learning_rate=2e-3,
    decay=True,
    reward_spread=(2, 4),
    log_every=10,
    checkpoint_every=100,
)
ALONE = 0.05  #: step size of a later evolution without lessons, which has more to find than a last word
_SHORT_C = ControllerConfig(
    spec=_SEES_Z,
    generations=40,
    population=16,
    rollouts=3,
    sigma=0.15,
    max_steps=250,
    patience=25,
    validation_every=10,
    validation_episodes=16,
)
# Of later rounds: V learns on with smaller steps, and C sees M's memory and what it did last too. A soft actor-critic
# finds out how to drive, a linear C learns by its critics, and evolution has the last word on all of its weights.
_LATER_V = replace(_SHORT_V, learning_rate=5e-4)
_LATER_C = replace(_SHORT_C, spec=_SEES_ZHA, principal=64, whitening=0.5, teacher="sac")

#: CarRacing in a quarter of an hour or less on 2 cores. A first pass on drifting actions gives eyes and a driver that
#: sees only z; its drives then teach V and M what a road looks like at speed, for a driver that learns from nothing.
QUICK = PipelineConfig(
    env=replace(_CAR, pedal=True),
    collect=CollectConfig(episodes=80),
    vae=replace(_SHORT_V, steps=300),
    mdnrnn=replace(_SHORT_M, steps=60),
    controller=replace(_SHORT_C, generations=24),
    iterate=IterateConfig(
        rounds=1,
        episodes=60,
        vae=replace(_LATER_V, steps=400).training,
        mdnrnn=replace(_SHORT_M, steps=300).training,
        controller=replace(
            _LATER_C,
            teacher_generations=22,
            lessons=7,
            sac=SACConfig(recorded=True),
            generations=5,
            population=48,
            rollouts=2,
            racing=0.5,
            sigma=0.01,
            average=5,
            validation_every=5,
        ),
    ),
    evaluate=EvaluateConfig(episodes=20),
    watch=WatchConfig(seed=3),
)

#: The same within an hour on 2 cores: longer lessons, then several tracks a generation, so that a single hard one does
#: not pull C away; those that lead race on, and the agent is an average of ten means.
LAPTOP = replace(
    QUICK,
    iterate=IterateConfig(
        rounds=1,
        episodes=100,
        noise=0.2,
        vae=replace(_LATER_V, steps=1500).training,
        mdnrnn=replace(_SHORT_M, steps=1500).training,
        controller=replace(
            _LATER_C,
            teacher_generations=120,
            lessons=25,
            sac=SACConfig(recorded=True, decay=120, idle=60.0, idle_after=30),
            generations=30,
            population=96,
            rollouts=4,
            racing=0.5,
            sigma=0.01,
            average=10,
            validation_every=10,
            validation_episodes=32,
            lanes_per_task=48,
        ),
    ),
    evaluate=EvaluateConfig(),
)

#: As laptop, but that a soft actor-critic's own actor, a network, is the driver.
SAC = replace(
    LAPTOP,
    iterate=replace(
        LAPTOP.iterate,
        fresh=True,
        controller=ControllerConfig(
            learner="sac",
            spec=_SEES_ZHA,
            generations=135,  # two million frames
            max_steps=250,
            patience=25,
            average=10,
            validation_every=15,
            validation_episodes=32,
            sac=SACConfig(recorded=True, decay=135, idle=60.0, idle_after=40, stumbles=0.012, later_patience=80),
        ),
    ),
)

#: The settings of Ha & Schmidhuber (2018) for CarRacing, on Gymnasium's own renderer: weeks on a large machine.
PAPER = PipelineConfig(
    env=EnvConfig("carracing"),
    collect=CollectConfig(episodes=10_000, policy="linear"),
    mdnrnn=MDNRNNConfig(reward_head=False, termination_head=False),
)

PRESETS = {
    "tiny": TINY,
    "quick": QUICK,
    "laptop": LAPTOP,
    "sac": SAC,
    "paper": PAPER,
    "takecover": TAKECOVER,
    "takecover-ppo": TAKECOVER_PPO,
}


def preset_for(name: str, env_id: str | None) -> PipelineConfig:
    """The preset, for another environment without what it tunes to its own.

    Whole episodes instead of hopeless ones that are given up, as many of the environment's own steps in one, every
    one of them decided on; rewards where they fall, and learned, also where the preset's own world pays for survival.
    """
    preset = PRESETS[name]
    if env_id is None or _world(env_id) == _world(preset.env.id):
        return preset
    first, later = preset.mdnrnn, preset.iterate
    pays = first.reward_head or preset.controller.world == "dream"
    return replace(
        preset,
        env=EnvConfig(env_id),
        mdnrnn=replace(first, reward_spread=None, reward_head=pays, fall_head=False),
        controller=_whole_episodes(preset.controller, preset.env),
        iterate=replace(
            later,
            mdnrnn=replace(later.mdnrnn, reward_spread=None),
            controller=_whole_episodes(later.controller, preset.env),
        ),
    )


def _world(env_id: str) -> str:
    preset = WORLDS.get(env_id)
    return env_id if preset is None else preset.reported_on or preset.name


def _whole_episodes(config: ControllerConfig, env: EnvConfig) -> ControllerConfig:
    steps = config.max_steps * (env.action_repeat or 1)
    if config.teacher is not None:  # which may not be able to act there, as SAC where actions are discrete
        generations = config.generations + config.teacher_generations + config.lessons
        config = replace(config, teacher=None, generations=generations, sigma=ALONE)
    return replace(config, patience=None, max_steps=steps, falls="ignored")

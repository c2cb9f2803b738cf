"""V and M that have learned nothing: as fast as trained ones, for measuring what a machine can do."""

from __future__ import annotations

import torch

from rollouts.envs.config import EnvConfig
from rollouts.envs.image_env import make_env
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.cores import make_dynamics
from worldmodels.starts import DreamStarts
from worldmodels.vae import ConvVAE
from worldmodels.world_model import WorldModel

STARTS = 64


def untrained_world_model(env: EnvConfig, vae: VAEConfig, mdnrnn: MDNRNNConfig, device: torch.device) -> WorldModel:
    """A world model of these sizes with random weights; its dreams start from random latents."""
    torch.manual_seed(0)
    world = make_env(env)
    eyes = ConvVAE(vae.latent_size).on(device)
    memory = make_dynamics(mdnrnn.architecture(vae.latent_size, world.action_spec.size)).to(device)
    latents = torch.randn(STARTS, vae.latent_size, device=device)
    never = torch.zeros(STARTS, dtype=torch.bool, device=device)
    starts = DreamStarts(latents, torch.zeros_like(latents), memory.initial_state(STARTS), never)
    return WorldModel(eyes, memory, env, world.action_spec, world.preset.observation_hash, starts).frozen()

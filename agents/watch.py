"""Watch an agent: in the real world, beside what it sees and expects, or in its own dream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from agents.agent import Agent
from agents.evaluators import one_thread
from agents.panels import Bar, Frame, Panel, draw
from agents.video import write_video
from rollouts.console import progress_bar
from rollouts.envs import ActionSpec, make_env, reported, resolve
from rollouts.errors import UserError
from worldmodels.dream import Dream, StartKind

NAMES = {"carracing": ("steer", "gas", "brake"), "carracing-fast": ("steer", "gas", "brake"), "toy": ("push",)}


@dataclass(frozen=True)
class WatchConfig:
    """What to look at."""

    world: Literal["real", "dream"] = "real"
    """The real environment, or the agent's dream of it."""
    seed: int = 0
    """Which episode."""
    max_steps: int = 1000
    """Stop after so many steps."""
    every: int = 2
    """Draw every so many steps."""
    temperature: float = 1.0
    """Dream: tau."""
    starts: StartKind = "recorded"
    """Dream: begin at 'episode' starts, at 'recorded' moments in their middle, or at 'any'."""


def panels(agent: Agent, config: WatchConfig) -> Iterator[Panel]:
    """The agent's episode, one panel per drawn step."""
    if config.every < 1 or config.max_steps < 1:
        raise UserError("--watch.every and --watch.max-steps must be at least 1.")
    return real_panels(agent, config) if config.world == "real" else dream_panels(agent, config)


@torch.inference_mode()
def real_panels(agent: Agent, config: WatchConfig) -> Iterator[Panel]:
    """Reality, V's reconstruction of it, and what M expected to see now, one step ago."""
    world = reported(agent.env)
    env = make_env(world, render_mode="rgb_array")
    frame, _ = env.reset(seed=config.seed)
    acting, total, returns = agent.begin(config.seed), 0.0, [0.0]
    expected, _ = agent.model.encode(frame[None])
    for step in range(config.max_steps):
        action = acting.act(frame)
        if step % config.every == 0:
            view = env.render()
            yield Panel(
                f"{resolve(world).id}: the real world",
                f"step {step}   return {total:.1f}",
                np.asarray(view, np.uint8),
                (
                    ("what it is shown", frame),
                    ("what V makes of it", agent.model.decode(acting.z)[0]),
                    ("what M expected", agent.model.decode(expected)[0]),
                ),
                action_bars(agent, action),
                acting.z[0].float().cpu().numpy(),
                tuple(returns),
            )
        tensor = torch.from_numpy(action)[None].to(acting.z.device)
        expected, _, _, acting.state = agent.model.step(acting.z, tensor, acting.state, temperature=0.0)
        frame, reward, terminated, truncated, _ = env.step(action)
        total += reward
        returns.append(total)
        if terminated or truncated:
            break
    env.close()


@torch.inference_mode()
def dream_panels(agent: Agent, config: WatchConfig) -> Iterator[Panel]:
    """The agent in its dream: frames decoded from imagined latents, predicted return and probability of the end."""
    dream = Dream(agent.model, config.temperature, config.max_steps, config.starts, agent.spec.features)
    dream.reset([config.seed])
    first, total, returns = agent.model.decode(dream.z)[0], 0.0, [0.0]
    for step in range(config.max_steps):
        action = agent.controller.act(agent.parameters, dream.features())
        if step % config.every == 0:
            frame = agent.model.decode(dream.z)[0]
            likely, _, _, _ = agent.model.step(dream.z, action, dream.state, temperature=0.0)
            yield Panel(
                f"{resolve(agent.env).id}: a dream at temperature {config.temperature:g}",
                f"step {step}   predicted return {total:.1f}",
                frame,
                (
                    ("where it began", first),
                    ("what it dreams", frame),
                    ("likeliest next", agent.model.decode(likely)[0]),
                ),
                action_bars(agent, action[0].cpu().numpy()),
                dream.z[0].float().cpu().numpy(),
                tuple(returns),
                "predicted return",
            )
        reward, terminated, truncated = dream.step(action)
        total += float(reward[0])
        returns.append(total)
        if terminated[0] or truncated[0]:
            break


def watch(agent: Agent, config: WatchConfig, out: Path) -> Path:
    """Write what there is to see as .mp4 or .gif.

    Raises:
        UserError: the suffix is unknown, or the options make no sense.
    """
    episode, fps = panels(agent, config), max(round(50 / config.every), 1)
    steps = -(-config.max_steps // config.every)
    with one_thread(), progress_bar(steps, f"watch ({config.world})", "frame") as bar:

        def frames() -> Iterator[Frame]:
            for panel in episode:
                bar.update()
                yield draw(panel)

        write_video(frames(), out, fps)
    return out


def action_bars(agent: Agent, action: NDArray[np.float32]) -> tuple[Bar, ...]:
    """The action vector with names where they are known."""
    spec: ActionSpec = agent.model.action_spec
    names = NAMES.get(agent.env.id, tuple(f"action {number}" for number in range(spec.size)))
    return tuple(
        Bar(name, float(value), low, high, max(low, 0.0))
        for name, value, low, high in zip(names, action, spec.low, spec.high, strict=True)
    )

"""Episodes as moments: all there is to see of one decision, in the real world or in the agent's dream.

Videos, the window and the live page show the same moments; :func:`panels_of` turns one into the panels that
``agents.viewing.panels`` draws.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import Agent
from agents.viewing.human import Action, action_names
from agents.viewing.panels import Bar, Panel
from rollouts.envs.config import EnvConfig, EnvPreset, Frame
from rollouts.envs.image_env import class_metadata, make_env
from rollouts.envs.presets import reported, resolve
from worldmodels.dream import Dream, StartKind
from worldmodels.dynamics import State
from worldmodels.mixture import Prediction, likeliest, mixture_nll, sample_mixture
from worldmodels.training.randomness import generator_for

USUAL_RATE = 50.0
"""Frames per second of an environment that does not say."""


@dataclass(frozen=True)
class Moment:
    """One decision: what was seen, what was done, and what came of it."""

    title: str
    step: int  #: decisions before this one
    seconds: float  #: how long the action lasts in the world's own time
    views: tuple[Frame, ...]  #: the large pictures from here to the next decision, evenly spaced; may be empty
    tiles: tuple[tuple[str, Frame], ...]  #: captioned small ones; empty where there are no views
    action: Action  #: [A]
    bars: tuple[Bar, ...]
    z: NDArray[np.float32]  #: [Z]
    reward: float
    returns: Sequence[float]  #: return before every decision of the episode; it grows, ``[: step + 1]`` is for now
    surprise: float | None  #: -log likelihood of z under M's forecast, nats per latent; None at the start
    end: float  #: M's probability that the episode ends with this action
    over: str  #: why the episode is over after this action, or ""
    terminated: bool  #: it has ended, other than by its time being up
    curve_name: str = "return"

    @property
    def total(self) -> float:
        """The return before this decision."""
        return self.returns[self.step]


def panels_of(moment: Moment) -> Iterator[Panel]:
    """One panel for each of a moment's views."""
    status = f"step {moment.step}   {moment.curve_name} {moment.total:.1f}"
    curve = tuple(moment.returns[: moment.step + 1])
    for view in moment.views:
        yield Panel(moment.title, status, view, moment.tiles, moment.bars, moment.z, curve, moment.curve_name)


def world_name(env: EnvConfig) -> str:
    """What a world is called wherever people look at it: by the id on which scores are reported."""
    return resolve(reported(env)).id


def frame_rate(env: EnvConfig) -> float:
    """Frames per second of a world, as its class says; :data:`USUAL_RATE` where it does not or is not installed."""
    skipped = dict(resolve(env).kwargs).get("frame_skip", 1)  # ViZDoom's rate is that of its tics, not of its steps
    rate = class_metadata(resolve(env)).get("render_fps")
    if not (isinstance(rate, int | float) and 0 < rate < math.inf):
        rate = USUAL_RATE
    return float(rate) / skipped


def step_seconds(env: EnvConfig) -> float:
    """How long one decision lasts in the world's own time."""
    return resolve(env).action_repeat / frame_rate(env)


class Watched(Protocol):
    """What a real world needs of an environment; ``ImageEnv`` is one."""

    preset: EnvPreset
    between: Callable[[], None] | None

    def reset(self, *, seed: int | None = None) -> tuple[Frame, dict[str, Any]]: ...

    def step(self, action: Action) -> tuple[Frame, float, bool, bool, dict[str, Any]]: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


class RealWorld:
    """The agent in its environment, by default as its authors ship it.

    Args:
        env: another one to act in: a faster twin, or one that plays back what was recorded. It is closed with this.

    Attributes:
        every: draw every so many of the environment's own steps; a viewer may change it between decisions.
        chosen: what the agent would do now.
    """

    def __init__(self, agent: Agent, every: int = 1, env: Watched | None = None) -> None:
        self.agent, self.every = agent, every
        self.env: Watched = make_env(reported(agent.env), render_mode="rgb_array") if env is None else env
        self.repeat, self.seconds = self.env.preset.action_repeat, step_seconds(reported(agent.env))
        self.title = f"{world_name(agent.env)}: the real world"

    @torch.inference_mode()
    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.seed, self.step_count, self.returns = seed, 0, [0.0]
        self.surprise: float | None = None
        self.acting = self.agent.begin(seed)
        self.frame, _ = self.env.reset(seed=seed)
        self.expected, _ = self.agent.model.encode(self.frame[None])
        self.chosen = self.acting.act(self.frame)

    @torch.inference_mode()
    def step(self, action: Action | None = None) -> Moment:
        """Do an action, the agent's own by default."""
        action = self.chosen if action is None else action
        acting, frame, z, expected, surprise = self.acting, self.frame, self.acting.z, self.expected, self.surprise
        elapsed, views = self.step_count * self.repeat, list[Frame]()

        def look() -> None:
            nonlocal elapsed
            if elapsed % self.every == 0:
                views.append(np.asarray(self.env.render(), np.uint8))
            elapsed += 1

        look()
        acting.remember(action)
        foreseen = _forecast(self.agent, acting.state)
        self.expected = likeliest(foreseen.mixture)
        self.env.between = look
        self.frame, reward, terminated, truncated, _ = self.env.step(action)
        self.chosen = acting.act(self.frame)
        self.surprise = _surprise(foreseen, acting.z)
        moment = Moment(
            self.title,
            self.step_count,
            self.seconds,
            tuple(views),
            self._tiles(frame, z, expected) if views else (),
            action,
            action_bars(self.agent, action),
            z[0].float().cpu().numpy(),
            reward,
            self.returns,
            surprise,
            _end(foreseen),
            "The episode has ended." if terminated else "Its time is up." if truncated else "",
            terminated,
        )
        self.step_count += 1
        self.returns.append(moment.total + reward)
        return moment

    def close(self) -> None:
        self.env.close()

    def _tiles(self, frame: Frame, z: Tensor, expected: Tensor) -> tuple[tuple[str, Frame], ...]:
        copy, foreseen = self.agent.model.decode(torch.cat([z, expected]))
        return ("what it sees", frame), ("what V keeps", copy), ("what M expected", foreseen)


class DreamWorld:
    """The agent inside M, decoded by V.

    Where an action lasts several of the environment's steps, the pictures between two dreamed moments are decoded
    from the straight line between their latents.

    Attributes:
        every, chosen: as of :class:`RealWorld`.
        dream: its temperature and horizon may be changed between decisions.
    """

    def __init__(
        self,
        agent: Agent,
        temperature: float = 1.0,
        horizon: int = 1000,
        starts: StartKind = "recorded",
        every: int = 1,
    ) -> None:
        self.agent, self.every = agent, every
        self.dream = Dream(agent.model, temperature, horizon, starts, agent.spec.features)
        self.repeat, self.seconds = resolve(agent.env).action_repeat, step_seconds(agent.env)

    @property
    def title(self) -> str:
        return f"{world_name(self.agent.env)}: a dream at temperature {self.dream.temperature:g}"

    @torch.inference_mode()
    def reset(self, seed: int, start: tuple[Tensor, State] | None = None) -> None:
        """Begin a dream, at one of its own starts or at ``z [1, Z]`` and a memory of M."""
        self.seed, self.step_count, self.returns = seed, 0, [0.0]
        self.surprise: float | None = None
        self.dream.reset([seed])
        self._luck = generator_for(seed, 1)  # of futures that are only shown
        if start is not None:
            self.dream.z, self.dream.state = start
        self.first = self.agent.model.decode(self.dream.z)[0]
        self._choose()

    @torch.inference_mode()
    def step(self, action: Action | None = None) -> Moment:
        """Do an action, the agent's own by default."""
        action = self.chosen if action is None else action
        model, dream, z, surprise = self.agent.model, self.dream, self.dream.z, self.surprise
        title, elapsed = self.title, self.step_count * self.repeat
        reward, terminated, truncated = dream.step(torch.from_numpy(action)[None].to(z.device))
        foreseen = _forecast(self.agent, dream.state)
        self.surprise = _surprise(foreseen, dream.z)
        shares = [i / self.repeat for i in range(self.repeat) if (elapsed + i) % self.every == 0]
        views: tuple[Frame, ...] = ()
        tiles: tuple[tuple[str, Frame], ...] = ()
        if shares:
            following = likeliest(foreseen.mixture), self._another(foreseen)
            likely, other, *pictures = model.decode(
                torch.cat([*following, *(torch.lerp(z, dream.z, share) for share in shares)])
            )
            views = tuple(pictures)
            tiles = ("where it began", self.first), ("likeliest next", likely), ("or perhaps this", other)
        moment = Moment(
            title,
            self.step_count,
            self.seconds,
            views,
            tiles,
            action,
            action_bars(self.agent, action),
            z[0].float().cpu().numpy(),
            float(reward[0]),
            self.returns,
            surprise,
            _end(foreseen),
            "M foresees the end." if terminated[0] else "The horizon is reached." if truncated[0] else "",
            bool(terminated[0]),
            "predicted return",
        )
        self.step_count += 1
        self.returns.append(moment.total + moment.reward)
        self._choose()
        return moment

    def close(self) -> None:
        """Nothing to let go of."""

    def _another(self, foreseen: Prediction) -> Tensor:
        """A next z ``[1, Z]`` that might have come as well."""
        uniform, normal = self.agent.model.noise(1, self._luck)
        return sample_mixture(foreseen.mixture, self.dream.temperature, uniform, normal)

    def _choose(self) -> None:
        self.chosen = self.agent.controller.act(self.agent.parameters, self.dream.features())[0].cpu().numpy()


def side_by_side(real: Moment, other: Moment, caption: str = "the dream of it") -> Moment:
    """Reality and what goes on beside it as one moment: the large picture is real, the other a tile."""
    tiles = (*real.tiles[:2], (caption, other.views[0])) if real.tiles and other.views else real.tiles
    return dataclasses.replace(real, title=f"{real.title}, and {caption}", tiles=tiles)


def action_bars(agent: Agent, action: Action) -> tuple[Bar, ...]:
    """The action vector with names where they are known."""
    spec = agent.model.action_spec
    return tuple(
        Bar(name, float(value), low, high, max(low, 0.0))
        for name, value, low, high in zip(action_names(agent.env, spec), action, spec.low, spec.high, strict=True)
    )


def _forecast(agent: Agent, state: State) -> Prediction:
    """What M says from its memory."""
    return agent.model.mdnrnn.predict(state)


def _surprise(foreseen: Prediction, z: Tensor) -> float:
    return float(mixture_nll(foreseen.mixture, z).mean())


def _end(foreseen: Prediction) -> float:
    return 0.0 if foreseen.termination is None else float(torch.sigmoid(foreseen.termination)[0])

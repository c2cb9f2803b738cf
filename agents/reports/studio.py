"""What weights and recorded episodes show together: worst pictures, dreams beside reality, how honest M's ends are.

Nothing of it is written into the run. Every figure looks at a stated number of held-out episodes, and is left out once
the time for them is used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from agents.agent import Agent
from agents.reports.reading import RunFacts
from agents.viewing.moments import step_seconds
from rollouts.episodes import Episode
from rollouts.errors import UserError
from worldmodels.data.frames import Source, split
from worldmodels.diagnostics import WARM_UP
from worldmodels.dream import Dream
from worldmodels.pictures import to_float, to_uint8
from worldmodels.training.checkpoint import built, load_weights
from worldmodels.training.randomness import generator_for
from worldmodels.vae import FRAME_SIZE, ConvVAE
from worldmodels.world_model import WorldModel

Frames = NDArray[np.uint8]
T = TypeVar("T")
FRAMES = 384  #: held-out frames among which the worst are searched
EPISODES = 12  #: held-out episodes by which M's ends are judged
LONGEST = 1000  #: steps of one of them
FILM = 100  #: steps of a dream beside reality
PATCH = 16  #: side of a patch, in pixels
EDGES = (0.0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  #: of M's probabilities, which are small mostly


@dataclass(frozen=True)
class Worst:
    """What V draws worst."""

    frames: Frames  #: [N, 64, 64, 3] as recorded
    copies: Frames  #: V's pictures of them
    errors: list[float]  #: summed squared error of each
    typical: float  #: the median error of all frames
    patches: Frames  #: [N, 16, 16, 3]
    patch_copies: Frames
    count: int  #: frames among which they are the worst


@dataclass(frozen=True)
class Film:
    """Reality and dreams of it, frame by frame."""

    views: dict[str, Frames]  #: [T, 64, 64, 3] each
    rate: float  #: pictures per second in the world's own time
    seed: int = 0


@dataclass(frozen=True)
class Ends:
    """M's probability that the next step is the last, against what happened."""

    probabilities: NDArray[np.float64]
    ended: NDArray[np.bool_]
    episodes: int


class Studio:
    """Computes figures of a run, as long as there is time.

    Args:
        seconds: for all of them together; a figure that has begun is finished.
    """

    def __init__(self, run: RunFacts, seconds: float) -> None:
        self.run, self._seconds, self._ends = run, seconds, time.monotonic() + seconds

    def tried(self, make: Callable[[], T | None]) -> T | None:
        """A figure; None if there is no time, or if something is missing or damaged, which is noted as a fault."""
        if time.monotonic() > self._ends:
            note = f"Some pictures are left out: {self._seconds:g} s for them were used up. --seconds gives more time."
            self.run.faults += [] if note in self.run.faults else [note]
            return None
        with torch.inference_mode():
            return self.run.tried(make, None)

    def held_out(self, newest: int) -> list[Source]:
        """Held-out episodes of the rounds up to this one, the newest round's first."""
        sources: list[Source] = []
        for number in reversed([round_ for round_ in self.run.rounds if round_ <= newest]):
            store = self.run.run.round(number).episodes
            sources += split([store])[1] if store.files else []
        return sources

    def _episodes(self, newest: int, count: int) -> list[Episode]:
        read = (store.read(file) for store, file in self.held_out(newest)[: 2 * count])
        return [episode for episode in read if episode is not None and self._fits(episode)][:count]

    def _fits(self, episode: Episode) -> bool:
        return episode.observations.shape[1:] == (FRAME_SIZE, FRAME_SIZE, 3)

    def worst(self) -> Worst | None:
        """V's worst held-out pictures, no two of one moment; None without V or episodes."""
        part = self.run.finished("vae")
        episodes = self._episodes(self.run.round, 4) if part is not None else []
        if part is None or not episodes:
            return None
        vae: ConvVAE = built(part.stage, lambda shape: ConvVAE(**shape))
        load_weights(vae, part.stage.weights)
        every = max(sum(len(episode.pictures) for episode in episodes) // FRAMES, 1)
        frames = np.concatenate([episode.pictures for episode in episodes])[::every][:FRAMES]
        copies = to_uint8(torch.cat([vae.decode(vae.encode(to_float(some))[0]) for some in np.array_split(frames, 4)]))
        return worst_of(frames, copies)

    def ends(self) -> Ends | None:
        """M's probabilities of the end at every step of held-out episodes, fed with reality."""
        model, number = self._model()
        if model is None:
            return None
        probabilities, ended, count = [], [], 0
        for episode in self._episodes(number, EPISODES):
            length = min(len(episode), LONGEST)
            z = torch.cat(
                [model.encode(part)[0] for part in np.array_split(episode.observations[:length], 4) if len(part)]
            )
            prediction, _ = model.mdnrnn(z[None], torch.from_numpy(episode.actions[:length])[None])
            if prediction.termination is None:
                return None
            probabilities.append(model.end_probability(prediction)[0].double().numpy())
            ended.append(episode.terminated[:length])
            count += 1
        return Ends(np.concatenate(probabilities), np.concatenate(ended), count) if count else None

    def dreams(self) -> Film | None:
        """A held-out episode, V's picture of it and two dreams of it that get the same actions; without episodes, the
        agent in a dream."""
        model, number = self._model()
        if model is None:
            return None
        episode = next((one for one in self._episodes(number, 3) if len(one) > WARM_UP + 10), None)
        return self._dream_alone(number) if episode is None else self._beside(model, episode)

    def _beside(self, model: WorldModel, episode: Episode) -> Film:
        first = max(min(len(episode) // 3, len(episode) - WARM_UP - FILM - 1), 0)
        last = min(first + WARM_UP + FILM, len(episode.pictures) - 1)
        z = model.encode(episode.observations[first : last + 1])[0]
        actions = torch.from_numpy(episode.actions[first:last])
        state, dreamt, lanes = model.initial_state(2), z[:1].repeat(2, 1), [z[WARM_UP].repeat(2, 1)]
        generator = generator_for(0, 5)
        for step in range(len(actions)):
            dreamt = z[step].repeat(2, 1) if step <= WARM_UP else dreamt
            dreamt, _, _, state = model.step(dreamt, actions[step].repeat(2, 1), state, 1.0, model.noise(2, generator))
            if step >= WARM_UP:
                lanes.append(dreamt)
        dreams = torch.stack(lanes, 1)
        views = {
            "what happened": episode.observations[first + WARM_UP : last + 1],
            "V's picture of it": model.decode(z[WARM_UP:]),
            "M's dream of it": model.decode(dreams[0]),
            "another dream of it": model.decode(dreams[1]),
        }
        return Film(views, self._rate(model), episode.seed)

    def _dream_alone(self, number: int) -> Film | None:
        if (part := self.run.finished("controller")) is None or part.round != number:
            return None
        agent = Agent.from_folder(self.run.folder(number))
        if agent.model.starts is None:
            return None
        lanes = []
        for seed in range(4):
            dream = Dream(agent.model, 1.0, FILM, "recorded", agent.spec.features)
            dream.reset([seed])
            latents = [dream.z]
            for _ in range(FILM):
                dream.step(agent.controller.act(agent.parameters, dream.features()))
                latents.append(dream.z)
            lanes.append(agent.model.decode(torch.cat(latents)))
        return Film({f"dream {number + 1}": frames for number, frames in enumerate(lanes)}, self._rate(agent.model))

    def _rate(self, model: WorldModel) -> float:
        return self.run.tried(lambda: 1 / step_seconds(model.env), 15.0)

    def _model(self) -> tuple[WorldModel | None, int]:
        part, vae = self.run.finished("mdnrnn"), self.run.finished("vae")
        if part is None or vae is None:
            return None, 0
        return WorldModel.from_folder(self.run.folder(part.round), fast=True), part.round


def worst_of(frames: Frames, copies: Frames, count: int = 8, apart: int = 12) -> Worst:
    """The frames ``[N, H, W, 3]`` with the largest errors, none within ``apart`` of another, and the worst patches."""
    squared = ((frames.astype(np.float32) - copies.astype(np.float32)) / 255) ** 2
    errors = squared.sum((1, 2, 3))
    worst = _apart(errors, count, apart)
    maps = torch.from_numpy(squared.sum(-1))[:, None]
    pooled = F.avg_pool2d(maps, PATCH, PATCH // 2)[:, 0]
    best, places = pooled.flatten(1).max(1)
    chosen = _apart(best.numpy(), count, apart)
    corners = [
        (int(places[i]) // pooled.shape[2] * PATCH // 2, int(places[i]) % pooled.shape[2] * PATCH // 2) for i in chosen
    ]
    patches, copied = (
        np.stack([source[i, y : y + PATCH, x : x + PATCH] for i, (y, x) in zip(chosen, corners, strict=True)])
        for source in (frames, copies)
    )
    of_worst = [float(errors[i]) for i in worst]
    return Worst(frames[worst], copies[worst], of_worst, float(np.median(errors)), patches, copied, len(frames))


def _apart(errors: NDArray[np.float32], count: int, apart: int) -> list[int]:
    chosen: list[int] = []
    for index in np.argsort(-errors).tolist():
        if all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
        if len(chosen) == count:
            break
    return chosen


def calibration(
    probabilities: Sequence[float] | NDArray[np.float64], ended: Sequence[bool] | NDArray[np.bool_]
) -> list[tuple[float, float, float, float, int]]:
    """Mean prediction, observed frequency, its 95 % interval (Wilson, 1927), and the number of steps, by
    :data:`EDGES`; empty bins are left out."""
    p, y = np.asarray(probabilities, float), np.asarray(ended, bool)
    bins = np.clip(np.searchsorted(EDGES, p, side="right") - 1, 0, len(EDGES) - 2)
    rows = []
    for number in range(len(EDGES) - 1):
        inside = bins == number
        if count := int(inside.sum()):
            low, high = wilson(int(y[inside].sum()), count)
            rows.append((float(p[inside].mean()), float(y[inside].mean()), low, high, count))
    return rows


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share: ``(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)``."""
    share, extra = hits / count, z * z / count
    middle = share + extra / 2
    reach = z * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return max((middle - reach) / (1 + extra), 0.0), min((middle + reach) / (1 + extra), 1.0)


def require_time(seconds: float) -> None:
    """Refuse a time that is none.

    Raises:
        UserError: it is negative.
    """
    if not seconds >= 0:
        raise UserError(f"--seconds is the time for pictures, at least 0, got {seconds}.")

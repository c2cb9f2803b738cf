"""What a pipeline will take on this machine, from ten seconds of measuring, said before anything long begins."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from agents.fitness import DREAM_LANES_PER_TASK, evaluate_lanes
from agents.lanes import Lanes, RealLanes
from agents.learning.config import ControllerConfig
from agents.learning.experience import Trace
from agents.learning.gate import DREAMS, EPISODES
from agents.learning.learner import Task
from agents.learning.sac import SAC
from agents.networks import NetworkController
from agents.pipeline.sections import Sections
from rollouts.envs.image_env import make_env
from rollouts.envs.presets import reported, resolve
from rollouts.pools.pool import Workers
from worldmodels.configs import MDNRNNConfig, VAEConfig
from worldmodels.fit_vae import losses
from worldmodels.mixture import mixture_nll
from worldmodels.pictures import to_float
from worldmodels.training.precision import Format, autocast, choose
from worldmodels.training.randomness import generator_for
from worldmodels.training.threads import one_thread
from worldmodels.untrained import untrained_world_model
from worldmodels.world_model import WorldModel

FIRST, LATER = 0.5, 0.9  #: share of the longest fitness episode that drivers of the first pass and of a round last
USUAL_LENGTH = 1000  #: decisions of an episode whose environment names no limit
SOME = 30  #: decisions of a first measurement; a second one is three times as long
FILM = 0.12  #: seconds per filmed decision, drawing and encoding


class Cost(NamedTuple):
    """Seconds of one part of the work."""

    part: str
    seconds: float


def estimate(config: Sections, workers: Workers, device: torch.device) -> list[Cost]:
    """Seconds of every part of a pipeline, from a measurement of one step of each kind."""
    model = untrained_world_model(config.env, config.vae, config.mdnrnn, device)
    return list(_costs(config, _Pace(model, config, workers)))


class _Pace:
    """Seconds of single steps on this machine."""

    def __init__(self, model: WorldModel, config: Sections, workers: Workers) -> None:
        self.model, self.config = model, config
        self.vae = copy.deepcopy(model.vae).requires_grad_()
        self.mdnrnn = copy.deepcopy(model.mdnrnn).requires_grad_()
        cores = os.cpu_count() or 1
        self.hands = cores if isinstance(workers, str) else min(max(workers, 1), cores)

    def vae_step(self, options: VAEConfig) -> float:
        """One optimiser step of V."""
        device, vae = self.model.device, self.vae
        frames = np.random.default_rng(0).integers(0, 255, (min(options.batch_size, 64), 64, 64, 3)).astype(np.uint8)
        noise = torch.zeros(len(frames), options.latent_size, device=device)

        def step(precision: Format) -> None:
            losses(vae, to_float(frames, device), noise, options.kl_floor, precision).total.backward()

        precision = choose(options.precision, device, options.steps, step, "V")
        return _seconds(lambda: step(precision)) * options.batch_size / len(frames)

    def mdn_rnn_step(self, options: MDNRNNConfig, longest: int) -> float:
        """One optimiser step of M."""
        model, lanes, length = self.model, options.batch_size, min(options.sequence_length, longest)
        z = torch.zeros(lanes, length, model.latent_size, device=model.device)
        action = torch.zeros(lanes, length, model.action_spec.size, device=model.device)

        def step(precision: Format) -> None:
            with autocast(model.device, precision):
                prediction, _ = self.mdnrnn(z, action)
            mixture_nll(prediction.mixture, z).mean().backward()

        precision = choose(options.precision, model.device, options.steps, step, "M")
        return _seconds(lambda: step(precision))

    def encoded_frame(self) -> float:
        """One frame through V's encoder."""
        frames = np.zeros((64, 64, 64, 3), np.uint8)
        return _seconds(lambda: self.model.encode(frames)) / len(frames)

    def decision(self, options: ControllerConfig) -> float:
        """One decision in fitness, everything that it needs included, on all cores together."""
        if options.world == "dream":
            return self._lanes_step(options.dream(self.model).lanes(), options, DREAM_LANES_PER_TASK)
        return self.real_decision(options)

    def real_decision(self, options: ControllerConfig) -> float:
        """One decision in the real world."""
        return self._lanes_step(
            RealLanes(self.model, self.config.env, options.spec.features, options.spec.latent), options, 8
        )

    def _lanes_step(self, lanes: Lanes, options: ControllerConfig, count: int) -> float:
        controller = options.spec.build(self.model)
        nothing, some = np.zeros((1, controller.parameter_count)), range(count)

        def seconds(steps: int) -> tuple[float, int]:
            start = time.perf_counter()
            outcome = evaluate_lanes(lanes, controller, nothing, some, steps, None, self.model.device)
            return time.perf_counter() - start, int(outcome.lengths.sum())

        with one_thread():
            seconds(1)  # makes the lanes
            (few, fewer), (many, more) = seconds(SOME), seconds(3 * SOME)
        step = max(many - few, 0.1 * many) / max(more - fewer, 1)
        begun = max(few - fewer * step, 0.0) / count
        return (step + begun / (FIRST * options.max_steps)) / self.hands

    def update(self, options: ControllerConfig) -> float:
        """One update of the actor-critic that learns from what it explores."""
        model, spec = self.model, options.controller
        controller = spec.build(model)
        assert isinstance(controller, NetworkController)
        nothing, length = np.zeros(controller.parameter_count), options.sac.steps + 1
        outputs = controller.shapes[-1][0]
        trace = Trace(
            torch.zeros(length + 1, controller.inputs).half(),
            torch.zeros(length, outputs),
            torch.zeros(length),
            terminal=False,
        )
        with TemporaryDirectory() as folder, one_thread():
            alone = replace(options.sac, experience=None)  # nobody has learned anything yet
            learner = SAC(alone, Task(model, spec, controller, nothing, False, 0, Path(folder)))
            learner.replay.add([trace])
            return _seconds(lambda: learner.update(generator_for(0, 0)))

    def stock_decision(self) -> float:
        """One decision in the environment that scores are measured on."""
        env = make_env(reported(self.config.env))
        env.reset(seed=0)
        action = np.zeros(env.action_spec.size, np.float32)
        seconds = _seconds(lambda: env.step(action), 8)
        env.close()
        return seconds / self.hands


def _costs(config: Sections, pace: _Pace) -> Iterator[Cost]:
    whole = resolve(config.env).max_decisions or USUAL_LENGTH
    vae, mdnrnn, rounds = config.vae, config.mdnrnn, config.iterate
    later_vae, later_mdnrnn = VAEConfig.of(vae, rounds.vae), MDNRNNConfig.of(mdnrnn, rounds.mdnrnn)
    real = pace.real_decision(config.controller)
    frames = config.collect.episodes * min(config.collect.max_steps, whole)
    refits = min(rounds.refit_vae, rounds.rounds)
    later_frames = rounds.episodes * min(rounds.max_steps, whole)
    yield Cost("collect", (frames + rounds.rounds * later_frames) * real)
    vae_seconds = vae.steps * pace.vae_step(vae)
    if refits:
        vae_seconds += refits * later_vae.steps * pace.vae_step(later_vae)
    yield Cost("V", vae_seconds)
    encoded = frames + sum(frames + k * later_frames for k in range(1, refits + 1)) + rounds.rounds * later_frames
    seconds = encoded * pace.encoded_frame() + mdnrnn.steps * pace.mdn_rnn_step(mdnrnn, whole)
    if rounds.rounds:
        seconds += rounds.rounds * later_mdnrnn.steps * pace.mdn_rnn_step(later_mdnrnn, whole)
    yield Cost("M", seconds)
    yield Cost("C", _evolution(config.controller, pace, FIRST, whole, real))
    if rounds.rounds:
        yield Cost("C again", rounds.rounds * _evolution(rounds.controller, pace, LATER, whole, real))
    stock = config.evaluate.episodes * whole * pace.stock_decision()
    filmed = min(-(-config.watch.max_steps // resolve(config.env).action_repeat), whole)
    yield Cost("score and films", stock + 2 * FILM * filmed)


def _evolution(options: ControllerConfig, pace: _Pace, share: float, whole: int, real: float) -> float:
    before = (options.teaching, options.imitation) if options.taught else ()
    lessons = sum(_evolution(lesson, pace, share, whole, real) for lesson in before)
    validations = options.generations // options.validation_every * options.validation_episodes
    steps = min(options.max_steps, whole) if options.world == "real" else options.max_steps
    decisions = options.generations * options.options.decisions(steps) * share
    updates = max(options.generations * options.sac.least_updates, decisions * options.sac.updates)
    learning = updates * pace.update(options) if options.learner == "sac" else 0.0
    looked = options.gate if options.world == "dream" and options.learner == "evolution" else 0
    decisions += looked * DREAMS * steps
    real_decisions = validations * whole + looked * EPISODES * whole
    return lessons + decisions * pace.decision(options) + learning + real_decisions * real


def _seconds(step: Callable[[], object], repeats: int = 3) -> float:
    """The median of some, after one to warm up."""
    step()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return float(np.median(times))

"""Fit M: learn what comes next, from what V sees and what was done."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rollouts.console import say, size
from rollouts.envs.image_env import make_env
from rollouts.envs.trust import recorded_env
from rollouts.episodes import EpisodeStore
from rollouts.errors import UserError
from rollouts.runs.files import file_hash, write_json
from rollouts.runs.layout import Run
from rollouts.runs.options import config_to_dict
from rollouts.runs.stage import Stage
from worldmodels.configs import MDNRNNConfig
from worldmodels.cores import make_dynamics
from worldmodels.data.frames import split
from worldmodels.data.latents import LatentWindows, Windows, encode_sources
from worldmodels.data.lineage import require_transitions, require_vae
from worldmodels.data.stream import LatentStream
from worldmodels.diagnostics import captioned, diagnose, dream_strip
from worldmodels.dynamics import Dynamics, State, dropout_mask, take
from worldmodels.following import Bootstrap, Noise, draw_noise, follow
from worldmodels.mixture import Prediction, mixture_entropy, mixture_nll
from worldmodels.pictures import save_png
from worldmodels.starts import DreamStarts
from worldmodels.training.checkpoint import built, load_state, load_weights, save_tensors
from worldmodels.training.distributed import Ranks
from worldmodels.training.loop import MetricsLog, Stateful, train
from worldmodels.training.optimiser import Descent
from worldmodels.training.precision import Format, autocast, settle
from worldmodels.training.randomness import generator_for
from worldmodels.vae import ConvVAE
from worldmodels.value import fit_value
from worldmodels.world_model import WorldModel

HEADS = ("reward_head", "termination_head", "fall_head")


def mdn_rnn_loss(
    prediction: Prediction,
    windows: Windows,
    config: MDNRNNConfig,
    reward_scale: float,
    joint: Windows | None = None,
) -> dict[str, Tensor]:
    """The loss and its terms over the steps that count.

    ``loss = NLL(z[t+1]) per dimension + w_r ((r - r_hat) / s)^2 / 2 + w_d BCE(terminated) + w_f BCE(fallen)``. The
    latents' term is averaged over dimensions, as the paper's: a sum over 32 of them would drown the single termination
    bit. It leaves out black last pictures (``windows.pictured``), whose steps count for the other terms. With a
    ``reward_pessimism`` of p the head learns the 1 / (1 + p) expectile of the reward instead of its mean.

    Args:
        joint: the batch that ``windows`` are a part of, if not the whole; the terms of all parts add up to its own.
    """
    joint = windows if joint is None else joint
    weight = windows.counts / joint.counts.sum().clamp(min=1)
    pictured = windows.counts * windows.pictured / (joint.counts * joint.pictured).sum().clamp(min=1)
    terms = {"z_nll_per_dim": (mixture_nll(prediction.mixture, windows.z[:, 1:]).mean(-1) * pictured).sum()}
    loss = terms["z_nll_per_dim"]
    if prediction.reward is not None:
        error = (prediction.reward - windows.rewards) / reward_scale
        error = torch.where(error > 0, config.reward_pessimism**0.5 * error, error)
        terms["reward_error"] = (0.5 * error.square() * weight).sum()
        loss = loss + config.reward_weight * terms["reward_error"]
    if prediction.termination is not None:
        cross_entropy = F.binary_cross_entropy_with_logits(
            prediction.termination,
            windows.terminated,
            reduction="none",
            pos_weight=windows.z.new_full((), config.death_weight),  # not a copy, which would wait for the device
        )
        terms["termination_nats"] = (cross_entropy * weight).sum()
        loss = loss + config.termination_weight * terms["termination_nats"]
    if prediction.fall is not None:
        fallen = (windows.falls > 0).float()
        nats = F.binary_cross_entropy_with_logits(prediction.fall, fallen, reduction="none")
        terms["fall_nats"] = (nats * weight).sum()
        loss = loss + config.fall_weight * terms["fall_nats"]
    return {"loss": loss, **terms}


def fit_mdn_rnn(
    config: MDNRNNConfig,
    run: Path,
    stores: Sequence[EpisodeStore],
    device: torch.device,
    start_from: Path | None = None,
    cache: Path | None = None,
) -> Path:
    """Fit M on latent episodes and write ``run/mdnrnn``: weights, dream starts, diagnostics and pictures.

    Dreams start from the episodes of the last store: where the newest agent goes.

    Args:
        start_from: weights to continue from, for a refit on more data; heads that they lack begin at random.
        cache: where latent episodes are kept; ``run/latents`` if None.

    Raises:
        UserError: V is missing, data and V do not belong together, or the loss is no longer a number.
    """
    config.check()
    vae_stage, inputs = require_vae(run, stores)
    require_transitions(stores, config.reward_head)
    if start_from is not None:
        inputs["start_from"] = file_hash(start_from)
    sources = split(stores)
    ranks = Ranks.here()
    own = ranks.part(config.batch_size)
    stage = ranks.open(Run(run).mdnrnn, config, inputs)
    weights = stage.weights
    if stage.complete and weights.exists():
        return weights

    env = recorded_env(Run.of(stores[0]).rollouts.manifest)
    action_spec = make_env(env).action_spec
    vae = built(vae_stage, lambda shape: ConvVAE(**shape))
    load_weights(vae, vae_stage.weights)
    vae = vae.on(device).eval()
    with ranks.leader_first():
        training, held_out = (
            encode_sources(vae, inputs["vae"], part, (cache or Run(run).latents) / name, device)
            for part, name in zip(sources, ("training", "held_out"), strict=True)
        )
    architecture = config.architecture(vae.latent_size, action_spec.size)
    torch.manual_seed(config.seed)
    mdnrnn = make_dynamics(architecture)
    if start_from is not None:
        load_weights(mdnrnn, start_from, may_lack=HEADS)
    model = WorldModel(vae, mdnrnn.to(device), env, action_spec, inputs["observation_hash"])

    def report(step: int, log: MetricsLog) -> None:
        log.held_out(step, measures(diagnose(model, held_out, quick=True)))
        log.picture(step, "dream", captioned(dream_strip(model, held_out, stores)))

    if config.fall_head and (silent := [e.file for e in training if e.watched is None]):
        raise UserError(
            f"--mdnrnn.fall-head: {len(silent)} of {len(training)} episodes were recorded without a watched variable "
            f"({silent[0]} is one); collect them with --env.watch KEY."
        )
    _train(config, stage, mdnrnn, LatentWindows(training, device, config.reward_spread), own, report)
    if ranks.leads:
        mdnrnn.load_state_dict(load_state(stage.state, device)["mdnrnn"])
        facts = diagnose(model, held_out)
        if config.value:
            value, facts["value_r2"] = fit_value(mdnrnn, training, held_out or training, config.value)
            save_tensors(value.tensors(), stage.value)
        write_json(stage.diagnostics, facts)
        save_png(captioned(dream_strip(model, held_out, stores)), stage.picture("dream"))
        newest = [episode for episode in training if episode.file.parent == stores[-1].path] or training
        starts = DreamStarts.gather(mdnrnn, newest, config.starts, config.seed, config.bad_starts)
        save_tensors(starts.tensors(), stage.starts)
        save_tensors(mdnrnn.state_dict(), weights)
        stage.finish(
            observation_hash=inputs["observation_hash"],
            vae=inputs["vae"],
            weights=file_hash(weights),
            architecture=architecture,
            death_weight=config.death_weight,
            env=config_to_dict(env),
            action_spec=asdict(action_spec),
        )
        _tell(facts, stage)
    ranks.wait()
    return weights


def _train(
    config: MDNRNNConfig,
    stage: Stage,
    mdnrnn: Dynamics,
    data: LatentWindows,
    own: slice,
    report: Callable[[int, MetricsLog], None],
) -> None:
    """Minimise M's loss; ``own`` is this process's part of every batch."""
    ranks, length = Ranks.here(), min(config.sequence_length, int(data.lengths.max()))
    say(
        f"M: {len(data.lengths)} episodes, {data.steps:,} steps, {size(data.steps * 4.0 * mdnrnn.latent_size)} "
        f"resident; {config.steps:,} steps of {config.batch_size} windows of {length}."
    )
    mdnrnn.train()  # cuDNN's LSTM has no gradients otherwise
    descent = Descent(config, mdnrnn.parameters(), config.gradient_clip)
    reward_scale = max(float(data.rewards.std()), 1e-3)
    parts: dict[str, Stateful] = {"mdnrnn": mdnrnn, "optimiser": descent.optimiser}
    stream: LatentStream | None = None
    if config.carry_state:
        stream = LatentStream(data, length, mdnrnn.initial_state(config.batch_size), config.seed)
        parts["stream"] = stream

    trial = copy.deepcopy(mdnrnn)

    def one_step(precision: Format) -> None:
        windows = data.sample(config.batch_size, length, 0, generator_for(config.seed, 0))
        with autocast(data.device, precision):
            prediction, _ = trial(windows.z[:, :-1], windows.actions)
        mdn_rnn_loss(prediction, windows, config, reward_scale)["loss"].backward()

    precision = settle(stage, config.precision, data.device, config.steps, one_step, "M, a batch of windows")

    bootstrap = Bootstrap(mdnrnn.members, len(data.lengths), config.seed, data.device)
    free = min(config.free_running, length - 1)

    def update(step: int) -> Mapping[str, Tensor]:
        generator, dropout = generator_for(config.seed, step), None
        state: State | None = None
        noise: Noise | None = None
        if stream is None:
            joint = data.sample(config.batch_size, length, config.burn_in, generator)
        else:
            joint, memory = stream.windows(generator)
            state = take(memory, own)
        if config.dropout:
            masks = dropout_mask((config.batch_size, config.hidden_size), config.dropout, generator)
            dropout = masks[own].to(data.device)
        if free:
            noise = draw_noise(free, joint, own, generator)
        windows = joint.part(own)
        with autocast(data.device, precision):
            outputs, after = follow(mdnrnn, windows, state, dropout, noise)
            predictions = mdnrnn.each(outputs)
        if stream is not None:
            stream.advance({name: ranks.join(part.float(), config.batch_size) for name, part in after.items()})
        if mdnrnn.members == 1:
            terms = mdn_rnn_loss(predictions[0], windows, config, reward_scale, joint)
        else:
            parts_of_it = [
                mdn_rnn_loss(said, bootstrap.of(windows, m), config, reward_scale, bootstrap.of(joint, m))
                for m, said in enumerate(predictions)
            ]
            terms = {name: torch.stack([part[name] for part in parts_of_it]).mean() for name in parts_of_it[0]}
        descent.step(step, terms["loss"])
        entropy = torch.stack([mixture_entropy(said.mixture.logits).mean() for said in predictions]).mean()
        return {**terms, "mixture_entropy": entropy * (len(windows.z) / len(joint.z))}

    train(
        stage,
        parts,
        update,
        config.steps,
        config.log_every,
        config.checkpoint_every,
        report,
        headline=("z_nll_per_dim", "reward_error" if config.reward_head else "loss"),
    )


def measures(facts: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers of a nested report that are no counts, with their paths as names."""
    flat: dict[str, float] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat.update(measures(value, f"{prefix}{name}/"))
        elif isinstance(value, float):
            flat[prefix + name] = value
    return flat


def _tell(facts: Mapping[str, Any], stage: Stage) -> None:
    r2 = facts["window_return"]["teacher_forced_r2"]
    recall, alarms = facts["termination"]["recall"], facts["termination"]["false_alarm_rate"]
    say(
        f"M: held-out latents {facts['z_nll_per_dim']:.3f} nats per dimension"
        + ("" if r2 is None else f"; return over {facts['window_return']['window']} steps predicted with R² {r2:.2f}")
        + ("" if recall is None else f"; {recall:.0%} of ends foreseen")
        + ("" if alarms is None else f"; {alarms:.2%} false alarms")
        + "".join(
            f"; {name}s: {counts['expected']:.1f} expected, {counts['happened']} happened"
            for name, counts in facts["calibration"].items()
        )
        + f". Look at {stage.picture('dream')}"
    )

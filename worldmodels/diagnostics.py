"""Does M know its world? Measured on episodes it has never seen, fed with reality and running free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rollouts.episodes import EpisodeStore
from worldmodels.data.latents import LatentEpisode, LatentWindows
from worldmodels.mixture import mixture_entropy, mixture_nll
from worldmodels.pictures import GAP, grid, to_float, to_uint8, with_captions
from worldmodels.training.randomness import generator_for

if TYPE_CHECKING:
    from worldmodels.world_model import WorldModel

WINDOW = 50  #: steps over which predicted and actual return are compared
WARM_UP = 20  #: real steps before M runs free
DREAMS = 8  #: free runs from every moment; their average is what M expects, without the noise of one sample
HORIZONS = (1, 2, 5, 10, 20, 50)
EDGES = (0.001, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8)  #: of the ranges of probabilities whose calibration is shown
STRIP_ROWS = ("what happened", "V's picture of it", "M's dream of it")
STRIP_HORIZONS = (0, 5, 10, 15, 20, 25, 30, 40, 50)


@torch.inference_mode()
def diagnose(model: WorldModel, episodes: Sequence[LatentEpisode], quick: bool = False) -> dict[str, Any]:
    """All figures about M on held-out episodes; ``quick`` looks at fewer of them.

    Returns:
        ``z_nll_per_dim`` and ``mixture_entropy`` (teacher-forced, nats); ``open_loop``: root mean squared
        difference, by horizon, between the latents that M expects and V's means of what came, beside that of a picture
        that stands still; ``window_return``: R² of predicted against actual return, never the spread one, fed with
        reality and running free (0 is as good as a constant); ``termination``: recall of deaths and false alarms at
        p > 0.5; ``calibration``: of the end and of falls of a watched variable, as far as M foresees them, what
        :func:`reliability` says.
    """
    episodes = episodes[:8] if quick else episodes[:256]
    nll, entropy, foreseen, alarms, ends, others = [], [], 0, 0, 0, 0
    predicted, actual = [], []
    chances: dict[str, list[tuple[NDArray[np.float32], NDArray[np.bool_]]]] = {}
    for number, episode in enumerate(episodes):
        data = LatentWindows([episode], model.device)
        zero = torch.zeros(1, dtype=torch.long)
        windows = data.window(zero, zero, len(episode), 0, generator_for(1, number))
        prediction, _ = model.mdnrnn(windows.z[:, :-1], windows.actions)
        nats = mixture_nll(prediction.mixture, windows.z[:, 1:]).mean(-1)
        nll.append(float((nats * windows.pictured).sum() / windows.pictured.sum().clamp(min=1)) * len(episode))
        entropy.append(float(mixture_entropy(prediction.mixture.logits).mean()) * len(episode))
        if prediction.termination is not None:
            alarm = (prediction.termination[0] > 0).cpu().numpy()
            foreseen += int((alarm & episode.terminated).sum())
            alarms += int((alarm & ~episode.terminated).sum())
            ends += int(episode.terminated.sum())
            others += int((~episode.terminated).sum())
            chance = model.end_probability(prediction)[0].cpu().numpy()
            chances.setdefault("end", []).append((chance, episode.terminated))
        if prediction.fall is not None:
            chance = torch.sigmoid(prediction.fall)[0].cpu().numpy()
            chances.setdefault("fall", []).append((chance, windows.falls[0].cpu().numpy() > 0))
        if prediction.reward is not None:
            predicted += window_sums(prediction.reward[0].cpu().numpy())
            actual += window_sums(episode.rewards)
    steps = sum(len(episode) for episode in episodes)
    free = _run_free(model, episodes)
    return {
        "episodes": len(episodes),
        "steps": steps,
        "z_nll_per_dim": sum(nll) / steps,
        "mixture_entropy": sum(entropy) / steps,
        "open_loop": free["open_loop"],
        "window_return": {
            "window": WINDOW,
            "windows": len(actual),
            "teacher_forced_r2": r_squared(predicted, actual),
            "free_running_windows": len(free["actual"]),
            "free_running_r2": r_squared(free["predicted"], free["actual"]),
        },
        "termination": {
            "ends": ends,
            "recall": foreseen / ends if ends else None,
            "false_alarm_rate": alarms / others if others else None,
        },
        "calibration": {
            name: reliability(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            for name, parts in chances.items()
        },
    }


def reliability(chances: NDArray[np.float32], happened: NDArray[np.bool_]) -> dict[str, Any]:
    """Whether what is foreseen with a probability happens as often: the sums of both, and a curve.

    Returns:
        ``expected`` and ``happened``, over all steps; ``curve``: for each range of probabilities between
        :data:`EDGES` how many steps there were, the mean probability and the frequency; ``nats``: the mean
        cross-entropy, beside ``constant_nats``, that of the best constant.
    """
    place, curve = np.digitize(chances, EDGES), []
    for number, (low, high) in enumerate(zip((0.0, *EDGES), (*EDGES, 1.0), strict=True)):
        inside = place == number
        if inside.any():
            said, came = float(chances[inside].mean()), float(happened[inside].mean())
            curve.append({"from": low, "to": high, "steps": int(inside.sum()), "foreseen": said, "happened": came})
    p, rate = np.clip(chances.astype(float), 1e-7, 1 - 1e-7), float(happened.mean())
    return {
        "expected": float(chances.sum(dtype=float)),
        "happened": int(happened.sum()),
        "nats": float(-np.where(happened, np.log(p), np.log(1 - p)).mean()),
        "constant_nats": float(-sum(q * np.log(q) for q in (rate, 1 - rate) if q > 0)),
        "curve": curve,
    }


def window_sums(rewards: NDArray[np.float32]) -> list[float]:
    """Sums over consecutive windows of :data:`WINDOW` steps; a shorter rest is left out unless it is all there is."""
    if len(rewards) < WINDOW:
        return [float(rewards.sum())]
    whole = len(rewards) // WINDOW * WINDOW
    return [float(total) for total in rewards[:whole].reshape(-1, WINDOW).sum(1)]


def r_squared(predicted: Sequence[float], actual: Sequence[float]) -> float | None:
    """``1 - sum (y - y_hat)^2 / sum (y - mean y)^2``: 1 is perfect, 0 no better than the best constant, below is worse.

    None when there is nothing to explain.
    """
    y, y_hat = np.array(actual, float), np.array(predicted, float)
    variation = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    return 1.0 - float(((y - y_hat) ** 2).sum()) / variation if variation > 0 else None


def _run_free(model: WorldModel, episodes: Sequence[LatentEpisode]) -> dict[str, Any]:
    """Warm M up with reality, then let it run on its own predictions with the actions that were really done."""
    places = [
        (e, start)
        for e, episode in enumerate(episodes)
        for start in range(0, len(episode) - episode.blank_end - WARM_UP - WINDOW + 1, 2 * WINDOW)
    ][:256]
    if not places:
        return {"open_loop": {}, "predicted": [], "actual": []}
    data = LatentWindows(episodes, model.device)
    episode, start = (torch.tensor(column) for column in zip(*places, strict=True))
    first_frame = (data.first_frame[episode] + start).to(model.device)
    observed = data.mean[first_frame[:, None] + torch.arange(WARM_UP + WINDOW + 1, device=model.device)].float()
    lanes = len(places) * DREAMS
    windows = data.window(episode.repeat(DREAMS), start.repeat(DREAMS), WARM_UP + WINDOW, 0, generator_for(2, 0))
    generator, state, z = generator_for(3, 0), model.initial_state(lanes), windows.z[:, 0]
    total, open_loop = torch.zeros(lanes, device=model.device), dict[str, dict[str, float]]()
    for t in range(WARM_UP + WINDOW):
        z = windows.z[:, t] if t <= WARM_UP else z
        z, reward, _, state = model.step(z, windows.actions[:, t], state, noise=model.noise(lanes, generator))
        if t >= WARM_UP:
            total += reward
            if (horizon := t + 1 - WARM_UP) in HORIZONS:
                mixture = model.mdnrnn.predict(state).mixture
                expected = (mixture.logits.softmax(-1) * mixture.mean).sum(-1).unflatten(0, (DREAMS, -1)).mean(0)
                open_loop[str(horizon)] = {
                    "error": _rms(expected - observed[:, t + 1]),
                    "standing_still": _rms(observed[:, WARM_UP] - observed[:, t + 1]),
                }
    total = total.unflatten(0, (DREAMS, -1)).mean(0)
    actual = [float(episodes[e].rewards[begin + WARM_UP :][:WINDOW].sum()) for e, begin in places]
    return {"open_loop": open_loop, "predicted": total.tolist(), "actual": actual}


def _rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


@torch.inference_mode()
def dream_strip(
    model: WorldModel, episodes: Sequence[LatentEpisode], stores: Sequence[EpisodeStore], temperature: float = 1.0
) -> NDArray[np.uint8]:
    """A picture in three rows: what happened, V's reconstruction of it, and M's free-running dream of it.

    The dream is warmed up with reality, then gets only the actions; columns are 0, 5, 10 ... 50 steps later.
    """
    episode = max(episodes, key=lambda e: float(e.rewards.sum()) if len(e) > WARM_UP + WINDOW else -np.inf)
    horizon = min(WINDOW, max(len(episode) - WARM_UP, 1))
    warm = min(WARM_UP, len(episode) - 1)
    first = max((len(episode) - warm - horizon) // 3, 0)
    store = next(store for store in stores if store.path == episode.file.parent)
    real = store.load(episode.file).observations[first : first + warm + horizon + 1]
    z_real = torch.as_tensor(episode.mean[first : first + warm + horizon + 1]).float().to(model.device)
    actions = torch.as_tensor(episode.actions[first : first + warm + horizon]).to(model.device)
    state, z, dreamed, generator = model.initial_state(1), z_real[:1], [z_real[warm : warm + 1]], generator_for(4, 0)
    for t in range(len(actions)):
        z = z_real[t : t + 1] if t <= warm else z
        z, _, _, state = model.step(z, actions[t : t + 1], state, temperature, model.noise(1, generator))
        if t >= warm:
            dreamed.append(z)
    columns = [h for h in STRIP_HORIZONS if h <= horizon and h < len(dreamed)]
    reality = real[[warm + h for h in columns]]
    copies = to_uint8(model.vae.decode(model.vae.encode(to_float(reality, model.device))[0]))
    dream = model.decode(torch.cat([dreamed[h] for h in columns]))
    return grid(np.concatenate([reality, copies, dream]), len(columns))


def captioned(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A strip of :func:`dream_strip`, enlarged, with names of its rows and how much later each column is."""
    side = strip.shape[0] // len(STRIP_ROWS)
    horizons = STRIP_HORIZONS[: (strip.shape[1] - GAP) // side]
    later = ("from here", *(f"{horizon} later" for horizon in horizons[1:]))
    return with_captions(strip, STRIP_ROWS, later)

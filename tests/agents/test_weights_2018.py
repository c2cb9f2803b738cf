"""The published layout, against its arithmetic written out in NumPy in TensorFlow's own order of axes."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from agents import Agent, weights_2018
from agents.weights_2018 import CAR, DOOM, Experiment, import_weights, is_published
from rollouts import UserError, make_env
from rollouts.envs.pixels_2018 import shrink
from rollouts.runs.stage import Stage

KERNELS = [(4, 4, 3, 32), (4, 4, 32, 64), (4, 4, 64, 128), (4, 4, 128, 256)]
TRANSPOSED = [(5, 5, 128, 1024), (5, 5, 64, 128), (6, 6, 32, 64), (6, 6, 3, 32)]


def write(folder: Path, experiment: Experiment, filled: bool = True) -> dict[str, list[np.ndarray]]:
    """Files as the authors' code writes them, with random weights; gives the weights.

    Args:
        filled: or V's and M's files, the large ones, stay empty.
    """
    rng = np.random.default_rng(experiment.latents)
    z, hidden, actions = experiment.latents, experiment.hidden, experiment.actions

    def pair(*shape: int, outputs: int | None = None) -> list[np.ndarray]:
        inputs = np.prod(shape) // max(shape[-1], 1)
        kernel = np.round(rng.normal(0, 10_000 / np.sqrt(inputs), shape))
        return [kernel, np.round(rng.normal(0, 500, outputs or shape[-1]))]

    vae: list[np.ndarray] = []
    for shape in KERNELS:
        vae += pair(*shape)
    for shape in ((1024, z), (1024, z), (z, 1024)):
        vae += pair(*shape)
    for shape in TRANSPOSED:
        vae += pair(*shape, outputs=shape[2])
    inputs = z + actions + experiment.ends
    lstm, head = pair(inputs + hidden, 4 * hidden), pair(hidden, 15 * z + experiment.ends)
    rnn = lstm + head if experiment.ends else head + lstm
    count = (z + hidden * (len(experiment.spec.features) - 1)) * actions + (actions if experiment.spec.bias else 0)
    c = np.round(rng.normal(0, 0.1, count), 4)
    for name, content in (("vae/vae.json", vae), ("rnn/rnn.json", rnn)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps([array.astype(int).tolist() for array in content]) if filled else "")
    (folder / "log").mkdir()
    (folder / "log" / "game.cma.16.64.best.json").write_text(json.dumps([c.tolist(), 900.46]))
    (folder / "log" / "game.cma.16.64.hist_best.json").write_text("[]")
    first = np.round(rng.normal(0, 5000, (2, 3, z)))
    (folder / "initial_z.json").write_text(json.dumps(first.astype(int).tolist()))
    return {"vae": [a / 1e4 for a in vae], "rnn": [a / 1e4 for a in rnn], "c": [c], "first": list(first / 1e4)}


@pytest.fixture(scope="module")
def car_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[np.ndarray]]]:
    """CarRacing's folder, and what is in it."""
    folder = tmp_path_factory.mktemp("carracing")
    weights = write(folder, CAR)
    assert is_published(folder)
    return folder, weights


@pytest.fixture(scope="module", params=[CAR, DOOM], ids=["car", "doom"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """The experiment, the weights, and the agent; CarRacing's come out of files, Take Cover's are spared that."""
    run = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        if request.param is CAR:
            folder, weights = request.getfixturevalue("car_files")
        else:
            folder = tmp_path_factory.mktemp("doomrnn")
            weights = write(folder, DOOM, filled=False)
            content = {"vae.json": weights["vae"], "rnn.json": weights["rnn"], "initial_z.json": weights["first"]}
            patch.setattr(weights_2018, "_arrays", lambda file: content[file.name])
        import_weights(folder, run)
    return request.param, weights, Agent.load(run)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Stride 2, no padding: ``[H, W, in]`` and ``[h, w, in, out]`` to ``[H', W', out]``."""
    side = kernel.shape[0]
    patches = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(0, 1))[::2, ::2]
    return np.einsum("yxihw,hwio->yxo", patches, kernel, optimize=True) + bias


def deconvolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The gradient of :func:`convolved`: ``[H, W, in]`` and ``[h, w, out, in]``; every pixel paints a patch."""
    side, count = kernel.shape[0], len(x)
    out = np.zeros((2 * (count - 1) + side, 2 * (count - 1) + side, kernel.shape[2])) + bias
    for row in range(count):
        for column in range(count):
            out[2 * row : 2 * row + side, 2 * column : 2 * column + side] += kernel @ x[row, column]
    return out


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(weights: list[np.ndarray], x: np.ndarray, c: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """TensorFlow's LSTM cell: gates input, candidate, forget, output."""
    kernel, bias = weights
    i, j, f, o = np.split(np.concatenate([x, h]) @ kernel + bias, 4)
    c = c * sigmoid(f + 1.0) + sigmoid(i) * np.tanh(j)
    return c, np.tanh(c) * sigmoid(o)


def test_v_sees_and_draws_as_theirs(published):
    experiment, weights, agent = published
    arrays, rng = weights["vae"], np.random.default_rng(0)
    frame = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    x = frame / 255.0
    for number in range(4):
        x = relu(convolved(x, *arrays[2 * number : 2 * number + 2]))
    mean, logvar = agent.model.encode(frame[None])
    np.testing.assert_allclose(mean[0], x.reshape(-1) @ arrays[8] + arrays[9], atol=1e-3)
    np.testing.assert_allclose(logvar[0], x.reshape(-1) @ arrays[10] + arrays[11], atol=1e-3)
    z = rng.normal(size=experiment.latents)
    y = (z @ arrays[12] + arrays[13]).reshape(1, 1, 1024)
    for number in range(7, 11):
        y = deconvolved(y, *arrays[2 * number : 2 * number + 2])
        y = relu(y) if number < 10 else sigmoid(y)
    drawn = agent.model.vae.decode(torch.tensor(z[None], dtype=torch.float32))[0].permute(1, 2, 0)
    np.testing.assert_allclose(drawn.detach(), y, atol=1e-4)


def test_m_remembers_and_foresees_as_theirs(published):
    experiment, weights, agent = published
    rng = np.random.default_rng(1)
    head, lstm = weights["rnn"][:2], weights["rnn"][2:]
    if experiment.ends:
        head, lstm = lstm, head
    c = h = np.zeros(experiment.hidden)
    state = agent.model.initial_state(1)
    for moment in range(3):
        z, a = rng.normal(size=experiment.latents), rng.uniform(-1, 1, experiment.actions)
        flag = [float(moment == 0)] if experiment.ends else []
        c, h = step(lstm, np.concatenate([z, a, flag]), c, h)
        tensors = [torch.tensor(value[None], dtype=torch.float32) for value in (z, a)]
        state = agent.model.remember(*tensors, state)
        np.testing.assert_allclose(state["h"][0], h, atol=1e-5)
        np.testing.assert_allclose(state["c"][0], c, atol=1e-5)
    output = h @ head[0] + head[1]
    with torch.inference_mode():
        foreseen = agent.model.mdnrnn.predict(state)
    if experiment.ends:
        assert foreseen.termination[0].item() == pytest.approx(output[0], abs=1e-4)
        output = output[1:]
    for part, theirs in zip(foreseen.mixture, np.split(output.reshape(-1, 15), 3, axis=1), strict=True):
        np.testing.assert_allclose(part[0].detach(), theirs, atol=1e-4)


def test_c_acts_as_theirs(published):
    experiment, weights, agent = published
    (parameters,), rng = weights["c"], np.random.default_rng(2)
    features = rng.normal(size=agent.controller.inputs)
    ours = agent.controller.act(agent.parameters, torch.tensor(features[None], dtype=torch.float32))[0].numpy()
    if experiment is CAR:
        a = np.tanh(features @ parameters[3:].reshape(-1, 3) + parameters[:3])
        theirs = [a[0], (a[1] + 1) / 2, np.clip(a[2], 0, 1)]
    else:
        theirs = np.tanh(features @ parameters.reshape(-1, 1))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_agent_has_their_sizes_world_and_dream_starts(published):
    experiment, weights, agent = published
    parameters = sum(part.numel() for part in agent.model.vae.parameters())
    assert parameters == {32: 4_348_547, 64: 4_446_915}[experiment.latents]
    assert agent.model.mdnrnn.trainable_parameters == {32: 422_368, 64: 1_678_785}[experiment.latents]
    assert len(agent.parameters) == {32: 867, 64: 1088}[experiment.latents]
    assert agent.env.id == experiment.world
    np.testing.assert_allclose(agent.model.starts.mean, weights["first"][0], atol=1e-3)
    assert not agent.model.starts.warm.any()


def test_it_drives(published):
    experiment, _, agent = published
    if experiment is DOOM:
        pytest.importorskip("vizdoom", reason="ViZDoom is not installed: pip install -e '.[doom]'")
    env = make_env(agent.env)
    assert env.screen == {32: (96, 96), 64: (480, 640)}[experiment.latents]
    frame, _ = env.reset(seed=0)
    acting = agent.begin(0)
    for _ in range(3):
        action = acting.act(frame)
        acting.remember(action)
        frame, *_ = env.step(action)
    env.close()
    assert agent.model.observation_hash == env.preset.observation_hash


def test_pictures_are_stretched_averaged_and_one_too_low():
    frame = np.full((84, 96, 3), 100, np.uint8)
    frame[:42] = 50
    small = shrink(frame, 64)
    assert np.unique(small[[0, 63]]).tolist() == [254, 255]  # 0 and 255, minus 1 modulo 256
    assert (shrink(np.full((84, 96, 3), 9, np.uint8), 64) == 255).all()  # nothing to stretch: black


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: (folder / "rnn/rnn.json").unlink(), "holds no rnn.json"),
        (lambda folder: (folder / "vae/vae.json").write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / "vae/vae.json").write_text("[[1, [2]]]"), "something else than lists of numbers"),
        (lambda folder: (folder / "vae/vae.json").write_text("[1, 2]"), "neither CarRacing's V"),
        (lambda folder: (folder / "rnn/rnn.json").write_text("[[1], [2], [3], [4]]"), "not of the published layout"),
        (lambda folder: (folder / "log/game.cma.16.64.best.json").write_text("[[1, 2]]"), "has 2 parameters; 867"),
        (lambda folder: (folder / "log/game.cma.16.64.best.json").write_text("[null]"), "parameters"),
        (lambda folder: (folder / "initial_z.json").write_text("[[1]]"), "does not hold means"),
    ],
)
def test_files_of_another_layout_are_refused_by_name(
    break_it, message, car_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    published_car, _ = car_files
    vae, read = published_car / "vae/vae.json", weights_2018._arrays
    v = cached(vae)
    monkeypatch.setattr(  # four million numbers take two seconds to read
        weights_2018, "_arrays", lambda file: v if file.stat().st_size == vae.stat().st_size else read(file)
    )
    for file in published_car.rglob("*.json"):
        copy = tmp_path / "copy" / file.relative_to(published_car)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    break_it(tmp_path / "copy")
    with pytest.raises(UserError, match=message) as error:
        import_weights(tmp_path / "copy", tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not Stage(tmp_path / "run", "controller").complete


@lru_cache
def cached(file: Path) -> list[np.ndarray]:
    return weights_2018._arrays(file)

"""What the page computes is what PyTorch computes, on the same inputs and the same noise."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agents import Agent
from agents.controller import ControllerSpec
from agents.export_page import describe_agent, write_page
from agents.networks import NetworkSpec
from agents.viewing.human import Driver
from rollouts.envs.actions import Pedal
from rollouts.envs.presets import resolve
from tests.agents.export_page.conftest import CHOICE, WIDE, Compute, MakeAgent, Released
from worldmodels.dream import END_PROBABILITY, join_features
from worldmodels.vae import reparameterise

STEPS = 30
#: A dream of the page, with all that went into it and all that came of it.
DREAM = """(() => {
  const dream = new Dream(MODEL), moments = [], count = MODEL.latents;
  dream.temperature = %(temperature)s;
  dream.reset(%(seed)d, %(start)s);
  const first = [...dream.noise.normals(0, STREAM.latent, count)], began = dream.start, picture = [...dream.paint()];
  const z = [...dream.z];
  for (let step = 1; step <= %(steps)d; step++) {
    const action = [...dream.chosen];
    const uniform = [...dream.noise.uniforms(step, STREAM.component, count)];
    const normal = [...dream.noise.normals(step, STREAM.place, count)];
    const { reward, end } = dream.step();
    moments.push({ action, uniform, normal, reward, end, z: [...dream.z], h: [...dream.memory.h], over: dream.over,
                total: dream.total });
  }
  return { first, began, z, picture, moments };
})()"""


@dataclass
class Dreamt:
    """The same dream by PyTorch."""

    z: NDArray[np.float32]
    picture: NDArray[np.float32]
    moments: list[dict[str, Any]]


@torch.inference_mode()
def dream_in_pytorch(agent: Agent, page: dict[str, Any], start: int, temperature: float) -> Dreamt:
    """Replay a dream of the page with the noise it used, but with PyTorch's own memory, z and actions throughout."""
    model, starts = agent.model, agent.model.starts
    assert starts is not None
    row = slice(start, start + 1)
    z = reparameterise(starts.mean[row], starts.logvar[row], torch.tensor([page["first"]]))
    state = starts[row].state
    picture = model.vae.decode(z)[0].permute(1, 2, 0).reshape(-1).numpy()
    began, moments, total = z[0].numpy(), [], 0.0
    action = torch.zeros(1, model.action_spec.size)
    for step in page["moments"]:
        features = join_features(z, model.outputs(state), agent.spec.features, action)
        action = agent.controller.act(agent.parameters, features)
        noise = (torch.tensor([step["uniform"]]), torch.tensor([step["normal"]]))
        z, reward, end, state = model.step(z, action, state, temperature, noise)
        total += float(reward)
        over = "end" if float(end) > END_PROBABILITY else ""
        moments.append(
            {"action": action[0].numpy(), "z": z[0].numpy(), "h": state["h"][0].numpy(), "reward": float(reward)}
            | {"end": float(end), "over": over, "total": total}
        )
    return Dreamt(began, picture, moments)


CAR = resolve("carracing").action
assert CAR is not None
AGENTS: dict[str, dict[str, Any]] = {
    "sees z alone, no heads": {"spec": ControllerSpec("z"), "reward_head": False, "termination_head": False},
    "sees all, no bias, several actions": {"spec": ControllerSpec("zch", bias=False), "action_spec": WIDE},
    "hidden layer, a choice, odd sizes": {
        **{"spec": ControllerSpec("zh", hidden=5), "action_spec": CHOICE},
        **{"latent_size": 7, "hidden_size": 11, "mixtures": 1},
    },
    "a pedal, standardised features, the previous action": {
        "spec": ControllerSpec("zha", standardised=True),
        "action_spec": replace(CAR, pedals=(Pedal(positive=1, negative=2, offset=0.5, slack=0.15, creep=0.06),)),
    },
    "a network, scaled": {"spec": NetworkSpec(layers=(6, 5), output="scale"), "action_spec": WIDE},
    "a network, clipped": {
        "spec": NetworkSpec("z", layers=(6,), activation="tanh", output="clip"),
        "action_spec": WIDE,
    },
    "Take Cover's M": {"start_flag": True, "reward_head": False, "ends": 1.0},
}


def page_of(agent: Agent, folder: Path) -> Path:
    write_page(describe_agent(agent, starts=8), folder / "page")
    return folder / "page"


def start_of(agent: Agent, page: dict[str, Any]) -> int:
    """The row, among all the agent's starts, of the one that the page began at."""
    assert agent.model.starts is not None
    mean = agent.model.starts.mean
    distance, chosen = (mean - mean[0]).square().sum(1), [0]
    for _ in range(page["began"]):  # farthest first, as the page's are
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (mean - mean[chosen[-1]]).square().sum(1))
    return chosen[-1]


@pytest.mark.parametrize("kind", AGENTS)
def test_a_dream_is_pytorchs(kind: str, make_agent: MakeAgent, tmp_path: Path, in_engine: Compute):
    agent = make_agent(**AGENTS[kind])
    folder = page_of(agent, tmp_path)
    start = "MODEL.starts.warm.indexOf(false)" if agent.model.mdnrnn.start_flag else 0
    page = in_engine(folder, DREAM % {"temperature": 1.15, "seed": 7, "start": start, "steps": STEPS})
    agree(page, dream_in_pytorch(agent, page, start_of(agent, page), 1.15))


@pytest.mark.parametrize("temperature", [0.0, 3.0])
def test_temperatures_are_pytorchs(temperature: float, make_agent: MakeAgent, tmp_path: Path, in_engine: Compute):
    agent = make_agent()
    page = in_engine(
        page_of(agent, tmp_path), DREAM % {"temperature": temperature, "seed": 3, "start": "null", "steps": STEPS}
    )
    agree(page, dream_in_pytorch(agent, page, start_of(agent, page), temperature))


@pytest.mark.parametrize(("name", "engine"), [("carracing", "in_chromium"), ("takecover", "in_engine")])
def test_released_agents_dream_as_in_pytorch(
    name: str, engine: str, released: Released, request: pytest.FixtureRequest
):
    compute: Compute = request.getfixturevalue(engine)
    agent, folder = released(name).agent, released(name).folder
    page = compute(folder, DREAM % {"temperature": 1.0, "seed": 11, "start": 1, "steps": STEPS})
    agree(page, dream_in_pytorch(agent, page, start_of(agent, page), 1.0), 3e-4)


def agree(page: dict[str, Any], pytorch: Dreamt, tolerance: float = 1e-4) -> None:
    """Both dreams are one, to single precision and what a dream makes of its last digits."""
    np.testing.assert_allclose(page["z"], pytorch.z, atol=1e-6)
    np.testing.assert_allclose(page["picture"], pytorch.picture, atol=1e-5)
    for ours, theirs in zip(page["moments"], pytorch.moments, strict=True):
        for name in ("action", "z", "h", "reward", "end", "total"):
            np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, rtol=tolerance, err_msg=name)
        assert ours["over"] == theirs["over"]


def test_the_end_is_foreseen(make_agent: MakeAgent, tmp_path: Path, in_engine: Compute):
    agent = make_agent(ends=60.0)
    page = in_engine(page_of(agent, tmp_path), DREAM % {"temperature": 1.0, "seed": 1, "start": "null", "steps": 50})
    over, foreseen = zip(*((step["over"], step["end"] > END_PROBABILITY) for step in page["moments"]), strict=True)
    assert {True, False} == set(foreseen)
    last = [""] * 49 + ["time"]  # toy's episodes have 50 steps
    assert list(over) == ["end" if end else usual for end, usual in zip(foreseen, last, strict=True)]


def test_without_simd_every_bit_is_the_same(exported: Path, in_engine: Compute):
    same = """(() => {
      const one = new Dream(MODEL, new Arena(bytesOf(MODEL.kernel))), other = new Dream(MODEL, new Arena(null));
      const equal = (a, b) => a.length === b.length && a.every((value, index) => Object.is(value, b[index]));
      const pairs = [];
      for (const dream of [one, other]) dream.reset(5);
      for (let step = 0; step < 5; step++) {
        one.step(); other.step();
        pairs.push(equal(one.z, other.z), equal(one.memory.h, other.memory.h), equal(one.paint(), other.paint()));
      }
      return [one.arena.kernel !== null, other.arena.kernel === null, ...pairs];
    })()"""
    assert all(in_engine(exported, same))


def test_an_address_is_the_same_dream_to_the_last_bit_in_every_engine(
    exported: Path, in_engine: Compute, in_chromium: Compute
):
    digits = """[42, 42, 43].map((seed) => {
      const dream = new Dream(MODEL);
      dream.temperature = 1.3;
      dream.reset(seed);
      for (let step = 0; step < 40; step++) dream.step();
      return [...dream.z, ...dream.memory.h, dream.total];
    })"""
    first, again, other = in_engine(exported, digits)
    assert first == again != other
    assert in_chromium(exported, digits) == [first, again, other]


def mixed(x: int) -> int:
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ x >> shift) * factor % 2**32
    return x ^ x >> 16


def uniform(seed: int, step: int, stream: int, place: int) -> float:
    row = mixed((mixed((seed + 0x9E3779B9) % 2**32) + step * 0x9E3779B1) % 2**32)
    column = mixed(row ^ (stream + 1) * 0x85EBCA6B % 2**32)
    return (mixed((column + place * 0xC2B2AE35) % 2**32) >> 8) / 2**24


def test_addresses_stay_valid(exported: Path, in_engine: Compute):
    """The noise is what it was when the first address was shared."""
    addresses = [(0, 0, 0, 0), (7, 1, 2, 3), (2**32 - 1, 999, 3, 64), (123456, 50, 1, 31)]
    result = in_engine(exported, f"{[list(one) for one in addresses]}.map(([s, ...at]) => new Noise(s).uniform(...at))")
    assert result == [uniform(*one) for one in addresses]
    pairs = [(uniform(5, 2, 3, 2 * place), uniform(5, 2, 3, 2 * place + 1)) for place in range(8)]
    normal = [np.sqrt(-2 * np.log(1 - a)) * np.cos(2 * np.pi * b) for a, b in pairs]
    np.testing.assert_allclose(in_engine(exported, "[...new Noise(5).normals(2, 3, 8)]"), normal, rtol=1e-6)


def test_exp_log_and_their_kin(exported: Path, in_engine: Compute):
    rng = np.random.default_rng(0)
    x, turns = np.concatenate([rng.normal(0, 20, 400), [0, 1e-9, -1e-5, 700, -700]]), rng.random(400)
    result = in_engine(
        exported,
        f"(() => {{ const x = {x.tolist()}, turns = {turns.tolist()}; return ["
        "x.map(exp), x.map((v) => log(Math.abs(v) + 1e-30)), x.map(tanh), x.map(sigmoid), "
        "turns.map(cosineOfTurns)]; })()",
    )
    with np.errstate(over="ignore"):
        truth = [np.exp(x), np.log(np.abs(x) + 1e-30), np.tanh(x), 1 / (1 + np.exp(-x)), np.cos(2 * np.pi * turns)]
    for ours, theirs in zip(result, truth, strict=True):
        np.testing.assert_allclose(np.array(ours, float), theirs, rtol=1e-11, atol=1e-13)
    assert in_engine(exported, "[exp(-1e9), exp(-Infinity), String(exp(1e9)), String(exp(NaN)), exp(0)]") == [
        0, 0, "Infinity", "NaN", 1,
    ]  # fmt: skip


def test_noise_is_uniform_normal_and_independent(exported: Path, in_engine: Compute):
    draw = """(() => { const noise = new Noise(%d), steps = [...Array(200).keys()];
      const drawn = (draw) => steps.map((step) => [...draw(step)]);
      return [drawn((step) => noise.uniforms(step, 2, 32)), drawn((step) => noise.normals(step, 3, 32))];
    })()"""
    uniform, normal = (np.array(values) for values in in_engine(exported, draw % 1))
    assert 0 <= uniform.min() < uniform.max() < 1
    empirical = np.sort(uniform.ravel())
    assert np.abs(empirical - np.linspace(0, 1, empirical.size)).max() < 1.63 / np.sqrt(empirical.size)  # KS, 1 %
    assert abs(normal.mean()) < 4 / np.sqrt(normal.size)
    assert abs(normal.var() - 1) < 4 * np.sqrt(2 / normal.size)
    assert abs((normal**4).mean() - 3) < 4 * np.sqrt(96 / normal.size)
    for values in (uniform - 0.5, normal):
        for shifted in (values[1:] * values[:-1], values[:, 1:] * values[:, :-1]):  # neighbours in time and in place
            assert abs(shifted.mean()) < 4 * values.var() / np.sqrt(shifted.size)
    assert abs(((uniform - 0.5) * normal).mean()) < 4 * np.sqrt(1 / 12 / normal.size)
    other, _ = (np.array(values) for values in in_engine(exported, draw % 2))
    assert abs(((uniform - 0.5) * (other - 0.5)).mean()) < 4 / 12 / np.sqrt(uniform.size)


@pytest.mark.parametrize("spec", [WIDE, CHOICE])
def test_keys_drive_as_in_python(spec: Any, make_agent: MakeAgent, tmp_path: Path, in_engine: Compute):
    agent = make_agent(action_spec=spec)
    driver = Driver(agent.env, spec)
    held = [[], ["3", "2"], ["right"], ["right"], ["right", "left"], ["up"], ["2"], ["left", "down"], []]
    held += [["3", "right"], ["down"]]
    agents = np.random.default_rng(0).uniform(0, 1, (len(held), spec.size)).astype(np.float32)
    expected = []
    for keys, action in zip(held, agents, strict=True):
        driver.held = frozenset(keys)
        expected.append([bool(driver.drives), driver.act(action, 0.08).tolist()])
    result = in_engine(
        page_of(agent, tmp_path),
        f"(() => {{ const driver = new Driver(MODEL.action), agents = {agents.tolist()};"
        f"return {json.dumps(held)}.map((keys, step) => {{ driver.held = new Set(keys);"
        "return [driver.drives, [...driver.act(Float32Array.from(agents[step]), 0.08)]]; }); })()",
    )
    assert [drives for drives, _ in result] == [drives for drives, _ in expected]
    np.testing.assert_allclose([a for _, a in result], [a for _, a in expected], atol=1e-6)

"""Moments: what is seen, done and expected at every decision, in both worlds."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from agents import Agent
from agents.controller import ControllerSpec
from agents.viewing.moments import (
    USUAL_RATE,
    DreamWorld,
    RealWorld,
    frame_rate,
    panels_of,
    side_by_side,
    step_seconds,
    world_name,
)
from agents.viewing.watch import WatchConfig, panels
from rollouts import EnvConfig, make_env
from worldmodels.mixture import mixture_nll
from worldmodels.world_model import WorldModel


@pytest.fixture
def agent(make_model, tmp_path) -> Agent:
    return controlled(make_model(), tmp_path)


def controlled(model: WorldModel, folder, repeat: int | None = None) -> Agent:
    """An agent with random weights that sees only the mean of z, so that its episodes hold no chance but the seed's."""
    spec = ControllerSpec("zh", latent="mean")
    controller = spec.build(model)
    generator = torch.Generator().manual_seed(1)
    parameters = 0.1 * torch.randn(controller.parameter_count, generator=generator)
    return Agent(folder, model, spec, controller, parameters, EnvConfig("toy", action_repeat=repeat))


def test_the_real_world_is_the_environment_itself(agent: Agent):
    world, env = RealWorld(agent), make_env("toy", render_mode="rgb_array")
    world.reset(5)
    frame, _ = env.reset(seed=5)
    total = 0.0
    for step in range(6):
        picture = env.render()
        moment = world.step()
        assert (moment.step, moment.total) == (step, pytest.approx(total))
        assert np.array_equal(moment.views[0], picture)
        assert np.array_equal(moment.tiles[0][1], frame)
        mean, _ = agent.model.encode(frame[None])
        assert np.allclose(moment.z, mean[0], atol=1e-5)
        frame, reward, *_ = env.step(moment.action)
        assert moment.reward == pytest.approx(reward)
        total += reward


@torch.inference_mode()
def test_surprise_is_what_m_gave_to_what_came(agent: Agent):
    world, model = RealWorld(agent), agent.model
    world.reset(2)
    moments = [world.step() for _ in range(4)]
    assert moments[0].surprise is None
    state, z = model.initial_state(1), torch.tensor(moments[0].z)[None]
    for before, after in pairwise(moments):
        state = model.remember(z, torch.from_numpy(before.action)[None], state)
        z = torch.tensor(after.z)[None]
        expected = float(mixture_nll(model.mdnrnn.predict(state).mixture, z).mean())
        assert after.surprise == pytest.approx(expected, abs=1e-4)


def test_an_action_of_ones_own_is_done(agent: Agent):
    for world in (RealWorld(agent), DreamWorld(agent)):
        world.reset(1)
        own = np.array([0.25], np.float32)
        assert not np.array_equal(world.chosen, own)
        assert world.step(own).action == own


def test_a_dream_is_the_same_for_the_same_seed_and_wilder_at_a_higher_temperature(agent: Agent):
    def path(seed: int, temperature: float) -> np.ndarray:
        world = DreamWorld(agent, temperature)
        world.reset(seed)
        return np.stack([world.step().z for _ in range(12)])

    assert np.array_equal(path(3, 1.0), path(3, 1.0))
    assert not np.array_equal(path(3, 1.0), path(4, 1.0))
    spread = {tau: np.diff(path(3, tau), axis=0).std() for tau in (0.1, 1.0, 2.5)}
    assert spread[0.1] < spread[1.0] < spread[2.5]


def test_a_dream_shows_what_else_might_come(agent: Agent):
    """Another draw of the same forecast: at temperature 0 there is no other, and above it there is."""
    for temperature, same in ((0.0, True), (2.0, False)):
        world = DreamWorld(agent, temperature)
        world.reset(1)
        tiles = dict(world.step().tiles)
        assert np.array_equal(tiles["likeliest next"], tiles["or perhaps this"]) == same


def test_a_dream_begins_where_it_is_told(agent: Agent):
    real, dream = RealWorld(agent), DreamWorld(agent)
    real.reset(0)
    for _ in range(3):
        real.step()
    dream.reset(0, (real.acting.z, real.acting.state))
    assert np.array_equal(dream.step().z, real.acting.z[0].numpy())


def test_dreams_end_at_their_horizon_and_where_m_foresees_it(make_model, tmp_path):
    calm = DreamWorld(controlled(make_model(), tmp_path), horizon=3)
    calm.reset(0)
    assert [calm.step().over for _ in range(3)] == ["", "", "The horizon is reached."]
    deadly = DreamWorld(controlled(make_model(ends=60.0), tmp_path))
    for seed in range(8):
        deadly.reset(seed)
        moments = [deadly.step() for _ in range(60)]
        last = next((moment for moment in moments if moment.over), None)
        if last is not None:
            assert (last.over, last.terminated) == ("M foresees the end.", True)
            assert last.end > 0.5
            return
    pytest.fail("no dream ended")


@pytest.mark.parametrize("every", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", [RealWorld, DreamWorld])
def test_all_frames_of_a_repeated_action_are_shown_or_every_nth(kind, every: int, make_model, tmp_path):
    agent = controlled(make_model(), tmp_path, repeat=4)
    world = kind(agent, every=every)
    assert world.seconds == pytest.approx(4 / 20)
    world.reset(3)
    moments = [world.step() for _ in range(3)]
    assert [len(moment.views) for moment in moments] == [
        sum(frame % every == 0 for frame in range(4 * n, 4 * n + 4)) for n in range(3)
    ]
    assert all(bool(moment.tiles) == bool(moment.views) for moment in moments)


def test_the_frames_between_decisions_are_the_environments_own(make_model, tmp_path):
    world, env = RealWorld(controlled(make_model(), tmp_path, repeat=3)), make_env("toy", render_mode="rgb_array")
    world.reset(3)
    env.reset(seed=3)
    for _ in range(2):
        moment = world.step()
        for view in moment.views:
            assert np.array_equal(view, env.render())
            env.step(moment.action)


def test_videos_of_repeated_actions_keep_the_worlds_speed(make_model, tmp_path):
    agent = controlled(make_model(), tmp_path, repeat=4)
    config = WatchConfig(max_steps=10, every=2)
    assert config.fps(agent) == 10.0
    assert len(list(panels(agent, config))) == 6  # three decisions of four steps
    assert len(list(panels(agent, dataclasses.replace(config, world="dream")))) == 6


def test_rates_are_the_environments_own_where_it_says():
    assert frame_rate(EnvConfig("toy")) == 20
    assert frame_rate(EnvConfig("carracing-fast")) == frame_rate(EnvConfig("carracing")) == 50
    assert frame_rate(EnvConfig("Nowhere-v0")) == USUAL_RATE
    assert step_seconds(EnvConfig("carracing", action_repeat=4)) == pytest.approx(0.08)


def test_a_world_of_vizdoom_has_its_own_rate_before_anything_has_registered_it():
    pytest.importorskip("vizdoom")
    ask = "from agents.viewing.moments import *; print(frame_rate(EnvConfig('takecover')))"
    output = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=120, check=True)
    assert float(output.stdout) == 35.0
    assert frame_rate(EnvConfig("takecover", kwargs={"frame_skip": "4"})) == 35 / 4


def test_both_worlds_have_one_name(make_model, tmp_path):
    agent = dataclasses.replace(controlled(make_model(), tmp_path), env=EnvConfig("carracing-fast"))
    assert world_name(agent.env) == world_name(EnvConfig("carracing")) == "CarRacing-v3"
    toy = controlled(make_model(), tmp_path)
    assert RealWorld(toy).title.split(":")[0] == DreamWorld(toy).title.split(":")[0]


def test_side_by_side_shows_the_dream_among_the_tiles(agent: Agent):
    real, dream = RealWorld(agent), DreamWorld(agent)
    real.reset(0)
    dream.reset(0, (real.acting.z, real.acting.state))
    one, other = real.step(), dream.step()
    both = side_by_side(one, other)
    assert np.array_equal(both.tiles[2][1], other.views[0])
    assert side_by_side(one, other, "a ghost").title.endswith(", and a ghost")
    assert np.array_equal(next(panels_of(both)).view, one.views[0])

"""M fed with its own samples while it learns, and several members that learn from different episodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from rollouts import UserError
from tests.faults.helpers import fit_whole_and_in_parts
from worldmodels import MDNRNN, WorldModel
from worldmodels.configs import MDNRNNConfig
from worldmodels.cores import make_dynamics
from worldmodels.data.latents import Windows
from worldmodels.dream import Dream
from worldmodels.dynamics import Dynamics
from worldmodels.following import Bootstrap, draw_noise, follow
from worldmodels.mixture import Mixture, Prediction, mixture_nll, sample_mixture, together

CPU = torch.device("cpu")
CORES = ["lstm", "transformer"]


def windows_of(lanes: int = 3, steps: int = 9) -> Windows:
    generator = torch.Generator().manual_seed(0)
    shapes = ((lanes, steps + 1, 4), (lanes, steps, 2))
    z, actions = (torch.randn(shape, generator=generator) for shape in shapes)
    ones = torch.ones(lanes, steps)
    return Windows(z, actions, ones, ones, ones, ones, torch.arange(lanes))


def dynamics_of(core: str, **options: int) -> Dynamics:
    torch.manual_seed(0)
    return make_dynamics(MDNRNNConfig(core=core, hidden_size=16, mixtures=3, **options).architecture(4, 2))


@pytest.mark.parametrize("core", CORES)
@torch.no_grad()
def test_the_last_steps_are_those_of_a_dream_and_the_memory_that_of_reality(core: str):
    dynamics, windows = dynamics_of(core), windows_of()
    noise = draw_noise(4, windows, slice(None), torch.Generator().manual_seed(1))
    plain, last = follow(dynamics, windows, None)
    outputs, carried = follow(dynamics, windows, None, noise=noise)
    assert outputs.shape == plain.shape == (3, 9, 16)
    torch.testing.assert_close(outputs[:, :5], plain[:, :5])
    torch.testing.assert_close(carried, last)
    _, state = dynamics(windows.z[:, :5], windows.actions[:, :5])
    for step in range(4):
        z = sample_mixture(dynamics.predict(state).mixture, 1.0, noise[0][step], noise[1][step])
        state = dynamics.advance(z, windows.actions[:, 5 + step], state)
        torch.testing.assert_close(outputs[:, 5 + step], dynamics.outputs(state)["h"], atol=1e-5, rtol=1e-5)
    assert (outputs[:, 5:] - plain[:, 5:]).abs().max() > 1e-3


@pytest.mark.parametrize("core", CORES)
def test_what_is_seen_in_the_free_steps_is_not_looked_at_and_they_are_learnt_from(core: str):
    dynamics, windows = dynamics_of(core), windows_of()
    noise = draw_noise(4, windows, slice(None), torch.Generator().manual_seed(1))
    other = windows.z.clone()
    other[:, 5:] = 9.0
    masks = torch.ones(3, 16)
    outputs, _ = follow(dynamics, windows, None, masks, noise)
    torch.testing.assert_close(outputs, follow(dynamics, dataclasses.replace(windows, z=other), None, None, noise)[0])
    reward = dynamics.heads(outputs).reward
    assert reward is not None
    reward[:, -1].sum().backward()
    gradients = [p.grad for name, p in dynamics.named_parameters() if "head" not in name and p.requires_grad]
    assert sum(float(g.abs().sum()) for g in gradients if g is not None) > 0


@torch.no_grad()
def test_parts_of_a_batch_get_their_parts_of_the_noise():
    windows = windows_of(5)
    whole = draw_noise(2, windows, slice(None), torch.Generator().manual_seed(1))
    part = draw_noise(2, windows, slice(1, 3), torch.Generator().manual_seed(1))
    torch.testing.assert_close(part, tuple(noise[:, 1:3] for noise in whole))


def test_every_member_has_a_choice_of_episodes_of_its_own():
    bootstrap = Bootstrap(3, 5000, seed=0, device=CPU)
    assert bootstrap.weights.mean(1) == pytest.approx(torch.ones(3), abs=0.05)
    assert bootstrap.weights.var(1) == pytest.approx(torch.ones(3), abs=0.08)
    assert torch.corrcoef(bootstrap.weights).fill_diagonal_(0).abs().max() < 0.05
    assert torch.equal(bootstrap.weights, Bootstrap(3, 5000, seed=0, device=CPU).weights)
    windows = dataclasses.replace(windows_of(), episode=torch.tensor([7, 7, 9]))
    counts = bootstrap.of(windows, 1).counts
    assert counts[:, 0].tolist() == [float(bootstrap.weights[1, e]) for e in (7, 7, 9)]


def test_together_is_the_mixture_of_what_all_say():
    torch.manual_seed(0)
    ends = torch.tensor([-1.0, 3.0, 0.5, -1.0, 3.0, 0.5])
    members = [Prediction(Mixture(*torch.randn(3, 6, 4, 5)), torch.full((6,), float(m)), m * ends) for m in (1, 2)]
    joint, target = together(members), torch.randn(6, 4)
    likelihoods = torch.stack([torch.exp(-mixture_nll(one.mixture, target)) for one in members])
    torch.testing.assert_close(mixture_nll(joint.mixture, target), -likelihoods.mean(0).log())
    assert joint.reward is not None
    assert joint.termination is not None
    assert joint.reward.tolist() == [1.5] * 6
    torch.testing.assert_close(torch.sigmoid(joint.termination), (torch.sigmoid(ends) + torch.sigmoid(2 * ends)) / 2)


@pytest.mark.parametrize("core", CORES)
@torch.no_grad()
def test_every_lane_hears_the_member_it_follows(core: str):
    dynamics = dynamics_of(core, members=3, fall_head=True)
    state = dynamics(windows_of(8).z[:, :-1], windows_of(8).actions)[1]
    member = torch.tensor([0, 1, 2, 2, 1, 0, 1, 1])
    said, alone = dynamics.predict(state, None, member), dynamics.each(dynamics.outputs(state)["h"])
    for lane, number in enumerate(member.tolist()):
        one = alone[number]
        pairs = zip((*said.mixture, *said[1:]), (*one.mixture, *one[1:]), strict=True)
        for heard, own in pairs:
            torch.testing.assert_close(heard[lane], own[lane], atol=1e-6, rtol=1e-5)


def test_one_member_is_the_m_of_before():
    """Files of before have one head of each kind, and a dream of one member draws no other luck."""
    torch.manual_seed(0)
    one = MDNRNN(4, 2, 16, 3)
    many = MDNRNN(4, 2, 16, 3, members=2)
    assert {name: tuple(p.shape) for name, p in one.state_dict().items() if "head" in name} == {
        "mixture_head.weight": (36, 16),
        "mixture_head.bias": (36,),
        "reward_head.weight": (1, 16),
        "reward_head.bias": (1,),
        "termination_head.weight": (1, 16),
        "termination_head.bias": (1,),
    }
    assert many.mixture_head.out_features == 72


def test_lanes_follow_the_member_of_their_seed(make_model):
    model = make_model(members=2)
    dream = Dream(model, starts="episode")
    dream.reset([10, 11, 12, 13], copies=2)
    assert dream.member.tolist() == [0, 1, 0, 1] * 2
    dream.step(torch.zeros(8, 1))
    dream.keep(torch.tensor([1, 2]))
    assert dream.member.tolist() == [1, 0]
    plain = Dream(make_model(), starts="episode")
    plain.reset([0, 1])
    assert plain.member is None
    dream.reset(range(40))
    dream.restart(torch.ones(40, dtype=torch.bool))
    assert 5 < int(dream.member.sum()) < 35
    assert torch.isfinite(dream.step(torch.zeros(40, 1))[0]).all()


def test_members_and_free_steps_train_and_resume_bit_for_bit(tiny_run: Path, tmp_path: Path):
    config = MDNRNNConfig(
        hidden_size=8,
        mixtures=2,
        members=3,
        free_running=3,
        steps=14,
        batch_size=8,
        sequence_length=8,
        dropout=0.1,
        carry_state=True,
        starts=8,
        log_every=3,
        checkpoint_every=6,
    )
    run = fit_whole_and_in_parts(config, tiny_run, tmp_path, ("worldmodels.fit_mdn_rnn.follow", 10))
    model = WorldModel.load(run)
    assert model.mdnrnn.members == 3
    first, second, _ = model.mdnrnn.reward_head.weight  # type: ignore[union-attr]
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("free", [-1, 8])
def test_free_steps_leave_one_to_begin_from(free: int):
    with pytest.raises(UserError, match=r"--mdnrnn\.free-running (must|cannot)"):
        MDNRNNConfig(sequence_length=8, free_running=free).check()

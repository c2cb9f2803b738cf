"""Penalties against closed forms, and the well-known wrong versions shown to fail the same checks."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from worldmodels.generative.networks.dcgan import dcgan_critic
from worldmodels.generative.networks.perceptrons import mlp
from worldmodels.generative.objectives import penalties
from worldmodels.generative.objectives.losses import wasserstein_critic

W = torch.tensor([3.0, 4.0])


# GP-1: a linear critic has the penalty (||w|| - 1)^2 whatever the data.


def check_linear_critic(penalty) -> None:
    """On points and on images of 1 and 3 channels, for several batch sizes."""
    torch.manual_seed(0)
    for batch in (1, 2, 7):
        real, fake = torch.randn(batch, 2), torch.randn(batch, 2)
        value = penalty(lambda x: x @ W, real, fake, torch.rand(batch))
        assert value.item() == pytest.approx(16, rel=1e-5)
        for channels in (1, 3):
            w = torch.randn(channels, 4, 4)
            real, fake = torch.randn(2, batch, channels, 4, 4).unbind()
            value = penalty(lambda x, w=w: (x * w).sum((1, 2, 3)), real, fake, torch.rand(batch))
            assert value.item() == pytest.approx((w.norm().item() - 1) ** 2, rel=1e-4)


def check_quadratic_critic(penalty, draw) -> None:
    """GP-2: f = ||x||^2 / 2 from 0 to v: E_u (u ||v|| - 1)^2 = ||v||^2 / 3 - ||v|| + 1 for u ~ U(0, 1)."""
    torch.manual_seed(1)
    v = torch.tensor([1.5, 2.0])
    fake = v.expand(100_000, 2)
    value = penalty(lambda x: 0.5 * x.square().sum(1), torch.zeros_like(fake), fake, draw(len(fake)))
    assert value.item() == pytest.approx(6.25 / 3 - 2.5 + 1, abs=0.01)


def wrong(norm=None, mix=None):
    """A gradient penalty with one of its steps replaced."""

    def penalty(score, real, fake, alpha):
        x = (mix or penalties.interpolate)(real, fake, alpha).detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(x).sum(), x, create_graph=True)
        norms = norm(gradient) if norm else gradient.flatten(1).norm(dim=1)
        return (norms - 1).square().mean()

    return penalty


def per_pixel(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    u = torch.rand_like(real)
    return u * real + (1 - u) * fake


def test_gradient_penalty_of_a_linear_critic():
    check_linear_critic(penalties.gradient_penalty)
    check_linear_critic(wrong())  # the mutable copy itself is right


@pytest.mark.parametrize("norm", [lambda g: g.norm(dim=1), lambda g: g.norm(2)], ids=["channels", "whole batch"])
def test_norm_over_the_wrong_axis_is_caught(norm):
    with pytest.raises(AssertionError):
        check_linear_critic(wrong(norm=norm))


def test_gradient_penalty_of_a_quadratic_critic():
    check_quadratic_critic(penalties.gradient_penalty, torch.rand)
    x0 = torch.tensor([[0.3, 0.4]])
    value = penalties.gradient_penalty(lambda x: 0.5 * x.square().sum(1), x0, x0, torch.rand(1))
    assert value.item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("penalty", "draw"),
    [
        (wrong(), torch.randn),
        (wrong(mix=lambda real, fake, alpha: alpha[0] * real + (1 - alpha[0]) * fake), torch.rand),
        (wrong(mix=per_pixel), torch.rand),
        (wrong(mix=lambda real, fake, alpha: fake), torch.rand),
    ],
    ids=["normal alpha", "one alpha per batch", "one alpha per pixel", "no interpolation"],
)
def test_wrong_interpolation_is_caught(penalty, draw):
    with pytest.raises(AssertionError):
        check_quadratic_critic(penalty, draw)


def test_alpha_is_one_number_per_sample():
    images = torch.zeros(4, 1, 2, 2)
    for shape in ((1,), (4, 1, 2, 2), ()):
        with pytest.raises(ValueError, match="one number per sample"):
            penalties.interpolate(images, images, torch.rand(shape))
    with pytest.raises(ValueError, match="differ in shape"):
        penalties.interpolate(images, images[:2], torch.rand(4))


def test_finite_for_a_constant_critic():
    bias = torch.zeros(1, requires_grad=True)
    weight = torch.zeros(2, requires_grad=True)
    value = penalties.gradient_penalty(lambda x: x @ weight + bias, torch.randn(3, 2), torch.randn(3, 2), torch.rand(3))
    value.backward()
    assert value.item() == pytest.approx(1, abs=1e-5)
    assert torch.isfinite(weight.grad).all()


def test_second_derivatives_reach_the_critic():
    """gradcheck, in float64, of the penalty as a function of the critic's weights."""
    torch.manual_seed(0)
    real, fake, alpha = torch.randn(4, 3).double(), torch.randn(4, 3).double(), torch.rand(4).double()

    def value(first: Tensor, second: Tensor) -> Tensor:
        return penalties.gradient_penalty(lambda x: torch.tanh(x @ first) @ second, real, fake, alpha)

    weights = (torch.randn(3, 5).double().requires_grad_(), torch.randn(5, 1).double().requires_grad_())
    assert torch.autograd.gradcheck(value, weights)


def test_generator_gets_no_gradient_from_the_penalty():
    fake = torch.randn(3, 2, requires_grad=True)
    w = W.clone().requires_grad_(True)
    penalties.gradient_penalty(lambda x: (x @ w).square(), torch.randn(3, 2), fake, torch.rand(3)).backward()
    assert fake.grad is None
    assert w.grad.abs().sum() > 0


def test_a_map_of_logits_is_averaged_as_the_losses_average_it():
    """GP-5: with two patches of linear critics w1, w2, the gradient is that of their mean."""
    images = torch.randn(5, 1, 1, 2)
    value = penalties.gradient_penalty(lambda x: x * W, images, images, torch.rand(5))
    assert value.item() == pytest.approx((2.5 - 1) ** 2, rel=1e-5)


def test_batch_norm_is_refused():
    with pytest.raises(ValueError, match=r"body\.3 of the critic is a batch normalisation"):
        penalties.refuse_batch_norm(dcgan_critic(16, 1, 4, norm=nn.BatchNorm2d))
    penalties.refuse_batch_norm(dcgan_critic(16, 1, 4, norm=nn.InstanceNorm2d))


# Optimal linear critics on a mean shift


SHIFT = torch.tensor([1.2, -1.6])  # ||SHIFT|| = 2


def fit_linear(loss, after=lambda critic: None, steps: int = 300, lr: float = 0.05) -> nn.Linear:
    torch.manual_seed(0)
    critic = nn.Linear(2, 1)
    optimiser = torch.optim.RMSprop(critic.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.98)
    for _ in range(steps):
        fake = torch.randn(16, 2)
        value = loss(critic, fake + SHIFT, fake)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        after(critic)
        schedule.step()
    return critic


def test_linear_critic_under_a_gradient_penalty():
    """GP-3: ||w*|| = 1 + ||D|| / (2 weight) = 1.1, gap 2.2: WGAN-GP over-estimates the distance by a known factor."""

    def loss(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        penalty = penalties.gradient_penalty(critic, real, fake, torch.rand(len(real)))
        return wasserstein_critic(critic(real), critic(fake)).total + 10 * penalty

    critic = fit_linear(loss, steps=400)
    torch.testing.assert_close(critic.weight[0], 1.1 * SHIFT / 2, atol=0.015, rtol=0)
    assert (critic.weight[0] @ SHIFT).item() == pytest.approx(2.2, abs=0.03)


def test_linear_critic_under_clipping():
    """w* = c sign(D), gap c ||D||_1."""
    critic = fit_linear(
        lambda critic, real, fake: wasserstein_critic(critic(real), critic(fake)).total,
        lambda critic: penalties.clip_weights(critic, 0.01),
        steps=20,
    )
    torch.testing.assert_close(critic.weight[0], 0.01 * SHIFT.sign())
    assert (critic.weight[0] @ SHIFT).item() == pytest.approx(0.01 * 2.8)


def test_linear_critic_under_spectral_normalisation():
    """gap = ||D||_2 = W1 exactly."""
    torch.manual_seed(0)
    critic = penalties.spectrally_normalise(nn.Sequential(nn.Linear(2, 1)))
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.05)
    for _ in range(200):
        fake = torch.randn(16, 2)
        loss = wasserstein_critic(critic(fake + SHIFT), critic(fake)).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert -loss.item() == pytest.approx(2, abs=1e-3)


# Clipping


def test_clipping_bounds_every_parameter_and_no_statistic():
    critic = dcgan_critic(8, 1, 4, norm=nn.BatchNorm2d)
    critic = nn.Sequential(critic.body, nn.BatchNorm1d(16 * 4))
    critic[1].running_mean.fill_(5)
    for parameter in critic.parameters():
        nn.init.normal_(parameter)
    penalties.clip_weights(critic, 0.01)
    assert max(p.abs().max().item() for p in critic.parameters()) <= 0.01
    assert critic[1].running_mean[0] == 5


# Spectral normalisation


@pytest.mark.parametrize("matrix", ["random", "diagonal", "rank one", "orthogonal"])
def test_spectral_norm_divides_by_the_largest_singular_value(matrix):
    torch.manual_seed(0)
    weight = {
        "random": torch.randn(5, 7),
        "diagonal": torch.diag(torch.tensor([3.0, 1.0])),
        "rank one": torch.randn(4, 1) @ torch.randn(1, 3),
        "orthogonal": torch.linalg.qr(torch.randn(5, 5))[0],
    }[matrix]
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    penalties.spectrally_normalise(nn.Sequential(layer))
    for _ in range(50):
        layer(torch.zeros(1, weight.shape[1]))
    expected = weight / torch.linalg.svdvals(weight)[0]
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=1e-4, atol=1e-5)


def test_spectral_norm_vectors_move_in_training_only_and_are_saved():
    torch.manual_seed(0)
    net = penalties.spectrally_normalise(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 1)))
    vectors = [name for name in net.state_dict() if name.endswith("_u")]
    assert len(vectors) == 2
    x, before = torch.randn(2, 3, 3, 3), copy.deepcopy(net.state_dict())
    net.eval()(x)
    assert all(torch.equal(before[name], net.state_dict()[name]) for name in vectors)
    net.train()(x)
    assert not torch.equal(before[vectors[0]], net.state_dict()[vectors[0]])
    assert torch.equal(copy.deepcopy(net).eval()(x), net.eval()(x))


def test_gradient_flows_through_the_norm():
    """Against autograd of W / sigma_max(W)."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 3, bias=False)
    weight = layer.weight.detach().clone().requires_grad_(True)
    net = penalties.spectrally_normalise(nn.Sequential(layer))
    x = torch.randn(6, 4)
    for _ in range(200):
        net(x)
    net.eval()(x).square().sum().backward()
    (x @ (weight / torch.linalg.matrix_norm(weight, 2)).T).square().sum().backward()
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, weight.grad, rtol=1e-3, atol=1e-4)


def test_a_spectrally_normalised_perceptron_is_one_lipschitz():
    torch.manual_seed(0)
    net = penalties.spectrally_normalise(mlp([4, 16, 16, 1]))
    for _ in range(100):
        net(torch.zeros(1, 4))
    net.eval()
    x = torch.randn(500, 4) * 3
    near = x + 1e-2 * torch.randn_like(x)  # close pairs find the steepest directions
    for y in (near, torch.randn(500, 4) * 3):
        assert ((net(x) - net(y)).abs().squeeze(1) <= (x - y).norm(dim=1) * (1 + 1e-4) + 1e-6).all()
    for _ in range(20):  # gradient ascent on the gradient's norm
        norms = penalties.gradient_norms(net, x)
        assert norms.max().item() <= 1 + 1e-4
        x = x + 0.1 * torch.randn_like(x)


def test_clipped_perceptron_obeys_its_bound():
    torch.manual_seed(0)
    sizes, c = [4, 16, 16, 1], 0.05
    net = mlp(sizes)
    penalties.clip_weights(net, c)
    bound = 1.0
    for inputs, outputs in pairwise(sizes):
        bound *= (inputs * outputs) ** 0.5 * c
    assert penalties.gradient_norms(net, torch.randn(200, 4)).max().item() <= bound


# DRAGAN


def test_dragan_of_a_linear_critic():
    real = torch.randn(6, 2)
    value = penalties.dragan_penalty(lambda x: x @ W, real, torch.rand(6, 2), torch.rand(6))
    assert value.item() == pytest.approx(16, rel=1e-5)
    value = penalties.dragan_penalty(lambda x: x @ W, real, torch.rand(6, 2), torch.rand(6), target=5)
    assert value.item() == pytest.approx(0, abs=1e-8)


def test_dragan_looks_around_real_data_only():
    """Where it differentiates: x + alpha std noise / 2, so within [0, std / 2) of each pixel."""
    seen = []
    real, noise, alpha = torch.randn(500, 1, 2, 2), torch.rand(500, 1, 2, 2), torch.rand(500)

    def score(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.sum((1, 2, 3))

    penalties.dragan_penalty(score, real, noise, alpha)
    moved = seen[0] - real
    torch.testing.assert_close(moved, alpha[:, None, None, None] * 0.5 * real.std() * noise, atol=1e-6, rtol=1e-5)
    assert moved.min() > -1e-6
    assert moved.max() < 0.5 * real.std()


@pytest.mark.parametrize("patches", [1, 4, 36])
def test_the_slope_that_a_generator_follows_does_not_depend_on_the_number_of_patches(patches):
    """At the optimum of ``-w.shift + 10 (|w| - 1)^2`` it is ``1 + |shift| / 20`` = 1.1."""

    def loss(critic: nn.Linear, real: Tensor, fake: Tensor) -> Tensor:
        def score(x: Tensor) -> Tensor:
            return critic(x).expand(-1, patches)

        penalty = penalties.gradient_penalty(score, real, fake, torch.rand(len(real)))
        return wasserstein_critic(score(real), score(fake)).total + 10 * penalty

    critic = fit_linear(loss)
    x = torch.zeros(1, 2, requires_grad=True)
    critic(x).expand(-1, patches).mean().backward()
    assert x.grad.norm().item() == pytest.approx(1.1, abs=0.05)

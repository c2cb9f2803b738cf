"""GANs that are an objective or a head away: each formula against a closed form or an enumeration."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.networks.heads import CodedGenerator, UniformGenerator
from worldmodels.generative.networks.modules import Generator
from worldmodels.generative.networks.pyramid import doubled, halved
from worldmodels.generative.objectives import f_divergences as f
from worldmodels.generative.objectives.auxiliary import information_bound
from worldmodels.generative.objectives.ebgan import ebgan_critic, energy, pull_away
from worldmodels.generative.objectives.losses import logistic_critic
from worldmodels.generative.objectives.units import Batch, Trainer
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")
P = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)
Q = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
DIVERGENCES = {
    "kl": (f.KL, (P * (P / Q).log()).sum()),
    "reverse-kl": (f.REVERSE_KL, (Q * (Q / P).log()).sum()),
    "pearson": (f.PEARSON, ((P - Q).square() / Q).sum()),
    "hellinger": (f.SQUARED_HELLINGER, (P.sqrt() - Q.sqrt()).square().sum()),
    "jensen-shannon": (
        f.JENSEN_SHANNON,
        (P * (2 * P / (P + Q)).log()).sum() + (Q * (2 * Q / (P + Q)).log()).sum(),
    ),
    "total-variation": (f.TOTAL_VARIATION, 0.5 * (P - Q).abs().sum()),
}
every_divergence = pytest.mark.parametrize(("divergence", "value"), DIVERGENCES.values(), ids=DIVERGENCES)


def batch(count: int = 6, side: int = 16, channels: int = 1, classes: int = 0) -> Batch:
    x = torch.rand(count, channels, side, side, generator=generator_for(3, 0)) * 2 - 1
    return Batch(x, torch.arange(count) % classes if classes else None, generator_for(0, 0))


# f-GAN


@every_divergence
def test_the_definition_gives_the_divergence(divergence, value):
    assert (Q * divergence.f(P / Q)).sum().item() == pytest.approx(value.item(), abs=1e-12)
    assert divergence.f(torch.ones((), dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)


@every_divergence
def test_the_conjugate_is_the_largest_difference_from_a_line(divergence, value):
    """f*(t) = sup_u (u t - f(u)), by looking at many u."""
    u = torch.logspace(-9, 9, 400_001, dtype=torch.float64)
    for logit in (-1.5, -0.2, 0.4, 1.0):
        t = divergence.activation(torch.tensor(logit, dtype=torch.float64))
        largest = (u * t - divergence.f(u)).max()
        assert divergence.conjugate(t).item() == pytest.approx(largest.item(), rel=2e-3, abs=1e-5)


@every_divergence
def test_both_forms_of_the_fakes_term_agree_and_do_not_overflow(divergence, value):
    v = torch.linspace(-4, 4, 81, dtype=torch.float64)
    t = divergence.activation(v)
    assert (t.diff() > 0).all()  # a larger logit is more real
    torch.testing.assert_close(divergence.conjugate_of_activation(v), divergence.conjugate(t))
    far = torch.tensor([-30.0, 30.0])
    assert torch.isfinite(divergence.conjugate_of_activation(far)).all()


@every_divergence
def test_the_best_critic_estimates_the_divergence(divergence, value):
    """By gradient descent on one logit per outcome; each loss is a mean, so outcomes come as often as P and Q say."""
    counts_p, counts_q = ((p * 20).round().long() for p in (P, Q))
    of_p, of_q = (torch.arange(4).repeat_interleave(counts) for counts in (counts_p, counts_q))
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    game = f.f_game(divergence)
    for _ in range(300):
        loss = game.critic(logits[of_p], logits[of_q]).total
        (logits.grad,) = torch.autograd.grad(loss, [logits])
        optimiser.step()
    assert -loss.item() == pytest.approx(value.item(), abs=2e-3)
    assert (logits.detach().sort(descending=True).indices == torch.arange(4)).all()  # P / Q falls


def test_the_generator_of_an_f_game_goes_where_the_critic_sees_more_of_the_data():
    for divergence, _ in DIVERGENCES.values():
        v = torch.tensor([0.3], requires_grad=True)
        (slope,) = torch.autograd.grad(f.f_game(divergence).generator(v), [v])
        assert slope.item() < 0


# EBGAN


def test_the_pull_away_term_is_0_for_orthogonal_and_1_for_parallel_codes():
    assert pull_away(torch.eye(5).double() * 3).item() == pytest.approx(0, abs=1e-12)
    line = torch.tensor([[1.0, 2.0]]).double() * torch.tensor([[1.0], [-2.0], [0.5]])
    assert pull_away(line).item() == pytest.approx(1)
    angle = torch.tensor([0.0, math.pi / 3, math.pi / 2]).double()  # cos^2: 1/4, 0, 3/4
    codes = torch.stack([angle.cos(), angle.sin()], 1)
    assert pull_away(codes).item() == pytest.approx((0.25 + 0 + 0.75) / 3)


def test_the_energy_game_stops_at_its_margin():
    real, fake = torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.9])
    loss = ebgan_critic(real, fake, margin=0.5)
    assert loss.real.item() == pytest.approx(0.2)
    assert loss.fake.item() == pytest.approx((0.3 + 0) / 2)
    x = torch.zeros(2, 1, 2, 2)
    assert energy(x, x + torch.tensor([1.0, 2.0])[:, None, None, None]).tolist() == [1, 4]


def test_the_units_of_an_ebgan_do_what_its_formulas_say():
    game = build(dataclasses.replace(preset("ebgan", "tiny"), pull_away=0.5), Shape(16, 1), CPU).game
    loss = game.generator_loss(batch())
    fake = game.generate(batch())
    codes = game.critic.encode(fake)
    expected = (fake - game.critic.decode(codes)).square().mean() + 0.5 * pull_away(codes)
    torch.testing.assert_close(loss.total, expected)


# AC-GAN


def test_the_critic_of_an_acgan_names_both_sides_and_the_generator_is_judged_by_it():
    model = build(dataclasses.replace(preset("acgan", "tiny"), class_weight=2.0), Shape(16, 1, 3), CPU)
    game, seen = model.game, batch(classes=3)
    fake = game.generate(seen._replace(rng=generator_for(0, 0)))
    game.critic.eval()  # spectral normalisation would move on with every pass
    real_logits, real_classes = game.critic.both(seen.x)
    fake_logits, fake_classes = game.critic.both(fake)

    def wrong(scores: Tensor) -> Tensor:
        return -scores.log_softmax(1)[torch.arange(6), seen.labels].mean()

    expected = logistic_critic(real_logits, fake_logits).total + 2 * (wrong(real_classes) + wrong(fake_classes))
    torch.testing.assert_close(game.critic_loss(seen._replace(rng=generator_for(0, 0))).total, expected)
    loss = game.generator_loss(seen._replace(rng=generator_for(0, 0)))
    torch.testing.assert_close(loss.total, nn.functional.softplus(-fake_logits).mean() + 2 * wrong(fake_classes))
    assert not any("embedding" in name for name, _ in game.critic.named_parameters())  # it is not told


@pytest.mark.parametrize(("batch_norm", "passes"), [(False, [12]), (True, [6, 6])])
def test_real_and_fake_share_no_statistics_with_a_second_head_either(batch_norm, passes):
    options = {"spectral_norm": False, "batch_norm": batch_norm}
    game = build(dataclasses.replace(preset("acgan", "tiny"), **options), Shape(16, 1, 3), CPU).game
    seen = []
    game.critic.second.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    game.critic_loss(batch(classes=3))
    assert seen == passes


def test_models_with_a_second_head_refuse_what_they_cannot_have():
    for name in ("acgan", "infogan"):
        with pytest.raises(UserError, match="leave out --conditioning"):
            dataclasses.replace(preset(name), conditioning="projection").check_networks(False)
        with pytest.raises(UserError, match="critic of whole pictures"):
            build(dataclasses.replace(preset(name, "tiny"), architecture="patchgan"), Shape(32, 1, 2), CPU)
    with pytest.raises(UserError, match="needs --latent-size of at least 12, not 8"):
        build(dataclasses.replace(preset("infogan"), latent_size=8), Shape(16, 1), CPU)


# Uniform noise


def test_uniform_noise_is_made_of_normal_latents():
    generator = UniformGenerator(Generator(3, nn.Identity(), 2))
    z = torch.randn(20_000, 3, generator=generator_for(0, 0))
    noise = generator(z, torch.zeros(20_000, dtype=torch.long))
    assert noise.shape == (20_000, 5)
    for column in noise[:, :3].T:
        assert (column.sort().values - torch.linspace(-1, 1, 20_000)).abs().max() < 0.02
    assert torch.equal(noise[:, 3:], torch.tensor([[1.0, 0.0]]).expand(20_000, 2))
    model = build(dataclasses.replace(preset("gan", "tiny"), noise="uniform"), Shape(16, 1), CPU)
    plain = build(preset("gan", "tiny"), Shape(16, 1), CPU)
    z = torch.randn(2, 64, generator=generator_for(0, 1))
    torch.testing.assert_close(model.decode(z), plain.decode(2 * torch.special.ndtr(z) - 1))
    with pytest.raises(UserError, match="leave out --noise"):
        dataclasses.replace(preset("infogan"), noise="uniform").check_networks(False)


# InfoGAN


def test_codes_of_normal_latents_are_uniform():
    generator = CodedGenerator(Generator(8, nn.Identity()), 4, 2)
    z = torch.randn(40_000, 8, generator=generator_for(0, 0))
    chosen, numbers = generator.code(z)
    assert torch.bincount(chosen).double().div(40_000).sub(0.25).abs().max() < 0.01
    sorted_numbers = numbers.flatten().sort().values
    assert (sorted_numbers - torch.linspace(-1, 1, len(sorted_numbers))).abs().max() < 0.01
    code = generator(z)
    torch.testing.assert_close(code[:, :4].argmax(1), chosen)
    torch.testing.assert_close(code[:, 4:6], numbers)
    torch.testing.assert_close(code[:, 6:], z[:, 6:])


def test_the_information_bound_is_the_information_where_the_reader_is_right():
    """A code of 3 read through a noisy channel, all outcomes enumerated."""
    channel = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]], dtype=torch.float64)  # p(x | c)
    joint = channel / 3
    marginal = joint.sum(0)
    there = joint > 0
    information = (joint[there] * (joint / (marginal / 3)).log()[there]).sum()

    def bound(posterior: Tensor) -> float:
        counts = (joint * 30).round().long().flatten()  # every pair (c, x) as often as it happens
        pairs = torch.arange(9).repeat_interleave(counts)
        return information_bound(posterior.flatten()[pairs].log(), 3).item()

    assert bound(joint / marginal) == pytest.approx(information.item(), abs=1e-12)
    assert bound(torch.full((3, 3), 1 / 3, dtype=torch.float64)) == pytest.approx(0, abs=1e-12)
    assert bound(joint / marginal / 2 + 1 / 6) < information - 0.02


def test_an_infogan_reads_its_code_by_cross_entropy_and_squares():
    game = build(preset("infogan", "tiny"), Shape(16, 1), CPU).game
    guess, z = torch.randn(6, 12), torch.randn(6, 64)
    chosen, numbers = z[:, :10].argmax(1), 2 * torch.special.ndtr(z[:, 10:12]) - 1
    expected = -guess[:, :10].log_softmax(1)[torch.arange(6), chosen].mean()
    expected = expected + 0.5 * (guess[:, 10:] - numbers).square().sum(1).mean()
    torch.testing.assert_close(game.error(guess, z), expected)


def test_codes_are_shown_with_a_row_for_each_category():
    model = build(dataclasses.replace(preset("infogan", "tiny"), categories=4), Shape(16, 1), CPU)
    assert model.views()["codes"](batch()).shape == (4 * 18 + 2, 10 * 18 + 2, 3)


# BiGAN


@pytest.mark.parametrize("name", ["bigan", "ali"])
def test_pairs_are_judged_and_both_sides_exchange_them(name):
    """With a critic that weighs samples by a and latents by b, all logits are known."""
    model = build(preset(name, points=True), Shape(0, 2), CPU)
    game = model.game
    a, b = torch.tensor([0.3, -0.2]), torch.tensor([0.5, 0.1])

    class Weighing(nn.Module):
        def forward(self, x: Tensor, z: Tensor) -> Tensor:
            return (x @ a + z @ b)[:, None]

    game.critic = Weighing()
    seen = Batch(torch.randn(6, 2), None, generator_for(0, 0))
    data, latents = game.logits(seen)
    mean, logvar = game.pair.encode(seen.x)
    rng = generator_for(0, 0)
    z = torch.randn(6, 2, generator=rng)
    noise = torch.zeros(()) if logvar is None else (0.5 * logvar).exp() * torch.randn(6, 2, generator=rng)
    torch.testing.assert_close(data[:, 0], seen.x @ a + (mean + noise) @ b)
    torch.testing.assert_close(latents[:, 0], game.pair.generator(z) @ a + z @ b)
    again = seen._replace(rng=generator_for(0, 0))
    expected = nn.functional.softplus(-data).mean() + nn.functional.softplus(latents).mean()
    torch.testing.assert_close(game.critic_loss(again).total, expected)
    again = seen._replace(rng=generator_for(0, 0))
    expected = nn.functional.softplus(data).mean() + nn.functional.softplus(-latents).mean()
    torch.testing.assert_close(game.pair_loss(again).total, expected)


# LAPGAN


def test_a_pyramid_loses_nothing_and_adds_only_detail():
    x = batch(side=16).x
    assert torch.equal(halved(x)[0, 0, 0, 0], x[0, 0, :2, :2].mean())
    flat = torch.full((1, 1, 4, 4), 0.3)
    torch.testing.assert_close(doubled(flat), torch.full((1, 1, 8, 8), 0.3))
    torch.testing.assert_close(halved(doubled(halved(x))).mean(), halved(x).mean(), atol=0.02, rtol=0)


def test_every_level_of_a_pyramid_learns_at_its_own_side():
    model = build(preset("lapgan", "tiny"), Shape(32, 3), CPU)
    assert [unit.name for unit in model.units()] == [
        f"level_{level}_{side}" for level in range(3) for side in ("critic", "generator")
    ]
    seen = []
    for game in model.games:
        game.critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-1]))
    x = batch(side=32, channels=3).x
    Trainer(model.units(), lambda number: (x, None), 0)(0)
    assert seen == [8, 8, 16, 16, 32, 32]
    assert model.draw(3, generator_for(0, 0)).shape == (3, 3, 32, 32)
    level = model.network[1]
    nn.init.zeros_(level.body[-1].weight)
    nn.init.zeros_(level.body[-1].bias)
    low = halved(x)
    torch.testing.assert_close(level(low, torch.randn(6, 1, 32, 32)), doubled(low))
    with pytest.raises(UserError, match="these are points"):
        build(preset("lapgan"), Shape(0, 2), CPU)


# Optimisers


def test_gradient_descent_with_momentum_and_rmsprop_are_their_formulas():
    """Two steps on a constant gradient of 1: momentum moves by r, then r (1 + m); RMSProp by r / sqrt(1 - k), ..."""
    for name, options, expected in (
        ("sgd", {"beta1": 0.9}, 0.1 + 0.1 * 1.9),
        ("rmsprop", {"rms_decay": 0.9}, 0.1 / math.sqrt(0.1) + 0.1 / math.sqrt(0.9 * 0.1 + 0.1)),
    ):
        weight = nn.Linear(1, 1, bias=False)
        begun = weight.weight.item()
        optimiser = dataclasses.replace(preset("gan"), optimiser=name, **options)._optimiser(0.1)(weight)
        for _ in range(2):
            weight.weight.grad = torch.ones(1, 1)
            optimiser.step()
        assert begun - weight.weight.item() == pytest.approx(expected, rel=1e-5)

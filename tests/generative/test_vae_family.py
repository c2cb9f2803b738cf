"""VAEs with other likelihoods, priors and labels, and autoencoders of other networks, against closed forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative.data.batches import held_out
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import MODELS, preset
from worldmodels.generative.networks import priors
from worldmodels.generative.networks.coders import conv_coder, linear_coder
from worldmodels.generative.networks.modules import VAE, Autoencoder
from worldmodels.generative.networks.semi_supervised import SemiSupervisedVAE
from worldmodels.generative.objectives.autoencoders import (
    GREY_LEVEL,
    AutoencoderObjective,
    VAEObjective,
    fixed_gaussian,
    gaussian_per_pixel,
    log_likelihood_bound,
)
from worldmodels.generative.objectives.elbo import (
    Mixture,
    collapse_report,
    gaussian_nll,
    kl_to_their_sum,
    mixture_log_prob,
    sampled_kl,
)
from worldmodels.generative.objectives.semi_supervised import SemiSupervised, unlabelled_bound
from worldmodels.generative.objectives.units import Batch, Trainer
from worldmodels.training.randomness import generator_for
from worldmodels.vae import kl_to_standard_normal, reparameterise

CPU = torch.device("cpu")
MIXTURE = Mixture(
    torch.tensor([0.3, 0.7], dtype=torch.float64).log(),
    torch.tensor([[-1.5], [1.0]], dtype=torch.float64),
    torch.tensor([[-1.0], [0.3]], dtype=torch.float64),
)


# Priors


def test_a_mixture_is_a_density_and_its_draws_follow_it():
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)[:, None]
    density = mixture_log_prob(z, MIXTURE).exp()
    assert torch.trapezoid(density, z[:, 0]).item() == pytest.approx(1, abs=1e-9)
    mean = torch.trapezoid(density * z[:, 0], z[:, 0]).item()
    assert mean == pytest.approx(-0.45 + 0.7)
    drawn = priors.sample(MIXTURE, 20_000, generator_for(0, 0))[:, 0]
    second = torch.trapezoid(density * z[:, 0].square(), z[:, 0]).item()
    assert drawn.mean().item() == pytest.approx(mean, abs=0.04)
    assert drawn.square().mean().item() == pytest.approx(second, rel=0.03)


def test_the_sampled_kl_to_a_mixture_is_its_integral():
    mean, logvar = torch.tensor([[0.4]], dtype=torch.float64), torch.tensor([[-0.7]], dtype=torch.float64)
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    log_q = -gaussian_nll(mean.expand(len(z), 1), z[:, None], logvar.item())
    exact = torch.trapezoid(log_q.exp() * (log_q - mixture_log_prob(z[:, None], MIXTURE)), z).item()
    noise = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[:, None]
    drawn = reparameterise(mean.expand(20_000, 1), logvar.expand(20_000, 1), noise)
    assert sampled_kl(drawn, mean, logvar, MIXTURE).mean().item() == pytest.approx(exact, abs=1e-4)
    assert exact > 0.05


def test_one_standard_component_is_the_usual_prior():
    mean, logvar, z = torch.randn(3, 5, 2, generator=generator_for(0, 0)).double().unbind()
    zero = torch.zeros(1, 2, dtype=torch.float64)
    one = Mixture(zero[:, 0], zero, zero)
    normal = -gaussian_nll(torch.zeros_like(z), z, 0.0)
    torch.testing.assert_close(mixture_log_prob(z, one), normal)
    torch.testing.assert_close(sampled_kl(z, mean, logvar, one), -gaussian_nll(mean, z, logvar) - normal)


def test_a_vamp_prior_is_the_mixture_of_what_the_encoder_says():
    torch.manual_seed(0)
    model = build(dataclasses.replace(preset("vamp-vae", "tiny"), components=3, latent_size=2), Shape(8, 1), CPU)
    mixture = model.network.prior(model.network.encode)
    mean, logvar = model.network.encode(torch.sigmoid(model.network.prior.inputs))
    z = torch.randn(5, 2)
    parts = torch.stack([-gaussian_nll(m.expand(5, 2), z, v.expand(5, 2)) for m, v in zip(mean, logvar, strict=True)])
    torch.testing.assert_close(mixture_log_prob(z, mixture), parts.exp().mean(0).log())


@pytest.mark.parametrize("name", ["mixture-vae", "vamp-vae"])
def test_learned_priors_are_drawn_from_and_bound_the_likelihood(name, images):
    model = build(dataclasses.replace(preset(name, "tiny"), latent_size=3), Shape.of(load_samples(images)), CPU)
    latents = model.latent(4000, generator_for(0, 0))
    mixture = model.network.prior(model.network.encode)
    expected = (mixture.log_weights.exp()[:, None] * mixture.mean).sum(0)
    assert (latents.mean(0) - expected).abs().max() < 0.15
    batch = Batch(torch.rand(8, 1, 8, 8), None, generator_for(0, 0))
    one, many = (
        log_likelihood_bound(model.network, model.likelihood, batch.x, None, k, generator_for(0, 1)).mean()
        for k in (1, 200)
    )
    loss = model.objective.loss(batch)
    assert loss.total.item() == pytest.approx((loss.terms["distortion"] + loss.terms["rate"]).item())
    assert -loss.total.item() == pytest.approx(one.item(), abs=1.5)  # the same bound, from other noise
    assert many >= one


def test_a_learned_prior_fits_latents_that_are_no_normal():
    """A frozen encoder that says +-2 for two kinds of data: log p(z) of the mixture rises to that of the two kinds."""
    torch.manual_seed(0)
    prior = priors.MixturePrior(1, 2)
    nn.init.constant_(prior.mean[0], -0.5)
    nn.init.constant_(prior.mean[1], 0.5)
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.05)
    z = torch.cat([torch.full((60, 1), -2.0), torch.full((20, 1), 2.0)]) + 0.5 * torch.randn(80, 1)
    for _ in range(300):
        loss = -mixture_log_prob(z, prior(lambda x: (x, x))).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    weights, means, logvars = (part.detach() for part in prior(lambda x: (x, x)))
    assert weights.exp().tolist() == pytest.approx([0.75, 0.25], abs=0.02)
    assert means[:, 0].tolist() == pytest.approx([-2, 2], abs=0.3)
    assert logvars.exp().sqrt()[:, 0].tolist() == pytest.approx([0.5, 0.5], abs=0.15)


def test_units_that_say_the_same_of_everything_are_noticed_under_any_prior():
    mean, logvar = torch.full((50, 2), 3.0), torch.full((50, 2), -1.0)
    assert collapse_report(mean, logvar).active_by_kl == 2  # far from N(0, 1), and yet without information
    assert collapse_report(mean, logvar, learned_prior=True).collapsed
    mean[:, 0] += torch.randn(50, generator=generator_for(0, 0))
    assert collapse_report(mean, logvar, learned_prior=True).active_by_kl == 1
    spread = torch.special.ndtri((torch.arange(4000) + 0.5) / 4000)[:, None] * 0.8
    narrow = torch.full((4000, 1), 2 * math.log(0.6))  # together they are N(0, 1): 0.64 + 0.36
    usual = kl_to_standard_normal(spread, narrow).mean(0)
    torch.testing.assert_close(kl_to_their_sum(spread, narrow), usual, atol=1e-3, rtol=0)


def test_the_kl_that_is_reported_is_to_the_models_own_prior(images):
    samples = load_samples(images)
    model = build(dataclasses.replace(preset("mixture-vae", "tiny"), latent_size=3), Shape.of(samples), CPU)
    batch = held_out(samples, 100, CPU)
    found = model.measures(batch)
    terms = [model.objective.loss(batch._replace(rng=generator_for(0, seed))).terms["rate"] for seed in range(20)]
    assert found["kl"] == pytest.approx(torch.stack(terms).mean().item(), abs=0.2)


@pytest.mark.parametrize("name", ["vae", "mixture-vae"])
def test_several_draws_are_their_mean(name, images):
    """With L draws the loss is the mean of L losses with one draw each, of the same random numbers."""
    samples = load_samples(images)
    batch = held_out(samples, 20, CPU)
    single = build(preset(name, "tiny"), Shape.of(samples), CPU).objective
    several = build(dataclasses.replace(preset(name, "tiny"), draws=3), Shape.of(samples), CPU).objective
    one_after_the_other = batch._replace(rng=generator_for(0, 1))
    expected = torch.stack([single.loss(one_after_the_other).total for _ in range(3)]).mean()
    torch.testing.assert_close(several.loss(batch._replace(rng=generator_for(0, 1))).total, expected)


@pytest.mark.parametrize("name", ["vae", "ae"])
def test_weight_decay_is_a_gaussian_prior_on_the_weights(name, images):
    """A step with it is a step on the loss + w / 2 |weights|^2 without it."""
    samples = load_samples(images)
    batch = held_out(samples, 20, CPU)._replace(rng=generator_for(0, 1))
    config = dataclasses.replace(preset(name, "tiny"), weight_decay=0.3)
    decayed = build(config, Shape.of(samples), CPU)
    (unit,) = decayed.units()
    plain = build(dataclasses.replace(config, weight_decay=0.0), Shape.of(samples), CPU)
    (other,) = plain.units()
    unit.loss(batch._replace(rng=generator_for(0, 1))).total.backward()
    penalty = sum(weight.square().sum() for weight in plain.network.parameters())
    (other.loss(batch._replace(rng=generator_for(0, 1))).total + 0.15 * penalty).backward()
    unit.optimiser.step()
    other.optimiser.step()
    for one, two in zip(decayed.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


# Likelihoods


def test_the_bound_of_a_linear_gaussian_model_with_its_true_posterior_is_the_likelihood():
    """p(z) = N(0, 1), p(x | z) = N(w z, s^2): any sample of the bound is log N(x; 0, w w' + s^2)."""
    w, s2 = torch.tensor([[1.2], [-0.7], [0.4]], dtype=torch.float64), 0.3
    posterior = 1 / (1 + (w.T @ w).item() / s2)
    vae = VAE(nn.Identity(), 3, 1, nn.Linear(1, 3)).double()
    with torch.no_grad():
        vae.decoder.weight.copy_(w)
        vae.decoder.bias.zero_()
        vae.mean.weight.copy_(posterior * w.T / s2)
        vae.mean.bias.zero_()
        vae.logvar.weight.zero_()
        vae.logvar.bias.fill_(math.log(posterior))
    x = torch.randn(6, 3, generator=generator_for(0, 0), dtype=torch.float64)
    found = log_likelihood_bound(vae, fixed_gaussian(s2), x, None, 1, generator_for(0, 1))
    covariance = w @ w.T + s2 * torch.eye(3, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), covariance).log_prob(x)
    torch.testing.assert_close(found, exact)


def test_the_decoders_own_variance_finds_that_of_every_pixel():
    """Two pixels with means 0.3 and 0.6 and standard deviations 0.05 and 0.2: the likelihood's maximum is there."""
    likelihood = gaussian_per_pixel(0.01)
    output = torch.zeros(1, 4, 1, 1, requires_grad=True)
    noise = torch.special.ndtri((torch.arange(2000) + 0.5) / 2000)
    x = torch.stack([0.3 + 0.05 * noise, 0.6 + 0.2 * noise], 1)[:, :, None, None]
    optimiser = torch.optim.Adam([output], lr=0.05)
    for _ in range(400):
        loss = likelihood.nll(output.expand(2000, 4, 1, 1), x).mean()
        (output.grad,) = torch.autograd.grad(loss, [output])
        optimiser.step()
    assert likelihood.mean(output).flatten().tolist() == pytest.approx([0.3, 0.6], abs=5e-3)
    assert likelihood.spread is not None
    assert likelihood.spread(output).flatten().tolist() == pytest.approx([0.05, 0.2], rel=0.02)


def test_a_variance_per_pixel_begins_where_it_is_told_and_is_never_below_a_grey_level():
    likelihood = gaussian_per_pixel(0.01)
    assert likelihood.spread is not None
    assert likelihood.spread(torch.zeros(1, 2, 1, 1)).item() == pytest.approx(0.1, rel=0.01)
    narrow = likelihood.spread(torch.full((1, 2, 1, 1), -100.0)).item()
    assert narrow == pytest.approx(math.exp(0.5 * GREY_LEVEL)) == pytest.approx(1 / 256)


# Labels of a few


def test_the_bound_without_labels_is_the_sum_over_them():
    """With exact log p(x, y): log p(x), less how far the classifier is from the true posterior."""
    joint = torch.tensor([[-3.0, -1.0, -2.5], [-4.0, -4.0, -0.5]], dtype=torch.float64)
    evidence, posterior = joint.logsumexp(1), joint.log_softmax(1)
    torch.testing.assert_close(unlabelled_bound(joint, posterior + 7), evidence)
    guess = torch.tensor([[0.2, 0.1, -0.3], [1.0, 0.0, 0.0]], dtype=torch.float64)
    log_q = guess.log_softmax(1)
    apart = (log_q.exp() * (log_q - posterior)).sum(1)
    torch.testing.assert_close(unlabelled_bound(joint, guess), evidence - apart)
    assert apart.min() > 0.1


def semi(weight: float = 1.0) -> SemiSupervised:
    """A model whose latents carry nothing: log p(x, y) is that of Gaussians around the rows of a matrix."""
    torch.manual_seed(0)
    vae = VAE(nn.Linear(2 + 3, 4), 4, 1, nn.Linear(1 + 3, 2), 3).double()
    for layer in (vae.mean, vae.logvar):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    with torch.no_grad():
        vae.decoder.weight[:, 0] = 0
    model = SemiSupervisedVAE(vae, nn.Identity(), 2).double()
    return SemiSupervised(model, fixed_gaussian(0.5), torch.optim.SGD(model.parameters(), 0.1), weight)


def test_every_class_is_tried_where_none_is_known():
    objective = semi()
    x = torch.randn(4, 2, generator=generator_for(0, 0)).double()
    means = (objective.model.vae.decoder.weight[:, 1:] + objective.model.vae.decoder.bias[:, None]).T  # [class, 2]
    square = (x[:, None] - means).square().sum(2)
    joint = -square / (2 * 0.5) - math.log(2 * math.pi * 0.5) - math.log(3)
    for label in range(3):
        found = objective.labelled(x, torch.full((4,), label), torch.randn(4, 1).double())
        torch.testing.assert_close(found, joint[:, label])
    found = objective.unlabelled(x, torch.randn(12, 1).double())
    torch.testing.assert_close(found, unlabelled_bound(joint, objective.model.class_logits(x)))


def test_the_loss_has_both_bounds_and_the_classifiers_error():
    x, other = torch.randn(2, 3, 2, generator=generator_for(0, 0)).double()
    labels = torch.tensor([0, 2, 1])
    batch = Batch(x, labels, generator_for(0, 1), other=other)
    objective = semi(weight=5.0)
    loss = objective.loss(batch)
    zeros = torch.zeros(9, 1).double()  # latents carry nothing, so that noise does not matter
    expected = -objective.labelled(x, labels, zeros[:3]).mean() - objective.unlabelled(other, zeros).mean()
    wrong = -objective.model.class_logits(x).log_softmax(1)[torch.arange(3), labels].mean()
    torch.testing.assert_close(loss.total, expected + 5 * wrong)


def test_training_sees_few_labels_of_every_class_and_all_pictures(images):
    samples = load_samples(images)
    config = dataclasses.replace(preset("semi-supervised-vae"), labelled=9)
    shown = config.shown(samples)
    assert sorted(np.bincount(shown.train_labels)) == [4, 5]
    assert shown.train_other is samples.train
    for picture, label in zip(shown.train, shown.train_labels, strict=True):
        assert (samples.train_labels[(samples.train == picture).all((1, 2, 3))] == label).all()
    assert np.array_equal(config.shown(samples).train, shown.train)


# Networks


def test_a_linear_autoencoder_comes_to_the_principal_components():
    """Its squared error is what the discarded eigenvalues of the covariance leave. Baldi & Hornik (1989)."""
    torch.manual_seed(0)
    scales = torch.tensor([3.0, 2.0, 1.0, 0.5])
    x = torch.linalg.qr(torch.randn(64, 4))[0] * scales * 8
    x = x - x.mean(0)
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))
    encoder, features, decoder = linear_coder(2, 1, 2, 0, 1)
    network = Autoencoder(encoder, features, 2, decoder)
    objective = AutoencoderObjective(
        network, fixed_gaussian(0.5), torch.optim.Adam(network.parameters(), lr=0.02)
    )  # variance 1/2: the loss is the squared error plus a constant
    constant = 4 * 0.5 * math.log(2 * math.pi * 0.5)
    trainer = Trainer(objective.units(), lambda number: (x.reshape(64, 1, 2, 2), None), 0)
    for step in range(600):
        loss = trainer(step)["distortion"].item() - constant
    assert loss == pytest.approx(values[:2].sum().item(), rel=0.02)


def test_pooling_halves_as_strides_do_and_keeps_the_largest():
    strided, pooled = conv_coder(32, 3, 8, 4), conv_coder(32, 3, 8, 4, pooled=True)
    x = torch.rand(2, 3, 32, 32)
    assert pooled.encoder(x).shape == strided.encoder(x).shape
    pools = [layer for layer in pooled.encoder if isinstance(layer, nn.MaxPool2d)]
    assert len(pools) == 3
    assert pools[0](torch.arange(16.0).reshape(1, 1, 4, 4)).flatten().tolist() == [5, 7, 13, 15]
    assert pooled.decoder(torch.rand(2, 8)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("architecture", ["pooled", "dense", "linear"])
@pytest.mark.parametrize("name", ["ae", "vae", "cvae", "sigma-vae"])
def test_networks_combine_with_everything(name, architecture):
    config = dataclasses.replace(preset(name, "tiny"), architecture=architecture, latent_size=5)
    model = build(config, Shape(16, 3, 2), CPU)
    x, labels = torch.rand(4, 3, 16, 16), torch.tensor([0, 1, 0, 1]) if name == "cvae" else None
    assert model.decode(model.encode(x, labels), labels).shape == x.shape
    terms = Trainer(model.units(), lambda number: (x, labels), 0)(0)
    assert all(torch.isfinite(value) for value in terms.values())


def test_a_decoder_shows_where_it_is_unsure(images):
    samples = load_samples(images)
    model = build(preset("sigma-vae", "tiny"), Shape.of(samples), CPU)
    x = torch.rand(20, 1, 8, 8)
    assert model.views()["spread"](Batch(x, None, generator_for(0, 0))).shape == (6 * 10 + 2, 10 * 10 + 2, 3)
    assert "spread" not in build(preset("vae", "tiny"), Shape.of(samples), CPU).views()


# Mistakes


@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        ("cvae", {"prior": "vamp"}, Shape(8, 1, 2), "use --prior mixture"),
        ("ae", {"likelihood": "gaussian-per-pixel"}, Shape(8, 1), "variance of 0"),
        ("semi-supervised-vae", {}, Shape(8, 1), "needs data with labels"),
        ("semi-supervised-vae", {"likelihood": "gaussian-learned"}, Shape(8, 1, 2), "fixed variance"),
    ],
)
def test_what_cannot_be_built_is_explained(name, options, shape, message):
    with pytest.raises(UserError, match=message):
        build(dataclasses.replace(preset(name), **options), shape, CPU)


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(UserError, match="--free-nats counts the KL of each unit"):
        dataclasses.replace(preset("mixture-vae"), free_nats=0.1).check()
    with pytest.raises(UserError, match="--labelled must be positive"):
        dataclasses.replace(preset("semi-supervised-vae"), labelled=0).check()
    for name in ("ae", "vae"):
        with pytest.raises(UserError, match="--architecture pooled is for pictures"):
            dataclasses.replace(preset(name, points=True), architecture="pooled").check_networks(points=True)
    with pytest.raises(UserError, match="--preset book is the GAN"):
        preset("vae", "book")
    book = preset("gan", "book")
    book.check()
    book.check_networks(points=False)
    assert isinstance(build(book, Shape(28, 1), CPU).game.critic_optimiser, torch.optim.RMSprop)
    assert "book" not in MODELS


def test_the_objective_without_a_prior_of_its_own_is_as_before():
    torch.manual_seed(0)
    vae = VAE(nn.Identity(), 2, 1, nn.Linear(1, 2))
    objective = VAEObjective(vae, fixed_gaussian(0.1), torch.optim.SGD(vae.parameters(), 0.1))
    x = torch.randn(5, 2)
    terms = objective.loss(Batch(x, None, generator_for(0, 0))).terms
    mean, logvar = vae.encode(x)
    exact: Tensor = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    torch.testing.assert_close(terms["rate"], exact)

"""Short trainings with known outcomes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from worldmodels.generative.data.batches import Batches
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.data.synthetic import RING
from worldmodels.generative.measures.metrics import ModeCount, count_modes
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.networks.dcgan import dcgan_critic
from worldmodels.generative.networks.modules import VAE
from worldmodels.generative.networks.perceptrons import mlp_critic, mlp_generator
from worldmodels.generative.objectives import losses
from worldmodels.generative.objectives.adversarial_vae import AdversarialVAE
from worldmodels.generative.objectives.autoencoders import VAEObjective, fixed_gaussian
from worldmodels.generative.objectives.gan import GAN
from worldmodels.generative.objectives.units import Batch, Trainer
from worldmodels.training.randomness import generator_for
from worldmodels.vae import ConvVAE, vae_loss

CPU = torch.device("cpu")


def ring_modes(name: str, steps: int, **options) -> ModeCount:
    samples = load_samples("ring")
    config = dataclasses.replace(preset(name, points=True), width=64, average_decay=0.98, steps=steps, **options)
    model = build(config, Shape.of(samples), CPU)
    batches = Batches(samples, config.batch_size, 0, CPU)
    trainer = Trainer(model.units(), batches, 0, lambda step: 1 - step / steps)
    for step in range(steps):
        trainer(step)
    return count_modes(model.draw(2500, generator_for(0, 0)), RING)


@pytest.mark.slow
def test_wgan_gp_covers_the_ring():
    count = ring_modes("wgan-gp", 400, batch_size=64, learning_rate=3e-3, critic_learning_rate=3e-3)
    assert count.modes == 8
    assert count.kl_to_uniform < 0.5  # one mode of 8 has 2.08


@pytest.mark.slow
def test_spectral_normalisation_covers_the_ring():
    count = ring_modes("sngan", 450, batch_size=128, learning_rate=1e-3, critic_learning_rate=2e-3)
    assert count.modes == 8
    assert count.kl_to_uniform < 0.5


@pytest.mark.parametrize(("variance", "alive"), [(1.5, False), (0.01, True)])
def test_a_learned_variance_must_begin_below_that_of_the_data(variance, alive):
    """The ring has variance 1 along both axes. From above it, no latent is worth its KL, and the variance stays."""
    samples = load_samples("ring")
    config = dataclasses.replace(preset("vae", points=True), width=32, batch_size=128, variance=variance)
    model = build(config, Shape.of(samples), CPU)
    trainer = Trainer(model.units(), Batches(samples, 128, 0, CPU), 0)
    rates = [float(trainer(step)["rate"]) for step in range(250)]
    assert (rates[-1] > 1) == alive


def distance_left(game: losses.Adversarial, seed: int, steps: int = 60) -> float:
    """A generator that starts around 0 and should go to (6, 0), against a critic that is sure from early on."""
    torch.manual_seed(seed)
    gan = GAN(
        mlp_generator(2, 2, 16),
        mlp_critic(2, 16),
        game,
        lambda module: torch.optim.SGD(module.parameters(), lr=0.1),  # Adam would scale vanishing gradients up again
        lambda module: torch.optim.Adam(module.parameters(), lr=0.02),
        critic_steps=5,
    )
    target = torch.tensor([6.0, 0.0])

    def batches(number: int) -> tuple[Tensor, None]:
        return target + 0.1 * torch.randn(64, 2, generator=generator_for(seed, number)), None

    trainer = Trainer(gan.units(), batches, seed)
    closest = 6.0
    for step in range(steps):
        trainer(step)
        with torch.no_grad():
            samples = gan.generator(torch.randn(64, 2, generator=generator_for(seed, step)))
        closest = min(closest, float((samples.mean(0) - target).norm()))
    return closest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_saturating_loss_is_stuck_where_the_non_saturating_one_is_not(seed):
    assert distance_left(losses.NON_SATURATING, seed) < 1.5
    assert distance_left(losses.MINIMAX, seed) > 4


def test_conditional_vae_uses_its_labels():
    """Two clusters: told which one, the same network needs fewer nats."""
    bounds = []
    for classes in (0, 2):
        torch.manual_seed(0)
        encoder, decoder = nn.Sequential(nn.Linear(1 + classes, 16), nn.Tanh()), nn.Linear(1 + classes, 1)
        vae = VAE(encoder, 16, 1, decoder, classes)
        optimiser = torch.optim.Adam(vae.parameters(), lr=0.03)
        objective = VAEObjective(vae, fixed_gaussian(0.01), optimiser)

        def batches(number: int) -> tuple[Tensor, Tensor]:
            labels = torch.arange(64) % 2
            noise = 0.1 * torch.randn(64, 1, generator=generator_for(0, number))
            return 4.0 * labels[:, None] - 2 + noise, labels

        trainer = Trainer(objective.units(), batches, 0)
        terms = [trainer(step)["loss"].item() for step in range(800)]
        bounds.append(sum(terms[-50:]) / 50)
        if classes:
            z = torch.zeros(1, 1)
            apart = vae.decode(z, torch.tensor([1])) - vae.decode(z, torch.tensor([0]))
            assert apart.item() > 2
    assert bounds[1] < bounds[0] - 0.5


def test_v_can_be_trained_with_an_adversarial_term():
    """Both units run on V itself, and the critic's opinion reaches V's decoder but not the critic."""
    torch.manual_seed(0)
    vae, critic = ConvVAE(4), dcgan_critic(64, 3, 4)
    changes = []
    for weight in (0.0, 100.0):
        torch.manual_seed(1)
        vae = ConvVAE(4)
        critic = dcgan_critic(64, 3, 4)
        objective = AdversarialVAE(
            vae,
            critic,
            vae_loss,
            torch.optim.SGD(vae.parameters(), lr=1e-4),
            torch.optim.SGD(critic.parameters(), lr=0.1),
            adversarial_weight=weight,
        )
        frozen = critic.head.weight.detach().clone()
        frames = torch.rand(2, 3, 64, 64, generator=generator_for(0, 0))
        Trainer(objective.units()[1:], lambda number, frames=frames: (frames, None), 0)(0)
        assert torch.equal(critic.head.weight, frozen)
        changes.append(vae.decoder[0].weight.detach().clone())
        Trainer(objective.units()[:1], lambda number, frames=frames: (frames, None), 0)(0)
        assert not torch.equal(critic.head.weight, frozen)
    assert not torch.equal(*changes)


def test_the_critics_opinion_reaches_the_decoder_but_not_the_encoder():
    """Larsen et al. (2016), algorithm 1."""
    torch.manual_seed(0)
    vae, critic = ConvVAE(4), dcgan_critic(64, 3, 4)
    batch = Batch(torch.rand(2, 3, 64, 64, generator=generator_for(0, 0)), None, generator_for(0, 0))
    gradients = []
    for weight in (0.0, 100.0):
        objective = AdversarialVAE(
            vae,
            critic,
            vae_loss,
            torch.optim.SGD(vae.parameters(), lr=1e-4),
            torch.optim.SGD(critic.parameters(), lr=0.1),
            adversarial_weight=weight,
        )
        loss = objective.vae_loss(batch._replace(rng=generator_for(0, 1))).total
        named = dict(vae.named_parameters())
        gradients.append(dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True)))
    encoder = [name for name in gradients[0] if name.startswith(("encoder", "mean", "logvar"))]
    assert len(encoder) == 12
    for name in encoder:
        torch.testing.assert_close(gradients[0][name], gradients[1][name])
    name = "decoder.0.weight"
    assert not torch.allclose(gradients[0][name], gradients[1][name])


def test_a_patchgan_by_command_starts_with_a_signal():
    """The gradient of its logits at the generator's pictures, per picture; without a normalisation it was 2e-3."""
    slopes = {}
    for architecture in ("dcgan", "patchgan"):
        options = dataclasses.replace(preset("gan"), architecture=architecture)
        model = build(options, Shape(32, 3), CPU)
        x = torch.randn(8, 3, 32, 32, generator=generator_for(0, 0)).clamp(-1, 1).requires_grad_(True)
        model.game.critic(x).flatten(1).mean(1).sum().backward()
        slopes[architecture] = x.grad.flatten(1).norm(dim=1).mean().item()
    assert slopes["patchgan"] > 0.1
    assert slopes["patchgan"] > 0.05 * slopes["dcgan"]


def test_half_precision_keeps_weights_and_sums_in_single(images):
    samples = load_samples(images)
    batches = Batches(samples, 16, 0, CPU, -1.0)
    terms = []
    for half in (False, True):
        model = build(preset("wgan-gp", "tiny"), Shape.of(samples), CPU)
        trainer = Trainer(model.units(), batches, 0, half=half)
        terms.append(trainer(0))
        assert {part.dtype for part in model.network.parameters()} == {torch.float32}
    assert terms[0].keys() == terms[1].keys()
    for name, value in terms[0].items():
        assert terms[1][name].dtype == torch.float32
        assert terms[1][name].item() == pytest.approx(value.item(), abs=0.05)
        assert terms[1][name].item() != value.item()

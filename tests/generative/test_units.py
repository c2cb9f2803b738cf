"""The trainer: step counters, frozen sides, averages, resume; and GANs with known outcomes through it."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rollouts.errors import UserError
from worldmodels.generative.collapse import CollapseError
from worldmodels.generative.data.batches import Batches
from worldmodels.generative.data.datasets import load_samples
from worldmodels.generative.fit import fit_images
from worldmodels.generative.models.base import Shape, build
from worldmodels.generative.models.registry import preset
from worldmodels.generative.networks.coders import mlp_coder
from worldmodels.generative.networks.dcgan import dcgan_critic, dcgan_generator
from worldmodels.generative.networks.modules import Autoencoder, Critic, Generator
from worldmodels.generative.networks.perceptrons import mlp_critic, mlp_generator
from worldmodels.generative.objectives import losses
from worldmodels.generative.objectives.began import BEGAN
from worldmodels.generative.objectives.gan import GAN, around_real, between_real_and_fake
from worldmodels.generative.objectives.penalties import spectrally_normalise
from worldmodels.generative.objectives.units import Average, Batch, Loss, Part, Trainer, Unit
from worldmodels.training.checkpoint import load_state, save_state
from worldmodels.training.distributed import Ranks
from worldmodels.training.loop import train
from worldmodels.training.randomness import generator_for

CPU = torch.device("cpu")
SHIFT = torch.tensor([1.2, -1.6])


def adam(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), lr=1e-3)


def rmsprop(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(module.parameters(), lr=5e-5)


def points(number: int) -> tuple[Tensor, None]:
    return torch.randn(16, 2, generator=generator_for(7, number)), None


def small_gan(**options) -> GAN:
    torch.manual_seed(0)
    game = options.pop("game", losses.WASSERSTEIN)
    return GAN(mlp_generator(2, 2, 8), mlp_critic(2, 8), game, adam, adam, **options)


def snapshot(module: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in module.state_dict().values()]


def same(before: list[Tensor], module: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, module.state_dict().values(), strict=True))


# Counters, and who moves when


@pytest.mark.parametrize("critic_steps", [1, 5])
def test_critic_steps_are_counted(critic_steps):
    """From the trainer's counters and from Adam's own."""
    gan = small_gan(critic_steps=critic_steps)
    trainer = Trainer(gan.units(), points, seed=0)
    for step in range(4):
        trainer(step)
    assert trainer.state_dict() == {"critic": 4 * critic_steps, "generator": 4}
    steps = {int(state["step"]) for state in gan.critic_optimiser.state.values()}
    assert steps == {4 * critic_steps}
    assert {int(state["step"]) for state in gan.generator_optimiser.state.values()} == {4}


def test_every_critic_step_sees_fresh_data_and_fresh_fakes():
    """Stale critic steps, which repeat one batch, are caught by what the critic is shown."""
    gan, numbers, shown = small_gan(critic_steps=3), [], []
    gan.critic.register_forward_hook(lambda module, inputs, output: shown.extend(inputs[0].detach().split(16)))
    trainer = Trainer(gan.units(), lambda number: numbers.append(number) or points(number), seed=0)
    trainer(0)
    trainer(1)
    assert numbers == list(range(8))
    assert len(shown) == 2 * (3 * 2 + 1)
    for i, a in enumerate(shown):
        assert not any(torch.equal(a, b) for b in shown[i + 1 :])


def test_the_other_side_is_frozen():
    gan = small_gan(penalty=between_real_and_fake)
    critic_unit, generator_unit = gan.units()
    before = snapshot(gan.generator), snapshot(gan.critic)
    Trainer([critic_unit], points, 0)(0)
    assert same(before[0], gan.generator)
    assert not same(before[1], gan.critic)
    before = snapshot(gan.generator), snapshot(gan.critic)
    Trainer([generator_unit], points, 0)(0)
    assert not same(before[0], gan.generator)
    assert same(before[1], gan.critic)
    assert all(p.grad is None for p in [*gan.critic.parameters(), *gan.generator.parameters()])


def test_the_penalty_is_back_propagated():
    """A penalty that is computed but not added leaves the critic where no penalty leaves it."""
    critics = []
    for penalty, weight in ((None, 0.0), (between_real_and_fake, 0.0), (between_real_and_fake, 10.0)):
        gan = small_gan(penalty=penalty, penalty_weight=weight)
        Trainer(gan.units()[:1], points, 0)(0)
        critics.append(snapshot(gan.critic))
    assert all(torch.equal(a, b) for a, b in zip(critics[0], critics[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(critics[0], critics[2], strict=True))


def test_objectives_draw_their_random_numbers_as_the_papers_say():
    """f = ||x||^2 / 2 between 0 and v: only one uniform alpha per sample gives ||v||^2 / 3 - ||v|| + 1."""
    real, v = torch.zeros(50_000, 2), torch.tensor([1.5, 2.0])
    batch = Batch(real, None, generator_for(0, 0))
    value = between_real_and_fake(lambda x: 0.5 * x.square().sum(1), real, v.expand_as(real), batch)
    assert value.item() == pytest.approx(6.25 / 3 - 2.5 + 1, abs=0.02)
    x = torch.randn(50_000, 1)
    value = around_real(
        lambda x: 0.5 * x.square().sum(1),
        x,
        x,
        Batch(x, None, generator_for(0, 1)),
    )
    u = torch.rand(2, 50_000)
    expected = ((x[:, 0] + 0.5 * x.std() * u[0] * u[1]).abs() - 1).square().mean()
    assert value.item() == pytest.approx(expected.item(), abs=0.01)


def test_clipping_follows_every_critic_step():
    gan = small_gan(clip=0.01, critic_steps=2)
    bounds = []
    unit = gan.units()[0]
    watched = dataclasses.replace(unit, after=lambda: (unit.after(), bounds.append(largest(gan.critic))))
    Trainer([watched], points, 0)(0)
    assert bounds == [pytest.approx(0.01), pytest.approx(0.01)]


def largest(module: nn.Module) -> float:
    return max(parameter.abs().max().item() for parameter in module.parameters())


def test_batch_norm_in_the_critic_is_refused_with_a_penalty():
    critic = dcgan_critic(16, 1, 4, norm=nn.BatchNorm2d)
    with pytest.raises(ValueError, match="batch normalisation"):
        GAN(dcgan_generator(16, 1, 4, 4), critic, losses.WASSERSTEIN, adam, adam, penalty=between_real_and_fake)


def test_labels_reach_both_sides_and_the_penalty():
    torch.manual_seed(0)
    generator, critic = mlp_generator(2, 2, 8, classes=3), mlp_critic(2, 8, classes=3, conditioning="planes")
    seen = []
    critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    labels = torch.tensor([0, 1, 2, 0])
    gan = GAN(generator, critic, losses.WASSERSTEIN, adam, adam, penalty=between_real_and_fake)
    Trainer(gan.units(), lambda number: (torch.randn(4, 2), labels), 0)(0)
    parts = torch.cat(seen).split(4)
    assert len(parts) == 4  # real, fake, penalty; then the generator's fakes
    assert all(torch.equal(part, labels) for part in parts)


def test_real_and_fake_share_a_pass_but_no_statistics():
    """One pass gives the loss that two would; with batch normalisation there are two."""
    batch = Batch(torch.randn(8, 1, 16, 16), None, generator_for(0, 0))
    for norm, passes in ((None, 1), (nn.BatchNorm2d, 2)):
        torch.manual_seed(0)
        critic, seen = dcgan_critic(16, 1, 4, norm), []
        critic.register_forward_pre_hook(lambda module, inputs, seen=seen: seen.append(len(inputs[0])))
        gan = GAN(dcgan_generator(16, 1, 4, 4), critic, losses.NON_SATURATING, adam, adam)
        terms = gan.critic_loss(batch._replace(rng=generator_for(0, 1))).terms
        assert seen == [16 // passes] * passes
        with torch.no_grad():
            fake = gan.generate(batch._replace(rng=generator_for(0, 1)))
            expected = losses.logistic_critic(critic(batch.x), critic(fake))
        assert terms["critic_real"].item() == pytest.approx(expected.real.item())
        assert terms["critic_fake"].item() == pytest.approx(expected.fake.item())


def test_learning_rate_schedule_and_stored_betas():
    gan = small_gan()
    trainer = Trainer(gan.units(), points, 0, lambda step: 1 - step / 4)
    rates = []
    for step in range(4):
        trainer(step)
        rates.append(gan.critic_optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 0.75e-3, 0.5e-3, 0.25e-3])


def test_unused_parameters_are_an_error():
    used, unused = nn.Linear(1, 1), nn.Linear(1, 1)
    optimiser = torch.optim.SGD([*used.parameters(), *unused.parameters()], lr=0.1)
    unit = Unit("one", optimiser, lambda batch: Loss(used(batch.x[:, :1]).sum(), {}))
    with pytest.raises(RuntimeError, match="to not have been used"):
        Trainer([unit], points, 0)(0)


# Averages


def test_average_is_its_closed_form_and_copies_buffers():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = Average(network, 0.9)
    start = network[0].weight.detach().clone()
    network[0].weight.data += 1
    network[1].running_mean += 5
    for _ in range(7):
        average.update()
    left = math.prod(min(0.9, (1 + k) / (10 + k)) for k in range(7))
    torch.testing.assert_close(average.network[0].weight, start + 1 - left)
    assert torch.equal(average.network[1].running_mean, network[1].running_mean)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())


def test_an_average_soon_forgets_the_weights_it_began_with():
    """Decay 0.995 without a warm-up would keep 47 % of them after 150 updates."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    average = Average(network, 0.995)
    nn.init.constant_(network.weight, 0.0)
    for _ in range(150):
        average.update()
    assert average.network.weight.item() < 1e-6
    for _ in range(10_000):
        average.updates += 1
    nn.init.constant_(network.weight, 1.0)
    average.update()
    assert average.network.weight.item() == pytest.approx(0.005)  # the asked-for decay in the end


def test_an_average_goes_on_from_its_state_and_from_one_without_a_warm_up():
    network = nn.Linear(1, 1)
    one, two = Average(network, 0.9), Average(network, 0.9)
    for _ in range(3):
        one.update()
    two.load_state_dict(one.state_dict())
    assert two.updates == 3
    two.load_state_dict(network.state_dict())
    nn.init.constant_(network.weight, 10.0)
    before = two.network.weight.item()
    two.update()
    assert two.network.weight.item() == pytest.approx(0.9 * before + 0.1 * 10)


# Known outcomes through the trainer


class Shifted(nn.Module):
    """A generator that adds nothing to its noise: fakes from N(0, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(2))

    def forward(self, z: Tensor) -> Tensor:
        return z + self.nothing


def fit_critic(steps: int, rate: float, critic: nn.Module, **options) -> Critic:
    """Only the critic's unit, on N(SHIFT, 1) against N(0, 1)."""
    gan = GAN(
        Generator(2, Shifted()),
        Critic(nn.Identity(), critic),
        losses.WASSERSTEIN,
        adam,
        lambda module: torch.optim.Adam(module.parameters(), lr=rate, betas=(0.0, 0.9)),
        **options,
    )

    def batches(number: int) -> tuple[Tensor, None]:
        return torch.randn(512, 2, generator=generator_for(3, number)) + SHIFT, None

    trainer = Trainer(gan.units()[:1], batches, 0, lambda step: 1 - step / steps)
    for step in range(steps):
        trainer(step)
    return gan.critic


def test_optimal_linear_critics_through_the_trainer():
    torch.manual_seed(0)
    penalised = fit_critic(300, 0.05, nn.Linear(2, 1), penalty=between_real_and_fake, penalty_weight=10.0)
    torch.testing.assert_close(penalised.head.weight[0], 1.1 * SHIFT / 2, atol=0.03, rtol=0)
    clipped = fit_critic(30, 0.05, nn.Linear(2, 1), clip=0.01)
    torch.testing.assert_close(clipped.head.weight[0], 0.01 * SHIFT.sign())
    normalised = fit_critic(100, 0.05, spectrally_normalise(nn.Sequential(nn.Linear(2, 1)))[0])
    torch.testing.assert_close(normalised.head.weight[0], SHIFT / 2, atol=0.02, rtol=0)


def test_began_moves_and_keeps_k():
    torch.manual_seed(0)
    encoder, features, decoder = mlp_coder(2, 2, 8)
    began = BEGAN(mlp_generator(2, 2, 8), Autoencoder(encoder, features, 2, decoder), adam, adam, gain=0.1)
    trainer = Trainer(began.units(), points, 0)
    trainer(0)
    trainer(1)
    assert 0 < began.k.item() < 1
    other = BEGAN(mlp_generator(2, 2, 8), Autoencoder(*mlp_coder(2, 2, 8)[:2], 2, decoder), adam, adam)
    other.load_state_dict(began.state_dict())
    assert torch.equal(other.k, began.k)


# Resume


def all_tensors(value) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in all_tensors(part)]
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in all_tensors(part)]
    return [torch.tensor(float(value))] if isinstance(value, int | float) else []


RESUMED = [
    *("wgan", "sngan", "dragan", "began", "cgan", "vae", "vamp-vae", "semi-supervised-vae"),
    *("acgan", "infogan", "ebgan", "ali", "lapgan"),
]


@pytest.mark.parametrize("name", RESUMED)
def test_interrupted_and_resumed_equals_uninterrupted(name, images, tmp_path, monkeypatch):
    """Bit for bit: weights, averages, optimisers, spectral vectors, k, counters, schedules."""
    config = dataclasses.replace(
        preset(name, "tiny"), data=images, steps=8, log_every=2, checkpoint_every=4, latent_size=14, decay=True
    )
    if name == "dragan":
        config = dataclasses.replace(config, flip=True, crop=0.2, diffaugment="all")
    if name == "sngan":
        config = dataclasses.replace(config, diffaugment="adaptive")
    fit_images(name, config, tmp_path / "whole", CPU)
    step_of = Trainer.__call__

    def stop_at_six(trainer: Trainer, step: int) -> dict[str, Tensor]:
        if step == 6:
            raise KeyboardInterrupt
        return step_of(trainer, step)

    monkeypatch.setattr(Trainer, "__call__", stop_at_six)
    with pytest.raises(KeyboardInterrupt):
        fit_images(name, config, tmp_path / "parts", CPU)
    monkeypatch.setattr(Trainer, "__call__", step_of)
    fit_images(name, config, tmp_path / "parts", CPU)
    states = [torch.load(tmp_path / run / "images" / "state.pt", weights_only=True) for run in ("whole", "parts")]
    tensors = [all_tensors(state) for state in states]
    assert len(tensors[0]) == len(tensors[1]) > 10
    assert all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


def test_dropout_is_resumed_exactly(tmp_path):
    """Dropout can only use the global generator, which is not saved: its seed is a function of the step."""

    def run(steps: list[int]) -> Tensor:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        unit = Unit("net", torch.optim.SGD(net.parameters(), 0.1), lambda b: Loss(net(b.x).square().mean(), {}))
        trainer = Trainer([unit], points, 0)
        for step in steps:
            trainer(step)
            torch.rand(step)  # whatever else happens between steps
        return net[0].weight

    first = run([0, 1, 2])
    torch.rand(5)
    assert torch.equal(first, run([0, 1, 2]))


def test_other_options_and_other_models_are_refused(images, tmp_path):
    config = dataclasses.replace(preset("vae", "tiny"), data=images, steps=2, log_every=1)
    fit_images("vae", config, tmp_path, CPU)
    with pytest.raises(UserError, match=r"kl_weight was 1\.0, is now 2\.0"):
        fit_images("vae", dataclasses.replace(config, kl_weight=2.0), tmp_path, CPU)
    with pytest.raises(UserError, match=r"other options|model"):
        fit_images("gan", dataclasses.replace(preset("gan", "tiny"), data=images), tmp_path, CPU)


# NaN and collapse


def test_nan_stops_the_run(images, tmp_path):
    config = dataclasses.replace(
        preset("wgan-gp", "tiny"),
        data=images,
        learning_rate=1e30,
        critic_learning_rate=1e30,
        steps=10,
        log_every=5,
    )
    with pytest.raises(UserError, match="no longer a number"):
        fit_images("wgan-gp", config, tmp_path, CPU)


def test_collapse_stops_the_run(images, tmp_path):
    """A prior that outweighs the data 10,000 to 1 empties every latent unit."""
    config = dataclasses.replace(
        preset("vae", "tiny"), data=images, kl_weight=1e4, steps=300, log_every=10, checkpoint_every=40
    )
    for _ in range(2):  # the same command again does not call it done
        with pytest.raises(CollapseError, match="at step 240 no latent unit carries information"):
            fit_images("vae", config, tmp_path, CPU)


@pytest.mark.parametrize("count", [9, 40])
def test_where_held_out_pictures_do_not_differ_nothing_is_said_of_diversity(count, tmp_path):
    """A single one, or copies of one."""
    np.savez(tmp_path / "one.npz", images=np.full((count, 8, 8), 100, np.uint8))
    config = dataclasses.replace(preset("gan", "tiny"), data=str(tmp_path / "one.npz"), batch_size=4)
    fit_images("gan", dataclasses.replace(config, steps=1, log_every=1, checkpoint_every=1), tmp_path, CPU)
    (line,) = (tmp_path / "images" / "held_out.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail)["step"] == 1
    assert "diversity" not in line


def test_a_checkpoint_that_lacks_a_part_is_refused(images, tmp_path):
    config = dataclasses.replace(preset("ae", "tiny"), data=images, steps=2, log_every=1)
    fit_images("ae", config, tmp_path, CPU)
    file = tmp_path / "images" / "state.pt"
    state = load_state(file, CPU)
    del state["watch"]
    save_state(state, file)
    with pytest.raises(UserError, match="has no watch"):
        fit_images("ae", dataclasses.replace(config, steps=3), tmp_path, CPU)


def test_train_runs_any_units(tmp_path):
    """The loop is the one that trains V and M."""
    from rollouts.runs.stage import Stage

    gan = small_gan()
    trainer = Trainer(gan.units(), points, 0)
    stage = Stage(tmp_path, "gan").open(preset("gan", "tiny"))
    train(stage, {**gan.parts(), "updates": trainer}, trainer, 4, 2, 4)
    assert (stage.path / "metrics.jsonl").read_text().count("critic_real") == 2


# Several processes


@pytest.mark.parametrize("count", [2, 3])
def test_parts_of_a_batch_have_the_numbers_that_were_drawn_for_them(count):
    x = torch.randn(7, 2)
    whole = Batch(x, None, generator_for(0, 0))
    whole_draws = whole.normal(7, 3), whole.uniform(7), whole.normal(14, 2)
    draws = []
    for rank in range(count):
        own = Ranks(rank, count).part(7)
        batch = Batch(x[own], None, generator_for(0, 0), part=Part(own.start, 7))
        size = len(batch.x)
        draws.append((batch.normal(size, 3), batch.uniform(size), batch.normal(2 * size, 2)))
    for expected, *parts in zip(whole_draws, *draws, strict=True):
        assert torch.equal(torch.cat(parts), expected)


@pytest.mark.parametrize("name", ["sngan", "wgan-gp", "infogan", "bigan", "vae", "mixture-vae"])
def test_gradients_of_parts_add_up_to_that_of_the_batch(name, monkeypatch):
    """On points, where no network normalises over the batch: one process after the other, instead of at once."""
    samples = load_samples("ring")
    config = dataclasses.replace(preset(name, points=True), batch_size=15, width=8)
    gradients = {}
    for count in (1, 3):
        sums: dict[int, Tensor] = {}
        for rank in range(count):
            ranks = Ranks(rank, count)
            monkeypatch.setattr(Ranks, "add_gradients", lambda self, parameters: None)
            model = build(config, Shape.of(samples), CPU)
            trainer = Trainer(model.units()[-1:], Batches(samples, 15, 0, CPU, model.low), 0, ranks=ranks)
            kept = {}
            optimiser = trainer.units[0].optimiser
            monkeypatch.setattr(optimiser, "step", lambda kept=kept, o=optimiser: kept.update(_gradients(o)))
            trainer(0)
            sums = {key: value + sums.get(key, 0) for key, value in kept.items()}
        gradients[count] = sums
    for key, value in gradients[1].items():
        torch.testing.assert_close(gradients[3][key], value, atol=1e-5, rtol=1e-4)
    assert sum(float(value.abs().sum()) for value in gradients[1].values()) > 0


def _gradients(optimiser: torch.optim.Optimizer) -> dict[int, Tensor]:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    return {number: parameter.grad.clone() for number, parameter in enumerate(parameters)}
